"""The model written out again, in the one canonical form.

Each segment ends with CR, the last one too; the sender's separators stay; there is no trailing
empty element at any level, no blank line and no byte order mark. Leaf texts, escape sequences among
them, are exactly the sender's. parse(rebuild(message)) == message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from validators.hl7v2.separators import SEGMENT_END

if TYPE_CHECKING:
    from validators.hl7v2.grammar import Component, Field, Message, Segment
    from validators.hl7v2.separators import Separators


def rebuild(message: Message) -> str:
    """Return the canonical text of `message`."""
    separators = message.separators
    lines = [_segment_text(segment, separators) for segment in message.segments]
    lines.append("")
    return SEGMENT_END.join(lines)


def _segment_text(segment: Segment, separators: Separators) -> str:
    texts = [
        field if isinstance(field, str) else field_text(field, separators)
        for field in segment.fields
    ]
    if segment.name == "MSH":
        # MSH-1 is the separator itself: written by the join, not as a field of its own.
        texts[0] = segment.name
        return separators.field.join(texts)
    return separators.field.join([segment.name, *texts])


def field_text(field: Field, separators: Separators) -> str:
    """Return one field as it stands between two field separators."""
    if isinstance(field, str):
        return field
    return separators.repetition.join(
        [each if isinstance(each, str) else _repetition_text(each, separators) for each in field]
    )


def _repetition_text(components: tuple[Component, ...], separators: Separators) -> str:
    subcomponent = separators.subcomponent
    return separators.component.join(
        [each if isinstance(each, str) else subcomponent.join(each) for each in components]
    )
