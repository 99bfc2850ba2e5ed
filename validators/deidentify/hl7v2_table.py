"""What stands where in HL7 v2: by the data type of each field, and by exception.

Types are those of v2.2 to v2.8.2 (`hl7v2_fields.json`); their components are v2.8.2's, chapter 2A,
to which earlier ones are prefixes. Fields and segments that no version has are removed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Final

from validators.policy.deidentify import Kind, PlacePolicy

Components = Mapping[int, Kind]
"""A component's number and its kind; 0 stands for all others."""

# fmt: off
_PLAIN: Final = (
    "ID", "IS", "NM", "SI", "SN", "NR", "NA", "MA", "CQ", "CP", "MO", "MOC", "MOP", "HD", "PL",
    "INTERNAL_LOCATION", "MSG", "VID", "PT", "UVC", "JCC", "SCV", "VH", "ICD", "RMC", "PTA",
    "DDI", "DTN", "DLT", "RCD", "RPT", "SRT", "QSC", "QIP", "CSU", "ABS_RANGE", "BATCH_TOTAL",
    "OCD", "ERL", "RI", "TM",
)
# fmt: on
"""Codes and numbers that say nothing of who somebody is."""
_PERSON: Final[Components] = {
    0: "remove",
    1: "name",
    2: "name",
    3: "name",
    4: "name",
    5: "name",
    6: "name",
}
_STAFF: Final[Components] = {
    0: "remove",
    1: "internal",
    2: "name",
    3: "name",
    4: "name",
    5: "name",
    6: "name",
    7: "name",
}
_CODED: Final[Components] = {0: "keep", 2: "text", 5: "text", 9: "text"}
_DATE: Final[Components] = {0: "keep", 1: "date"}
_FILE: Final = frozenset({"ED", "RP"})
_READ: Final[frozenset[Kind]] = frozenset({"keep", "text"})
VARIES: Final = "varies"

_TYPES: Final[Mapping[str, Components]] = {
    # persons
    "XPN": _PERSON,
    "PN": _PERSON,
    "XCN": {**_STAFF, 9: "keep"},
    "CN": _STAFF,
    "PPN": {**_STAFF, 15: "date"},
    "NDL": {0: "keep", 1: "name", 2: "date", 3: "date"},
    # contacts
    "XAD": {
        0: "remove",
        1: "address",
        2: "contact",
        3: "city",
        4: "city",
        5: "postcode",
        6: "city",
        9: "county",
    },
    "AD": {0: "remove", 1: "address", 2: "contact", 3: "city", 4: "city", 5: "postcode", 6: "city"},
    "SAD": {0: "remove", 1: "address"},
    "LA1": {0: "keep", 9: "remove"},
    "LA2": {0: "keep", 9: "remove", 10: "remove", 11: "city", 12: "city", 13: "postcode"},
    "XTN": {0: "contact"},
    "TN": {0: "contact"},
    # numbers; a check digit would tell two numbers apart
    "CX": {0: "keep", 1: "internal", 2: "remove", 3: "remove", 7: "date", 8: "date"},
    "CK": {0: "keep", 1: "internal", 2: "remove", 3: "remove"},
    "EI": {0: "keep", 1: "internal"},
    "EIP": {0: "keep", 1: "internal", 2: "internal"},
    "DLN": {0: "remove", 1: "identity", 3: "date"},
    "PLN": {0: "keep", 1: "identity", 4: "date"},
    "AUI": {0: "keep", 1: "internal", 2: "date", 3: "name"},
    "XON": {0: "keep", 1: "organisation", 3: "internal", 4: "remove", 5: "remove", 10: "internal"},
    # dates
    "TS": _DATE,
    "DTM": _DATE,
    "DT": _DATE,
    "DR": {0: "keep", 1: "date", 2: "date"},
    "TQ": {0: "keep", 4: "date", 5: "date", 8: "text", 10: "text"},
    "FC": {0: "keep", 2: "date"},
    "DIN": {**_CODED, 1: "date"},
    "DLD": {0: "keep", 2: "date"},
    "CCD": {0: "keep", 2: "date"},
    "OSP": {0: "keep", 2: "date", 3: "date"},
    "PIP": {0: "keep", 3: "date", 4: "date"},
    "VR": {0: "keep", 1: "text", 2: "text"},
    # codes, with texts beside them
    "CE": _CODED,
    "CWE": _CODED,
    "CNE": _CODED,
    "CF": _CODED,
    **{name: {0: "keep"} for name in _PLAIN},
}
_TEXT: Final[Components] = {0: "text"}
_REMOVED: Final[Components] = {0: "remove"}

_FIELDS_BY_KIND: Final[Mapping[Kind, str]] = {
    "birth-date": "PID-7 NK1-16 GT1-8 IN1-18 STF-6",
    "identity": "PID-19 NK1-37 GT1-12 IN1-8 IN1-28 IN1-36 IN2-2 IN2-6 IN2-8 IN2-10 CER-2 PRA-6",
    "address": "PID-23 NK1-38 GT1-56 IN1-52 ACC-3",
    "county": "PID-12",
    "contact": "STF-15",
    "name": "GT1-16 IN3-15 IN3-21 ACC-9 CER-13 SDD-7",
    "organisation": "NK1-13 GT1-21 IN1-4 IN1-9 IN1-11 IN2-12",
    "internal": (
        "MSH-10 MSA-2 CON-3 FT1-2 FT1-3 FT1-42 OBR-18 OBR-19 OBR-20 OBR-21 RXD-7 RXE-15 UB2-12 "
        "QRD-4 TXA-16 PMT-9"
    ),
    "keep": "MSH-2 MSH-3 MSH-4 MSH-5 MSH-6 MSH-8 OBX-4",
}
_EXCEPTIONS: Final[Mapping[str, Kind]] = {
    name: kind for kind, names in _FIELDS_BY_KIND.items() for name in names.split()
}
"""Fields whose type says less of them than their meaning does."""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a field holds: its components, a file, or what another field tells (varies: OBX-5)."""

    components: Components
    is_file: bool = False
    varies: bool = False

    @property
    def keeps_all(self) -> bool:
        """Whether nothing of it need be looked at."""
        return self.components == {0: "keep"} and not self.is_file

    @property
    def reads_only(self) -> bool:
        """Whether its text is looked through, and nothing in it replaced."""
        return not self.is_file and set(self.components.values()) <= _READ

    def at(self, component: int) -> Kind:
        """The kind of a component, by its number from 1."""
        return self.components.get(component, self.components[0])


@dataclass(slots=True)
class Table:
    """A channel's rules: the standard's, and the places that it names itself."""

    fields: dict[str, dict[int, FieldRule]] = field(default_factory=dict)

    @classmethod
    def of(cls, places: tuple[PlacePolicy, ...]) -> Table:
        """The standard's table with a channel's own places."""
        table = cls({name: dict(rules) for name, rules in _standard().items()})
        for place in sorted(places, key=lambda each: "." in each.at):
            table.put(place.at, place.holds)
        return table

    def put(self, at: str, kind: Kind) -> None:
        """Take a place's kind: of a field (PID-5), or of a component (PID-3.1)."""
        name, _, numbers = at.partition("-")
        number, _, component = numbers.partition(".")
        rules = self.fields.setdefault(name, {})
        old = rules.get(int(number), FieldRule(_REMOVED))
        if component:
            rules[int(number)] = FieldRule({**old.components, int(component): kind})
        else:
            rules[int(number)] = FieldRule({0: kind})

    def rule(self, segment: str, number: int) -> FieldRule:
        """What a field holds; of a field that no version has, nothing crosses."""
        return self.fields.get(segment, {}).get(number, _UNKNOWN)


def type_rule(name: str) -> FieldRule:
    """What a value of this data type holds; an unknown type counts as text."""
    if name in _FILE:
        return FieldRule(_REMOVED, is_file=True)
    return FieldRule(_TYPES.get(name, _TEXT), varies=name == VARIES)


@cache
def _standard() -> dict[str, dict[int, FieldRule]]:
    file = resources.files("validators.deidentify") / "hl7v2_fields.json"
    written: dict[str, list[str | None]] = json.loads(file.read_text(encoding="utf-8"))
    return {
        segment: {number: _rule(segment, number, each) for number, each in enumerate(types, 1)}
        for segment, types in written.items()
    }


def _rule(segment: str, number: int, type_name: str | None) -> FieldRule:
    exception = _EXCEPTIONS.get(f"{segment}-{number}")
    if exception == "birth-date":
        return FieldRule({0: "keep", 1: exception})
    if exception is not None:
        return FieldRule({0: exception})
    return _UNKNOWN if type_name is None else type_rule(type_name)


_UNKNOWN: Final = FieldRule(_REMOVED)
