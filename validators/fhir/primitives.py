"""FHIR's primitive types (R4 and R5, chapter 2.24.0.1 "Primitive Types"): what each may hold.

Digits are ASCII digits and dates are days of the calendar, which the definitions' own patterns do
not say. base64Binary and xhtml are not here: `attachments` and `narrative` read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Final

URI: Final = "uri"
ELEMENT_ID: Final = "id of an element"
_INTEGER_MOST: Final = 2**31 - 1
_INTEGER64_MOST: Final = 2**63 - 1
_STRING_CHARS_MAX: Final = 1024 * 1024
_NOT_FOR_LINKS: Final = ("javascript:", "vbscript:", "data:", "file:")
"""What a viewer runs, what holds a file that nobody has looked at, what is on the reader's disk."""

_CODE: Final = re.compile(r"\S+( \S+)*")
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_ELEMENT_ID: Final = re.compile(r"\S{1,256}")
_URI: Final = re.compile(r"\S+")
_OID: Final = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")
_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INTEGER64: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?"
_ZONE: Final = r"(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)"
_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_DATE_TIME: Final = re.compile(rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})T{_CLOCK}{_ZONE}")
_TIME: Final = re.compile(_CLOCK)


def is_valid(type_name: str, value: object) -> bool:
    """Whether a JSON value may stand as a primitive of this type."""
    return _CHECKS[type_name](value)


def _string(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _STRING_CHARS_MAX and not value.isspace()


def _integer(value: object) -> bool:
    return type(value) is int and -_INTEGER_MOST - 1 <= value <= _INTEGER_MOST


def _unsigned(value: object) -> bool:
    return type(value) is int and 0 <= value <= _INTEGER_MOST


def _positive(value: object) -> bool:
    return type(value) is int and 0 < value <= _INTEGER_MOST


def _integer64(value: object) -> bool:
    return (
        isinstance(value, str)
        and _INTEGER64.fullmatch(value) is not None
        and -_INTEGER64_MOST - 1 <= int(value) <= _INTEGER64_MOST
    )


def _decimal(value: object) -> bool:
    return type(value) is int or isinstance(value, Decimal)


def _uri(value: object) -> bool:
    return (
        isinstance(value, str)
        and _URI.fullmatch(value) is not None
        and not value.lower().startswith(_NOT_FOR_LINKS)
    )


def _date(value: object) -> bool:
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return False
    year, month, day = found.groups()
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return False
    return True


def _instant(value: object) -> bool:
    found = _DATE_TIME.fullmatch(value) if isinstance(value, str) else None
    return found is not None and _date(found[1])


def _of(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        return isinstance(value, str) and pattern.fullmatch(value) is not None

    return check


_CHECKS: Final[dict[str, Callable[[object], bool]]] = {
    "boolean": lambda value: isinstance(value, bool),
    "canonical": _uri,
    "code": _of(_CODE),
    ELEMENT_ID: _of(_ELEMENT_ID),
    "date": _date,
    "dateTime": lambda value: _date(value) or _instant(value),
    "decimal": _decimal,
    "id": _of(_ID),
    "instant": _instant,
    "integer": _integer,
    "integer64": _integer64,
    "markdown": _string,
    "oid": _of(_OID),
    "positiveInt": _positive,
    "string": _string,
    "time": _of(_TIME),
    "unsignedInt": _unsigned,
    URI: _uri,
    "url": _uri,
    "uuid": _of(_UUID),
}
