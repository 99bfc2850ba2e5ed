"""The model of a message, and the parser from text to it.

segment = name *( field separator, field ); field = repetitions of components of subcomponents. The
model holds no trailing empty element at any level, so that two spellings of one message are one
model: a segment is its canonical text, and its fields are parsed from that where somebody asks for
them. Every step looks at each character a fixed number of times.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ferry_format.reasons import BATCH_NOT_ALLOWED, LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused
from validators.hl7v2.rebuild import segment_text
from validators.hl7v2.separators import SEGMENT_END, Separators

if TYPE_CHECKING:
    from validators.hl7v2.escapes import EscapeRules
    from validators.policy import HL7v2Policy

Component = str | tuple[str, ...]
Repetition = str | tuple[Component, ...]
Field = str | tuple[Repetition, ...]
"""At each level, what holds no separator of that level or a lower one is its own text."""

_HEADER: Final = "MSH"
_UNPARSED_OF_HEADER: Final = 2
_NAME_CHARS: Final = 3
_SEGMENT_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}")
_BATCH_SEGMENTS: Final = frozenset({"FHS", "BHS", "BTS", "FTS"})


@dataclass(frozen=True, slots=True)
class Fields:
    """A segment's fields, each parsed when it is asked for.

    `texts[0]` is field 1, canonical: empty if the field is. In MSH that is the field separator, and
    `texts[1]` is MSH-2; these two are not parsed.
    """

    texts: tuple[str, ...]
    reader: _FieldReader
    unparsed: int

    def at(self, number: int) -> Field:
        """Return the field with HL7's number (from 1), or "" if the segment ends before it."""
        if number > len(self.texts):
            return ""
        text = self.texts[number - 1]
        return text if number <= self.unparsed else text and self.reader.field(text)

    @property
    def values(self) -> tuple[Field, ...]:
        """All of them."""
        return tuple([self.at(number) for number in range(1, len(self.texts) + 1)])


class Segment(NamedTuple):
    """`text` is canonical, without segment end."""

    name: str
    text: str
    separators: Separators

    def fields(self) -> Fields:
        """Its fields."""
        _, *texts = self.text.split(self.separators.field)
        reader = _FieldReader(self.separators)
        if self.name == _HEADER:
            return Fields((self.separators.field, *texts), reader, _UNPARSED_OF_HEADER)
        return Fields(tuple(texts), reader, 0)

    def without(self, numbers: Iterable[int]) -> Segment:
        """The segment with these fields empty."""
        values = list(self.fields().values)
        for number in numbers:
            values[number - 1] = ""
        while values and not values[-1]:
            values.pop()
        text = segment_text(self.name, tuple(values), self.separators)
        return Segment(self.name, text, self.separators)


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose first segment is its only MSH; `texts` are its segments' texts.

    Segments are made of them where somebody asks: of 30, that takes as long as a tenth of all that
    is done for the message, and most channels look at the header alone.
    """

    separators: Separators
    texts: tuple[str, ...]

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self._segment(self.texts[0])

    @property
    def names(self) -> set[str]:
        """The names of its segments."""
        return {text[:_NAME_CHARS] for text in self.texts}

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All of them."""
        return tuple(map(self._segment, self.texts))

    def _segment(self, text: str) -> Segment:
        return Segment(text[:_NAME_CHARS], text, self.separators)


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
    if parser.is_tidy_behind_header(lines):
        return Message(separators, (parser.canonical(1, lines[0]), *lines[1:]))
    texts = [parser.canonical(number, line) for number, line in enumerate(lines, 1)]
    return Message(separators, tuple(texts))


class _SegmentParser:
    def __init__(self, separators: Separators, limits: HL7v2Policy, escapes: EscapeRules) -> None:
        self._separators = separators
        self._limits = limits
        self._escapes = escapes
        self._reader = _FieldReader(separators, limits.repetitions_max, limits.components_max)
        field, repetition = separators.field, separators.repetition
        component, subcomponent = separators.component, separators.subcomponent
        # What has fewer characters cannot hold too many of anything.
        self._short = min(
            limits.field_chars_max,
            limits.fields_max,
            limits.components_max,
            limits.repetitions_max,
        )
        self._ends = (subcomponent, component, repetition, field)
        self._untidy = (
            separators.escape,
            subcomponent + component,
            subcomponent + repetition,
            subcomponent + field,
            component + repetition,
            component + field,
            repetition + field,
        )

    def is_tidy_behind_header(self, lines: list[str]) -> bool:
        """Whether every line but the first is a segment that `canonical` would leave as it is.

        Asked of all lines at once, since most messages are so: each question costs about as much
        for a line as for a message. Parsing 2 kB in 30 segments takes 24 instead of 126 µs on a
        busy machine.
        """
        if max(map(len, lines)) >= self._short:
            return False
        heads = {line[: _NAME_CHARS + 1] for line in lines[1:]}
        if not all(map(self._begins_a_segment, heads)):
            return False
        if not {line[-1] for line in lines[1:]}.isdisjoint(self._ends):
            return False
        body = SEGMENT_END.join(lines[1:])
        if self._separators.escape in body:
            return False
        # A search for one character is many times faster than one for two, and most find none.
        found = [end for end in self._ends if end in body]
        return not any(lower + upper in body for lower, upper in itertools.combinations(found, 2))

    def _begins_a_segment(self, head: str) -> bool:
        name, end = head[:_NAME_CHARS], head[_NAME_CHARS:]
        is_name = _SEGMENT_NAME.fullmatch(name) is not None and end in {"", self._separators.field}
        return is_name and name not in _BATCH_SEGMENTS and name != _HEADER

    def canonical(self, number: int, line: str) -> str:
        """The canonical text of a line that is a segment."""
        name = line.partition(self._separators.field)[0]
        if _SEGMENT_NAME.fullmatch(name) is None:
            raise Refused(NOT_WELL_FORMED, f"segment {number}")
        if name in _BATCH_SEGMENTS or (name == _HEADER and number > 1):
            raise Refused(BATCH_NOT_ALLOWED, f"segment {number}")
        tidy = self._is_tidy_header(line) if name == _HEADER else self._is_tidy(line)
        return line if tidy else self._tidied(name, number, line)

    def _is_tidy_header(self, line: str) -> bool:
        """Whether an MSH is canonical behind MSH-2, which no other segment could hold."""
        separators = self._separators
        front = separators.field.join((_HEADER, separators.encoding_characters, ""))
        rest = line.removeprefix(front)
        return "" != rest != line and len(line) < self._short and self._is_tidy(rest)

    def _is_tidy(self, line: str) -> bool:
        """Whether a line is canonical, within the limits, and has no escape sequence.

        Most are, and finding that out takes a tenth of parsing it and writing it again: 2 kB in 30
        segments take 60 instead of 190 µs.
        """
        for pair in self._untidy:
            if pair in line:
                return False
        if line.endswith(self._ends):
            return False
        if len(line) < self._short:
            return True
        limits = self._limits
        return (
            len(line) <= limits.field_chars_max
            and line.count(self._separators.field) <= limits.fields_max
            and line.count(self._separators.component) < limits.components_max
            and line.count(self._separators.subcomponent) < limits.components_max
            and line.count(self._separators.repetition) < limits.repetitions_max
        )

    def _tidied(self, name: str, number: int, line: str) -> str:
        """Check a line field by field; return its canonical text."""
        texts = line.split(self._separators.field)[1:]
        limits = self._limits
        if len(texts) > limits.fields_max:
            raise Refused(LIMIT_EXCEEDED, f"segment {number}: more than {limits.fields_max} fields")
        if name == _HEADER:
            del texts[0]
        if len(line) > limits.field_chars_max:
            self._check_lengths(name, number, texts)
        if self._separators.escape in line:
            self._check_escapes(name, number, texts)
        try:
            values = _values(line, self._reader)
        except _TooMany as error:
            message = f"segment {number} ({name}): more than {error.most} {error.what} in a field"
            raise Refused(LIMIT_EXCEEDED, message) from None
        return segment_text(name, values, self._separators)

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


class _FieldReader:
    """Reads fields; more repetitions or components than its limits raise _TooMany."""

    def __init__(
        self,
        separators: Separators,
        repetitions_max: int = sys.maxsize,
        components_max: int = sys.maxsize,
    ) -> None:
        self.separators = separators
        self._component = separators.component
        self._repetition = separators.repetition
        self._subcomponent = separators.subcomponent
        self._repetitions_max = repetitions_max
        self._components_max = components_max

    def field(self, text: str) -> Field:
        if self._repetition not in text:
            only = self._one_repetition(text)
            return only if isinstance(only, str) else (only,)
        if text.count(self._repetition) >= self._repetitions_max:
            raise _TooMany("repetitions", self._repetitions_max)
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
        if text.count(component) >= self._components_max:
            raise _TooMany("components", self._components_max)
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
        if text.count(self._subcomponent) >= self._components_max:
            raise _TooMany("subcomponents", self._components_max)
        return tuple(text.split(self._subcomponent))


def _values(line: str, reader: _FieldReader) -> tuple[Field, ...]:
    """The fields of a segment, without trailing empty ones."""
    name, *texts = line.split(reader.separators.field)
    values: list[Field] = []
    if name == _HEADER:
        values += [reader.separators.field, texts.pop(0)]
    values += [text and reader.field(text) for text in texts]
    while values and not values[-1]:
        values.pop()
    return tuple(values)


class _TooMany(Exception):
    def __init__(self, what: str, most: int) -> None:
        super().__init__(what)
        self.what = what
        self.most = most
