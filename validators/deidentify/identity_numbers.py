"""Numbers that name a person in China: resident identity numbers and mobile telephone numbers."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Final

_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
_IDENTITY: Final = re.compile(r"[1-9][0-9]{16}[0-9X]")
_MOBILE: Final = re.compile(r"1[3-9][0-9]{9}")
_FIRST_YEAR: Final = 1850


def canonical(number: str) -> str:
    """One spelling of a number, so that one person has one pseudonym.

    Without spaces around it, full-width characters as plain ones; the check letter of an identity
    number is X. Other numbers keep their letters: a and A may be two records.
    """
    text = unicodedata.normalize("NFKC", number).strip()
    upper = text.upper()
    return upper if is_identity_number(upper) else text


def is_identity_number(text: str) -> bool:
    """Whether it is a resident identity number (GB 11643): a date of birth, a right check digit."""
    if _IDENTITY.fullmatch(text) is None:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text, _WEIGHTS, strict=False))
    return _CHECKS[total % 11] == text[-1] and _holds_birth_date(text)


def looks_personal(text: str) -> bool:
    """Whether a reader would take it for an identity number or a mobile number."""
    return is_identity_number(text) or _MOBILE.fullmatch(text) is not None


def _holds_birth_date(text: str) -> bool:
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    return born.year >= _FIRST_YEAR
