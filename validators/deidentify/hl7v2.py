"""HL7 v2 messages as slots. Most fields are codes and numbers: those are never split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, Refused
from validators.deidentify.ages import AGE_CODES
from validators.deidentify.hl7v2_table import FieldRule, Table, type_rule
from validators.deidentify.slots import Form, Part, Slot
from validators.deidentify.text import unescaped
from validators.hl7v2.charset import BY_POLICY_NAME, Charset, decode, detect, encode
from validators.hl7v2.separators import SEGMENT_END, Separators, read_separators
from validators.order_key import Hl7Place

if TYPE_CHECKING:
    from validators.policy import HL7v2Policy
    from validators.policy.deidentify import DeidentificationPolicy, Kind

Leaves = list[list[list[str]]]
"""A field as repetitions of components of subcomponents."""

_NULL: Final = '""'
_HEADER: Final = "MSH"
_OBSERVATION: Final = "OBX"
_OBX_TYPE, _OBX_IDENTIFIER = 2, 3
_MESSAGE_DATE: Final = 7
_PATIENT: Final = "PID-3.1"
_AGES: Final = AGE_CODES | {"age", "年龄"}
"""What an age is called: in codes, and in local codes and texts."""
_IN_ONE: Final[frozenset[Kind]] = frozenset({"name"})
_DATES: Final[frozenset[Kind]] = frozenset({"date", "birth-date"})
_READ: Final[frozenset[Kind]] = frozenset({"identity", "internal", "name", "text"})
"""What is looked for, or in: as a receiver reads it, without escapes. None is written back."""


class HL7v2Family:
    """Where persons stand in the messages of one channel."""

    def __init__(self, policy: DeidentificationPolicy, content: HL7v2Policy) -> None:
        self._table = Table.of(policy.places)
        self._patient = Hl7Place.parse(policy.patient or _PATIENT)
        self._removes_files = policy.files == "remove"
        self._default = BY_POLICY_NAME[content.default_charset]
        self._lax = content.header == "lax"

    def open(self, payload: bytes) -> HL7v2Document:
        """Parse an accepted message. Raises Refused(ATTACHMENT_NOT_ALLOWED)."""
        charset = detect(payload, self._default, lax=self._lax)
        text = decode(payload, charset)
        separators = read_separators(text)
        assert separators is not None
        segments = [_Segment(line, separators) for line in text.split(SEGMENT_END) if line]
        slots = [slot for segment in segments for slot in self._slots(segment)]
        for slot in slots:
            if slot.kind in _READ:
                slot.value = unescaped(slot.value, separators, charset.codec)
        patients = {unescaped(each, separators, charset.codec) for each in self._patients(segments)}
        moment = segments[0].first(_MESSAGE_DATE)[0] or None
        return HL7v2Document(segments, charset, Part(slots, patients, moment))

    def _slots(self, segment: _Segment) -> Iterator[Slot]:
        for number in segment.filled():
            rule = self._table.rule(segment.name, number)
            if rule.varies and segment.name == _OBSERVATION:
                rule = _observed(segment)
            if rule.keeps_all:
                continue
            place = f"{segment.name}-{number}"
            if rule.is_file and not self._removes_files:
                raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: de-identification")
            if rule.reads_only:
                yield Slot(place, "text", segment.raw(number), partial(segment.put_raw, number))
            else:
                yield from _leaves(segment.split(number), rule, place)

    def _patients(self, segments: Sequence[_Segment]) -> set[str]:
        place = self._patient
        found = set()
        for segment in segments:
            if segment.name == place.segment:
                components = segment.first(place.field)
                if len(components) >= place.component and components[place.component - 1]:
                    found.add(components[place.component - 1])
        return found


class HL7v2Document:
    """One message; what is put into its slots stands in `write`."""

    def __init__(self, segments: Sequence[_Segment], charset: Charset, part: Part) -> None:
        self.parts = (part,)
        self._segments = segments
        self._charset = charset

    def write(self) -> bytes:
        """The message as it stands now, perhaps with trailing empty fields."""
        text = SEGMENT_END.join([*[segment.text() for segment in self._segments], ""])
        return encode(text, self._charset)


class _Segment:
    """A segment whose fields are split where somebody asks."""

    def __init__(self, line: str, separators: Separators) -> None:
        self._separators = separators
        self._texts = line.split(separators.field)
        self.name = self._texts[0]
        # MSH-1 is the separator itself: MSH-n stands at n - 1.
        self._before = 1 if self.name == _HEADER else 0
        self._split: dict[int, Leaves] = {}

    def filled(self) -> Iterator[int]:
        """The numbers of the fields that hold something."""
        for index in range(1, len(self._texts)):
            if self._texts[index] and self._texts[index] != _NULL:
                yield index + self._before

    def first(self, number: int) -> list[str]:
        """The components of a field's first repetition, each by its first subcomponent."""
        index = number - self._before
        text = self._texts[index] if index < len(self._texts) else ""
        one = text.partition(self._separators.repetition)[0]
        return [
            each.partition(self._separators.subcomponent)[0]
            for each in one.split(self._separators.component)
        ]

    def raw(self, number: int) -> str:
        """A field as it stands."""
        return self._texts[number - self._before]

    def put_raw(self, number: int, value: str | None) -> None:
        """Write a field as it is to stand."""
        self._texts[number - self._before] = value or ""

    def split(self, number: int) -> Leaves:
        """A field in its leaves, to be changed in place."""
        marks = self._separators
        text = self.raw(number)
        leaves = [
            [component.split(marks.subcomponent) for component in repetition.split(marks.component)]
            for repetition in text.split(marks.repetition)
        ]
        self._split[number] = leaves
        return leaves

    def text(self) -> str:
        """The segment as it stands now."""
        marks = self._separators
        for number, leaves in self._split.items():
            self._texts[number - self._before] = marks.repetition.join(
                marks.component.join([marks.subcomponent.join(each) for each in repetition])
                for repetition in leaves
            )
        return marks.field.join(self._texts)


def _observed(observation: _Segment) -> FieldRule:
    """What OBX-5 holds, by OBX-2; a sender may call anything a code or a number: it is read too."""
    if any(each.lower() in _AGES for each in observation.first(_OBX_IDENTIFIER)):
        return FieldRule({0: "age"})
    return _read_rule(observation.first(_OBX_TYPE)[0].strip().upper())


@lru_cache(maxsize=64)
def _read_rule(type_name: str) -> FieldRule:
    rule = type_rule(type_name)
    read: dict[int, Kind] = {
        number: "text" if kind == "keep" else kind for number, kind in rule.components.items()
    }
    return FieldRule(read, rule.is_file)


def _leaves(leaves: Leaves, rule: FieldRule, place: str) -> Iterator[Slot]:
    for repetition in leaves:
        owner = id(repetition)
        for number, component in enumerate(repetition, 1):
            kind = rule.at(number)
            if kind == "keep":
                continue
            form = Form.DATE if kind in _DATES else Form.TEXT
            where = place if len(repetition) == 1 else f"{place}.{number}"
            for index, value in enumerate(component):
                if value and value != _NULL:
                    put = partial(_put, component, index)
                    yield Slot(where, kind, value, put, form, owner if kind in _IN_ONE else 0)


def _put(component: list[str], index: int, value: str | None) -> None:
    component[index] = value or ""
