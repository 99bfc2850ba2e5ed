"""Specific Character Set (0008,0005): from its terms to text (PS3.3, C.12.1.1.2; PS3.5, 6.1.2).

Unknown terms and escapes are refused, never guessed.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

from ferry_format.reasons import CHARSET_NOT_ALLOWED, NOT_DECODABLE, Refused

ESC: Final = b"\x1b"
_ASCII: Final = "ascii"
_CODECS: Final = {
    "": _ASCII,
    "ISO_IR 6": _ASCII,
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 GBK": "gbk",  # seen in the field
    "ISO 2022 58": "gb2312",  # seen in the field
    "ISO 2022 IR 6": "latin-1",
    "ISO 2022 IR 58": "gb2312",
    "ISO 2022 IR 87": "iso2022_jp",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 159": "iso2022_jp_2",
} | {
    f"{prefix} {number}": codec
    for prefix in ("ISO_IR", "ISO 2022 IR")
    for number, codec in (
        (13, "shift_jis"),
        (100, "latin-1"),
        (101, "iso8859_2"),
        (109, "iso8859_3"),
        (110, "iso8859_4"),
        (126, "iso8859_7"),
        (127, "iso8859_6"),
        (138, "iso8859_8"),
        (144, "iso8859_5"),
        (148, "iso8859_9"),
        (166, "tis_620"),
    )
}
_ALONE: Final = frozenset({"ISO_IR 192", "GB18030", "GBK"})
"""Those that know no code extensions (PS3.3, table C.12-5)."""

_ESCAPES: Final = {
    b"\x1b(B": _ASCII,
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b-A": "latin-1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "tis_620",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
    b"\x1b$)A": "gb2312",
    b"\x1b$)C": "euc_kr",
}
_OF_PYTHON: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Codecs that read the escapes themselves."""

_LONG_ESCAPES: Final = (b"\x1b$(", b"\x1b$)")
_FRAGMENTS: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_DELIMITERS: Final = re.compile(rb"[\\=^\r\n\f\t]")
"""Each ends a code extension within its line, value, component or group (PS3.5, 6.1.2.5.3)."""

BY_POLICY_NAME: Final = {
    "ASCII": "",
    "UTF-8": "ISO_IR 192",
    "GB18030": "GB18030",
    "GBK": "GBK",
    "ISO-8859-1": "ISO_IR 100",
}

for _name in _CODECS.values():
    codecs.lookup(_name)  # a locked-in worker can open no file to load one later


@lru_cache(maxsize=64)
def codecs_of(terms: tuple[str, ...]) -> tuple[str, ...]:
    """The codecs of (0008,0005)'s values. Raises Refused(CHARSET_NOT_ALLOWED)."""
    known = terms or ("",)
    if any(term not in _CODECS for term in known):
        raise Refused(CHARSET_NOT_ALLOWED, "SpecificCharacterSet")
    if len(known) > 1 and not _ALONE.isdisjoint(known):
        raise Refused(CHARSET_NOT_ALLOWED, "SpecificCharacterSet")
    return tuple(_CODECS[term] for term in known)


def decode(value: bytes, encodings: tuple[str, ...], place: str) -> str:
    """The text of a value. Raises Refused(NOT_DECODABLE)."""
    try:
        if ESC not in value:
            return value.decode(encodings[0])
        return "".join(_fragment(each, encodings) for each in _FRAGMENTS.findall(value))
    except UnicodeError:
        raise Refused(NOT_DECODABLE, place) from None


def _fragment(fragment: bytes, encodings: tuple[str, ...]) -> str:
    """Decode from one escape to the next; a delimiter ends what the escape switched to."""
    if not fragment.startswith(ESC):
        return fragment.decode(encodings[0])
    size = 4 if fragment.startswith(_LONG_ESCAPES) else 3
    codec = _ESCAPES.get(fragment[:size])
    if codec is None or codec not in {*encodings, _ASCII}:
        raise UnicodeError
    if codec in _OF_PYTHON:
        return fragment.decode(codec)
    rest = fragment[size:]
    delimiter = _DELIMITERS.search(rest)
    if delimiter is None:
        return rest.decode(codec)
    return rest[: delimiter.start()].decode(codec) + rest[delimiter.start() :].decode(encodings[0])
