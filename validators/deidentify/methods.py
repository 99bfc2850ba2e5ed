"""The rows of the table as one function: kind, value and whose it is in, what stands for it out.

Deny by default: a value that a method cannot read (a date that is none) goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import PATIENT_UNKNOWN, Refused
from validators.deidentify import ages, dates, regions
from validators.deidentify.slots import Form

if TYPE_CHECKING:
    from validators.deidentify.keyed import Keyed
    from validators.policy.deidentify import DeidentificationPolicy, Kind

BLANK: Final = "***"
_MOVING: Final = frozenset({"shift", "day-number"})
_UID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*)){5,}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_POSTCODE: Final = re.compile(r"\s*([0-9]{3})[0-9 -]*")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a message concerns.

    Their dates move by `shift_days`, or are cut to years if it is None. `moment` is the date at
    which ages are told.
    """

    shift_days: int | None
    moment: str | None


def subject_of(
    policy: DeidentificationPolicy,
    keyed: Keyed,
    patients: Collection[str],
    moment: str | None,
    *,
    has_dates: bool,
) -> Subject:
    """Whom a message with these patients' numbers concerns. Raises Refused(PATIENT_UNKNOWN)."""
    if policy.dates not in _MOVING:
        return Subject(None, moment)
    if len(patients) == 1:
        return Subject(keyed.shift_days(next(iter(patients))), moment)
    if policy.without_patient == "year" or not has_dates:
        return Subject(None, moment)
    raise Refused(PATIENT_UNKNOWN, f"{len(patients)} patients")


Method = Callable[[str, Subject, Form], str | None]


class Methods:
    """A channel's method for each kind."""

    def __init__(self, policy: DeidentificationPolicy, keyed: Keyed) -> None:
        number: Mapping[str, Method] = {
            "pseudonym": _replaced(keyed, keyed.pseudonym),
            "digits": _replaced(keyed, keyed.digits),
            "remove": _removed,
        }
        name = _blanked if policy.names == "blank" else _removed
        keeps_city = policy.contacts != "remove"
        keeps_county = policy.contacts == "county"
        self._by_kind: dict[Kind, tuple[str, Method]] = {
            "name": (policy.names, name),
            "organisation": (policy.names, name),
            "contact": ("remove", _removed),
            "address": (policy.contacts, _address(policy)),
            "city": ("keep", _kept) if keeps_city else ("remove", _removed),
            "county": ("keep", _kept) if keeps_county else ("remove", _removed),
            "date": (policy.dates, _DATES[policy.dates]),
            "birth-date": (policy.birth_dates, _BIRTH_DATES[policy.birth_dates]),
            "age": (policy.ages, _AGES[policy.ages]),
            "identity": (policy.identities, number[policy.identities]),
            "postcode": (policy.postcodes, _POSTCODES[policy.postcodes]),
            "internal": (policy.internal_numbers, number[policy.internal_numbers]),
            "uid": ("pseudonym", number["pseudonym"]),
            "text": ("keep", _kept),
            "keep": ("keep", _kept),
            "remove": ("remove", _removed),
        }

    def name_of(self, kind: Kind) -> str:
        """The method that a kind gets, as the policy names it."""
        return self._by_kind[kind][0]

    def apply(self, kind: Kind, value: str, subject: Subject, form: Form = Form.TEXT) -> str | None:
        """What stands for the value; None if nothing does."""
        return self._by_kind[kind][1](value, subject, form)


def _removed(_value: str, _subject: Subject, _form: Form) -> None:
    return None


def _blanked(_value: str, _subject: Subject, _form: Form) -> str:
    return BLANK


def _kept(value: str, _subject: Subject, _form: Form) -> str:
    return value


def _replaced(keyed: Keyed, make: Callable[[str], str]) -> Method:
    """What replaces a number. UIDs and UUIDs stay such, so that a study keeps its images."""

    def replace(value: str, _subject: Subject, _form: Form) -> str:
        if _UID.fullmatch(value):
            return keyed.uid(value)
        return keyed.uuid(value.lower()) if _UUID.fullmatch(value) else make(value)

    return replace


def _address(policy: DeidentificationPolicy) -> Method:
    level = policy.contacts
    if level == "remove":
        return _removed
    return lambda value, _subject, _form: regions.generalised(value, level)


def _shifted(value: str, subject: Subject, form: Form) -> str | None:
    if subject.shift_days is None:
        return _year(value, subject, form)
    return dates.shifted(value, subject.shift_days)


def _day_number(value: str, subject: Subject, form: Form) -> str | None:
    if subject.shift_days is None:
        return _year(value, subject, form)
    return dates.day_number(value, subject.shift_days)


def _month(value: str, _subject: Subject, form: Form) -> str | None:
    month = dates.cut_to_month(value)
    if month and form is Form.DAY:
        return "".join(filter(str.isdigit, month)) + "01"
    return f"{month}-01T00:00:00Z" if month and form is Form.INSTANT else month


def _year(value: str, _subject: Subject, form: Form) -> str | None:
    year = dates.cut_to_year(value)
    if year and form is Form.DAY:
        return f"{year}0101"
    return f"{year}-01-01T00:00:00Z" if year and form is Form.INSTANT else year


def _age(value: str, subject: Subject, form: Form) -> str | None:
    years = None if subject.moment is None else dates.age(value, subject.moment)
    if years is None or subject.moment is None:
        return None
    band = ages.banded(years)
    if form is Form.TEXT:
        return str(band)
    return f"{int(subject.moment[:4]) - band:04}" + ("0101" if form is Form.DAY else "")


def _banded(value: str, _subject: Subject, _form: Form) -> str | None:
    return ages.banded_text(value)


def _three_digits(value: str, _subject: Subject, _form: Form) -> str | None:
    found = _POSTCODE.fullmatch(value)
    return None if found is None else found[1]


_DATES: Final[Mapping[str, Method]] = {
    "shift": _shifted,
    "month": _month,
    "year": _year,
    "day-number": _day_number,
    "remove": _removed,
}
_BIRTH_DATES: Final[Mapping[str, Method]] = {"age": _age, "remove": _removed}
_AGES: Final[Mapping[str, Method]] = {"band": _banded, "remove": _removed}
_POSTCODES: Final[Mapping[str, Method]] = {"three-digits": _three_digits, "remove": _removed}
