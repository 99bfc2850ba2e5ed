"""The model of a message, and the parser from text to it.

segment = name *( field separator, field ); field = repetitions of components of subcomponents. The
model holds no trailing empty element at any level, so that two spellings of one message are one
model. Every step looks at each character a fixed number of times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import BATCH_NOT_ALLOWED, LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused
from validators.hl7v2.separators import SEGMENT_END, Separators

if TYPE_CHECKING:
    from validators.hl7v2.escapes import EscapeRules
    from validators.policy import HL7v2Policy

Component = str | tuple[str, ...]
Repetition = str | tuple[Component, ...]
Field = str | tuple[Repetition, ...]
"""At each level, what holds no separator of that level or a lower one is its own text."""

_SEGMENT_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}")
_BATCH_SEGMENTS: Final = frozenset({"FHS", "BHS", "BTS", "FTS"})


@dataclass(frozen=True, slots=True)
class Segment:
    """`fields[0]` is field 1; in MSH that is the field separator, and `fields[1]` is MSH-2."""

    name: str
    fields: tuple[Field, ...]

    def field(self, number: int) -> Field:
        """Return the field with HL7's number (from 1), or "" if the segment ends before it."""
        return self.fields[number - 1] if number <= len(self.fields) else ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose first segment is its only MSH."""

    separators: Separators
    segments: tuple[Segment, ...]

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]


def fold_segment_ends(text: str) -> str:
    """Return `text` with CR, LF and CR LF all as CR."""
    return text.replace("\r\n", SEGMENT_END).replace("\n", SEGMENT_END)


def parse(text: str, separators: Separators, limits: HL7v2Policy, escapes: EscapeRules) -> Message:
    """Parse folded text that begins with MSH.

    Segments without any character (blank lines) are no segments. Raises
    Refused(NOT_WELL_FORMED, BATCH_NOT_ALLOWED, LIMIT_EXCEEDED, CONTROL_CHARACTER).
    """
    lines = [line for line in text.split(SEGMENT_END) if line]
    if len(lines) > limits.segments_max:
        raise Refused(LIMIT_EXCEEDED, f"more than {limits.segments_max} segments")
    parser = _SegmentParser(separators, limits, escapes)
    return Message(separators, tuple(parser.segment(n, line) for n, line in enumerate(lines, 1)))


class _SegmentParser:
    def __init__(self, separators: Separators, limits: HL7v2Policy, escapes: EscapeRules) -> None:
        self._separators = separators
        self._limits = limits
        self._escapes = escapes
        self._component = separators.component
        self._repetition = separators.repetition
        self._subcomponent = separators.subcomponent

    def segment(self, number: int, line: str) -> Segment:
        name, *texts = line.split(self._separators.field)
        if _SEGMENT_NAME.fullmatch(name) is None:
            raise Refused(NOT_WELL_FORMED, f"segment {number}")
        if name in _BATCH_SEGMENTS or (name == "MSH" and number > 1):
            raise Refused(BATCH_NOT_ALLOWED, f"segment {number}")
        limits = self._limits
        if len(texts) > limits.fields_max:
            raise Refused(LIMIT_EXCEEDED, f"segment {number}: more than {limits.fields_max} fields")
        fields: list[Field] = []
        if name == "MSH":
            fields += [self._separators.field, texts.pop(0)]
        if len(line) > limits.field_chars_max:
            self._check_lengths(name, number, texts)
        if self._separators.escape in line:
            self._check_escapes(name, number, texts)
        try:
            component, repetition = self._component, self._repetition
            subcomponent = self._subcomponent
            fields += [
                self._field(text)
                if component in text or repetition in text or subcomponent in text
                else text
                for text in texts
            ]
        except _TooMany as error:
            message = f"segment {number} ({name}): more than {error.most} {error.what} in a field"
            raise Refused(LIMIT_EXCEEDED, message) from None
        while fields and not fields[-1]:
            fields.pop()
        return Segment(name, tuple(fields))

    def _check_lengths(self, name: str, number: int, texts: list[str]) -> None:
        most = self._limits.field_chars_max
        for index, text in enumerate(texts, 3 if name == "MSH" else 1):
            if len(text) > most:
                place = f"{name}-{index} (segment {number}): more than {most} characters"
                raise Refused(LIMIT_EXCEEDED, place)

    def _check_escapes(self, name: str, number: int, texts: list[str]) -> None:
        for index, text in enumerate(texts, 3 if name == "MSH" else 1):
            if self._separators.escape not in text:
                continue
            problem = self._escapes.problem(text)
            if problem is not None:
                raise Refused(problem, f"{name}-{index} (segment {number})")

    def _field(self, text: str) -> Field:
        if self._repetition not in text:
            only = self._one_repetition(text)
            return only if isinstance(only, str) else (only,)
        if text.count(self._repetition) >= self._limits.repetitions_max:
            raise _TooMany("repetitions", self._limits.repetitions_max)
        repetitions = [self._one_repetition(each) for each in text.split(self._repetition)]
        while repetitions and not repetitions[-1]:
            repetitions.pop()
        if len(repetitions) == 1 and isinstance(repetitions[0], str):
            return repetitions[0]
        return tuple(repetitions) or ""

    def _one_repetition(self, text: str) -> Repetition:
        component = self._component
        if component not in text:
            only = self._one_component(text)
            return only if isinstance(only, str) else (only,)
        if text.count(component) >= self._limits.components_max:
            raise _TooMany("components", self._limits.components_max)
        if self._subcomponent not in text:
            text = text.rstrip(component)
            return tuple(text.split(component)) if component in text else text
        components = [self._one_component(each) for each in text.split(component)]
        while components and not components[-1]:
            components.pop()
        if len(components) == 1 and isinstance(components[0], str):
            return components[0]
        return tuple(components) or ""

    def _one_component(self, text: str) -> Component:
        if self._subcomponent not in text:
            return text
        text = text.rstrip(self._subcomponent)
        if self._subcomponent not in text:
            return text
        if text.count(self._subcomponent) >= self._limits.components_max:
            raise _TooMany("subcomponents", self._limits.components_max)
        return tuple(text.split(self._subcomponent))


class _TooMany(Exception):
    def __init__(self, what: str, most: int) -> None:
        super().__init__(what)
        self.what = what
        self.most = most
