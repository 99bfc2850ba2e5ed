"""The value by which a channel orders its messages, such as a patient's id: only its digest leaves.

What the key is taken from may identify a patient, so no process but the worker sees it; the
verifier keys the digest once more before it stores it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from validators.hl7v2.grammar import Message


def digest_of(value: str) -> bytes:
    """SHA-256 of the value's UTF-8."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Hl7Place:
    """A component of a field's first repetition, in the first segment of a name (PID-3.1)."""

    segment: str
    field: int
    component: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that `text` (PID-3, PID-3.1) names; without a component it is the first."""
        segment, _, numbers = text.partition("-")
        field, _, component = numbers.partition(".")
        return cls(segment, int(field), int(component or 1))

    def order_key(self, message: Message) -> bytes | None:
        """The digest of what stands there; None if nothing does."""
        for segment in message.segments:
            if segment.name == self.segment:
                value = self._value(segment.fields().at(self.field))
                return digest_of(value) if value else None
        return None

    def _value(self, field: str | tuple[object, ...]) -> str:
        repetition = field if isinstance(field, str) else field[0]
        component: object = repetition
        if not isinstance(repetition, str) and isinstance(repetition, tuple):
            is_there = self.component <= len(repetition)
            component = repetition[self.component - 1] if is_there else ""
        elif self.component > 1:
            component = ""
        while isinstance(component, tuple):
            component = component[0]
        return str(component)
