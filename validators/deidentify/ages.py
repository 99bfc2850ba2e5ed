"""Ages in bands of five years, with everybody above 89 in one."""

from __future__ import annotations

import re
from typing import Final

AGE_MAX: Final = 89
AGE_CODES: Final = frozenset({"21612-7", "29553-5", "30525-0", "30972-4", "445518008"})
"""Of LOINC and SNOMED CT: observations whose value is an age."""
_BAND_YEARS: Final = 5
_AGE: Final = re.compile(r"([0-9]{1,3})(?:\.[0-9]{1,9})?\s{0,3}(\S{0,6})")
_YEARS: Final = frozenset({"", "y", "yr", "yrs", "year", "years", "a", "岁", "周岁"})
_LESS: Final = frozenset(
    {"m", "mo", "mon", "month", "months", "月", "个月", "w", "wk", "week", "weeks", "周"}
    | {"d", "day", "days", "天", "日", "h", "小时"}
)


def banded(age: int) -> int:
    """The first year of the age's band: 57 is 55; 90 and more are 90."""
    return AGE_MAX + 1 if age > AGE_MAX else age - age % _BAND_YEARS


def banded_text(text: str) -> str | None:
    """The same for an age as it is written (57, 57岁, 057Y, 8月); None if it is none.

    Digits and unit keep their form; an age in months, weeks or days becomes 0 years.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        return None
    digits, unit = found.groups()
    if unit.lower() in _YEARS:
        return f"{banded(int(digits)):0{len(digits)}}{unit}"
    if unit.lower() not in _LESS:
        return None
    years = "岁" if not unit.isascii() else "Y"
    return f"{0:0{len(digits)}}{years}"
