"""One value: its characters, its form, its size, and the one way it is padded (PS3.5, 6.2)."""

from __future__ import annotations

import re
from typing import Final

from ferry_format.reasons import (
    CONTROL_CHARACTER,
    LIMIT_EXCEEDED,
    NOT_DECODABLE,
    NOT_WELL_FORMED,
    Refused,
)
from validators.characters import find_forbidden
from validators.dicom.charsets import decode

SIZES: Final = {
    "AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8,
    "OB": 1, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2, "UN": 1,
}  # fmt: skip
"""Bytes of one number, or of one word of bulk data."""

BULK: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
LONG_HEADER: Final = BULK | {"SQ", "SV", "UC", "UR", "UT", "UV"}
"""Those with a length of 32 bits behind two reserved bytes (PS3.5, 7.1.2)."""

_ASCII_TEXTS: Final = {
    "AE": r"[ -~]{0,16}",
    "AS": r"[0-9]{3}[DWMY]",
    "CS": r"[A-Z0-9 _]{0,16}",
    "DA": r"[0-9]{8}|[0-9]{4}\.[0-9]{2}\.[0-9]{2}",
    "DS": r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})? *",
    "DT": r"[0-9]{4}([0-9]{2}){0,5}(\.[0-9]{1,6})?([+-][0-9]{4})?",
    "IS": r" *[+-]?[0-9]{1,11} *",
    "TM": r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?|[0-9]{2}:[0-9]{2}(:[0-9]{2})?",
    "UI": r"[0-9]+(\.[0-9]+)*",
    "UR": r"[!-~]*",
}
_FORMS: Final = {name: re.compile(pattern) for name, pattern in _ASCII_TEXTS.items()}
_CHARS_MAX: Final = {"DS": 16, "IS": 12, "UI": 64, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024}
_PERSON_GROUP_CHARS_MAX: Final = 64
_TEXTS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_SEVERAL_LINES: Final = frozenset({"LT", "ST", "UT"})
_ONE_VALUE: Final = frozenset({"LT", "ST", "UT", "UR"})
_LINE_BREAKS: Final = re.compile("[\t\r\n]")
REPRESENTATIONS: Final = frozenset(SIZES) | frozenset(_FORMS) | _TEXTS | {"SQ"}


def rebuilt(
    representation: str, value: bytes, codecs: tuple[str, ...], place: str, *, strict: bool
) -> tuple[bytes, str]:
    """The value as it crosses, and its text; of numbers the bytes themselves, and no text.

    Trailing padding of texts means nothing: it becomes one space (one null in a UID) where the
    length would be odd. Raises Refused.
    """
    size = SIZES.get(representation)
    if size is not None:
        if len(value) % size:
            raise Refused(NOT_WELL_FORMED, place)
        return value, ""
    bare = value.rstrip(b" \0")
    text = _text(representation, bare, codecs, place)
    if strict:
        _check_form(representation, text, place)
    padding = b"\0" if representation == "UI" else b" "
    return bare + padding * (len(bare) % 2), text


def _text(representation: str, bare: bytes, codecs: tuple[str, ...], place: str) -> str:
    if representation not in _TEXTS:
        try:
            text = bare.decode("ascii")
        except UnicodeError:
            raise Refused(NOT_DECODABLE, place) from None
    else:
        text = decode(bare, codecs, place)
    if find_forbidden(text) is not None:
        raise Refused(CONTROL_CHARACTER, place)
    if representation not in _SEVERAL_LINES and _LINE_BREAKS.search(text):
        raise Refused(CONTROL_CHARACTER, place)
    return text


def _check_form(representation: str, text: str, place: str) -> None:
    chars_max = _CHARS_MAX.get(representation)
    form = _FORMS.get(representation)
    for one in [text] if representation in _ONE_VALUE else text.split("\\"):
        if chars_max is not None and len(one) > chars_max:
            raise Refused(LIMIT_EXCEEDED, place)
        if representation == "PN" and not _is_person(one):
            raise Refused(LIMIT_EXCEEDED, place)
        if form is not None and one and form.fullmatch(one.rstrip(" ")) is None:
            raise Refused(NOT_WELL_FORMED, place)


def _is_person(text: str) -> bool:
    groups = text.split("=")
    return len(groups) <= 3 and all(len(group) <= _PERSON_GROUP_CHARS_MAX for group in groups)  # noqa: PLR2004 - PS3.5, 6.2.1
