"""Dates in the spellings of HL7 v2, CDA, FHIR, DICOM and everyday JSON: moved, cut, told as age.

A date is YYYY, YYYYMM or YYYYMMDD, with - / or . between or nothing, and after a whole day perhaps
a time of day and a zone. A shift moves whole days, so that time, zone and precision stay and each
interval between two dates of a patient survives to the fraction of a second. A date of a year or a
month alone moves from its first day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Self

_DATE: Final = re.compile(
    r"([0-9]{4})(?:([-/.]?)([0-9]{2})(?:\2([0-9]{2})((?:[T ]?[0-9][0-9:.]*(?:Z|[+-][0-9:]+)?)?))?)?"
)
_NO_DATES: Final = (1, 9999)
"""Years that stand for "always" and "never": they are no date of anybody and stay as they are."""


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """A date with its precision and all that stood around it."""

    day: date
    separator: str
    has_month: bool
    has_day: bool
    rest: str

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The date that a text writes; None if it is none."""
        found = _DATE.fullmatch(text)
        if found is None:
            return None
        year, separator, month, day, rest = found.groups()
        try:
            first = date(int(year), int(month or 1), int(day or 1))
        except ValueError:
            return None
        return cls(first, separator or "", month is not None, day is not None, rest or "")

    @property
    def is_open(self) -> bool:
        """Whether it stands for no end or no beginning."""
        return self.day.year in _NO_DATES

    def text(self, day: date, *, month: bool = True, rest: bool = True) -> str:
        """The day, written as this date is; less of it where not asked for."""
        written = f"{day.year:04}"
        if self.has_month and month:
            written += f"{self.separator}{day.month:02}"
            if self.has_day and rest:
                written += f"{self.separator}{day.day:02}{self.rest}"
        return written


def shifted(text: str, days: int) -> str | None:
    """The date, so many days later (earlier if negative); None if it is no date."""
    written = WrittenDate.read(text)
    if written is None or written.is_open:
        return text if written else None
    return written.text(written.day + timedelta(days=days))


def cut_to_month(text: str) -> str | None:
    """Year and month of a date; None if it is no date."""
    written = WrittenDate.read(text)
    return None if written is None else written.text(written.day, rest=False)


def cut_to_year(text: str) -> str | None:
    """The year of a date; None if it is no date."""
    written = WrittenDate.read(text)
    return None if written is None else written.text(written.day, month=False)


def day_number(text: str, days: int) -> str | None:
    """The date as a count of days from a zero that is the patient's own; None if it is no date."""
    written = WrittenDate.read(text)
    if written is None or written.is_open or not written.has_day:
        return None
    return str(written.day.toordinal() + days)


def age(born: str, at: str) -> int | None:
    """Whole years of age on a day; None if one of the two says no year or birth lies after it."""
    birth, day = WrittenDate.read(born), WrittenDate.read(at)
    if birth is None or day is None or birth.is_open or day.is_open:
        return None
    has_not_come = (day.day.month, day.day.day) < (birth.day.month, birth.day.day)
    years = day.day.year - birth.day.year - has_not_come
    return years if years >= 0 else None
