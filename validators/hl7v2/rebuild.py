"""The model written out again, in the one canonical form.

Each segment ends with CR, the last one too; the sender's separators stay; there is no trailing
empty element at any level, no blank line and no byte order mark. Leaf texts, escape sequences among
them, are exactly the sender's. parse(rebuild(message)) == message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from validators.hl7v2.separators import SEGMENT_END

if TYPE_CHECKING:
    from validators.hl7v2.grammar import Field, Message, Repetition
    from validators.hl7v2.separators import Separators


def rebuild(message: Message) -> str:
    """Return the canonical text of `message`."""
    return SEGMENT_END.join([*message.texts, ""])


def segment_text(name: str, values: tuple[Field, ...], separators: Separators) -> str:
    """Return the canonical text of a segment with these fields (Fields.values)."""
    # MSH-1 is the separator itself: written by the join, not as a field of its own.
    fields = values[1:] if name == "MSH" else values
    return separators.field.join([name, *[field_text(field, separators) for field in fields]])


def field_text(field: Field, separators: Separators) -> str:
    """Return one field as it stands between two field separators."""
    if isinstance(field, str):
        return field
    return separators.repetition.join([repetition_text(each, separators) for each in field])


def repetition_text(repetition: Repetition, separators: Separators) -> str:
    """Return one repetition as it stands between two repetition separators."""
    if isinstance(repetition, str):
        return repetition
    subcomponent = separators.subcomponent
    return separators.component.join(
        [each if isinstance(each, str) else subcomponent.join(each) for each in repetition]
    )
