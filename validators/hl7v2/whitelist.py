"""What a channel names: message types (MSH-9), segments, fields, versions (MSH-12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from ferry_format.reasons import NOT_WELL_FORMED, Refused
from validators.hl7v2.field_rules import Place

if TYPE_CHECKING:
    from validators.hl7v2.grammar import Field, Fields, Message
    from validators.hl7v2.separators import Separators

Kind = tuple[str, str, str]
"""MSH-9: message code, trigger event, message structure; "" where absent."""

_CODE: Final = re.compile(r"[A-Za-z0-9_]{0,20}")
_PARTS: Final = 3
_ANY: Final = "*"
_ANY_Z: Final = "Z*"
_HEADER: Final = "MSH"
_HEADER_FIELDS: Final = (*range(1, 8), *range(9, 13), 18)


class MessageTypes:
    """`ADT^A01` names every structure of that event, `ADT^*` every event, `*` everything.

    A code alone (`ACK`) names that type without an event.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._all = _ANY in patterns
        self._patterns = tuple(tuple(each.split("^")) for each in patterns)

    def read(self, field: Field) -> Kind:
        """Return MSH-9's parts. Raises Refused(NOT_WELL_FORMED): they go into logs and metrics."""
        if len(field) > 1 and not isinstance(field, str):
            raise Refused(NOT_WELL_FORMED, "MSH-9")
        only = field if isinstance(field, str) else field[0]
        parts = (
            [only] if isinstance(only, str) else [each for each in only if isinstance(each, str)]
        )
        if not isinstance(only, str) and len(parts) != len(only):
            raise Refused(NOT_WELL_FORMED, "MSH-9")
        if len(parts) > _PARTS or not all(_CODE.fullmatch(part) for part in parts):
            raise Refused(NOT_WELL_FORMED, "MSH-9")
        parts += [""] * (_PARTS - len(parts))
        return parts[0], parts[1], parts[2]

    def allow(self, kind: Kind) -> bool:
        """Whether the channel names this type."""
        return self._all or any(_covers(pattern, kind) for pattern in self._patterns)


def _covers(pattern: tuple[str, ...], kind: Kind) -> bool:
    if len(pattern) == 1 and kind[1]:
        return False
    return all(name in {_ANY, part} for name, part in zip(pattern, kind, strict=False))


class SegmentNames:
    """The segments that may stand in a message; MSH always may."""

    def __init__(self, names: Literal["any"] | tuple[str, ...]) -> None:
        self._any = names == "any"
        self._names = frozenset({"MSH", *names} if names != "any" else {"MSH"})
        self._any_z = _ANY_Z in self._names

    def allow(self, name: str) -> bool:
        """Whether the channel names this segment."""
        return self._any or name in self._names or (self._any_z and name.startswith("Z"))


class FieldNames:
    """The fields that may be filled: `PID-3`, `OBX-*` for all of a segment.

    MSH-1 to MSH-7, MSH-9 to MSH-12 and MSH-18 always may: they say what the message is and how it
    is read.
    """

    def __init__(self, names: Literal["any"] | tuple[str, ...]) -> None:
        self.is_any = names == "any"
        self._all: set[str] = set()
        self._numbers: dict[str, set[int]] = {_HEADER: set(_HEADER_FIELDS)}
        for name in () if names == "any" else names:
            segment, number = name.split("-")
            if number == _ANY:
                self._all.add(segment)
            else:
                self._numbers.setdefault(segment, set()).add(int(number))

    def unnamed(self, segment: str, fields: Fields) -> list[int]:
        """The numbers of the filled fields that the channel does not name."""
        if segment in self._all:
            return []
        named = self._numbers.get(segment, set())
        return [
            number for number, text in enumerate(fields.texts, 1) if text and number not in named
        ]


class RequiredFields:
    """Fields that must be filled, in every segment of their name, of which there must be one.

    A component must be filled in every repetition of its field, of which there must be one.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._places: dict[str, list[Place]] = {}
        for name in names:
            place = Place.parse(name)
            self._places.setdefault(place.segment, []).append(place)

    def missing(self, message: Message) -> str | None:
        """The place of the first one that is not filled: `PID-3`, with its segment's number."""
        if not self._places:
            return None
        absent = dict(self._places)
        for index, segment in enumerate(message.segments, 1):
            places = self._places.get(segment.name)
            if places is None:
                continue
            absent.pop(segment.name, None)
            fields = segment.fields()
            for place in places:
                value = fields.at(place.field)
                if not value or not _is_filled(place, value, message.separators):
                    return f"{place.name} (segment {index})"
        return next((places[0].name for places in absent.values()), None)


def _is_filled(place: Place, value: Field, separators: Separators) -> bool:
    return place.component is None or all(place.texts(value, separators))


class Versions:
    """The versions that may stand in MSH-12.1."""

    def __init__(self, names: Literal["any"] | tuple[str, ...]) -> None:
        self._any = names == "any"
        self._names = frozenset(names)

    def allow(self, version: str) -> bool:
        """Whether the channel names this version."""
        return self._any or version in self._names
