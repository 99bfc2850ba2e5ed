"""What a channel's profile says of single fields and components: length, table, repetitions.

A rule holds in every segment of its name, for each repetition (HL7 v2.5.1, 2.5.3.2: a length is of
one occurrence, its component separators included). Texts are judged as they stand, escape sequences
unresolved. What is empty breaks no rule: `required` says what must be there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ferry_format.reasons import LIMIT_EXCEEDED, VALUE_NOT_ALLOWED, Refused
from validators.hl7v2.rebuild import repetition_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from validators.hl7v2.grammar import Field, Message, Repetition
    from validators.hl7v2.separators import Separators
    from validators.policy import Hl7FieldRule

_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]{2})-([0-9]+)(?:\.([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Place:
    """A field (PID-3), or a component of each of its repetitions (PID-3.1)."""

    name: str
    segment: str
    field: int
    component: int | None

    @classmethod
    def parse(cls, name: str) -> Self:
        """The place that the policy names."""
        found = _PLACE.fullmatch(name)
        assert found is not None
        return cls(name, found[1], int(found[2]), int(found[3]) if found[3] else None)

    def texts(self, field: Field, separators: Separators) -> Iterator[str]:
        """What stands there, in each repetition of the field; "" where nothing does."""
        repetitions = (field,) if isinstance(field, str) else field
        return (_text(each, self.component, separators) for each in repetitions)


class FieldRules:
    """A channel's rules, by segment."""

    def __init__(self, rules: Sequence[Hl7FieldRule]) -> None:
        self._rules: dict[str, list[tuple[Place, Hl7FieldRule, frozenset[str]]]] = {}
        for rule in rules:
            place = Place.parse(rule.at)
            table = frozenset(rule.values)
            self._rules.setdefault(place.segment, []).append((place, rule, table))

    def check(self, message: Message) -> None:
        """Raise Refused(LIMIT_EXCEEDED, VALUE_NOT_ALLOWED) at the first field that breaks one."""
        if not self._rules:
            return
        for number, segment in enumerate(message.segments, 1):
            rules = self._rules.get(segment.name)
            if rules is None:
                continue
            fields = segment.fields()
            for place, rule, table in rules:
                texts = list(place.texts(fields.at(place.field), message.separators))
                _check(texts, rule, table, f"{place.name} (segment {number})")


def _check(texts: list[str], rule: Hl7FieldRule, table: frozenset[str], place: str) -> None:
    if rule.repetitions_max is not None and len(texts) > rule.repetitions_max:
        raise Refused(LIMIT_EXCEEDED, f"{place}: more than {rule.repetitions_max} repetitions")
    for text in filter(None, texts):
        if rule.chars_max is not None and len(text) > rule.chars_max:
            raise Refused(LIMIT_EXCEEDED, f"{place}: more than {rule.chars_max} characters")
        if table and text not in table:
            raise Refused(VALUE_NOT_ALLOWED, place)


def _text(repetition: Repetition, component: int | None, separators: Separators) -> str:
    if component is None:
        return repetition_text(repetition, separators)
    if isinstance(repetition, str):
        return repetition if component == 1 else ""
    if component > len(repetition):
        return ""
    found = repetition[component - 1]
    return found if isinstance(found, str) else separators.subcomponent.join(found)
