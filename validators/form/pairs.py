"""Form text to pairs of names and values and back (WHATWG URL, chapter 5).

Read more strictly than browsers' servers do: a pair has one `=`, an escape two hex digits, and what
some readers take for a separator (`;`) or decode in a way of their own is escaped or refused.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

from ferry_format.reasons import LIMIT_EXCEEDED, NOT_DECODABLE, NOT_WELL_FORMED, Refused

Pair = tuple[str, str]
PAIRS_MAX: Final = 10_000
_PART: Final = rb"(?:[A-Za-z0-9*._~!$'(),/:?@|+-]|%[0-9A-Fa-f]{2})"
_PAIR: Final = re.compile(rb"(%b++)=(%b*+)" % (_PART, _PART))


def read(payload: bytes, codec: str) -> list[Pair]:
    """The pairs, in order. Raises Refused(NOT_WELL_FORMED, NOT_DECODABLE, LIMIT_EXCEEDED)."""
    texts = payload.split(b"&", PAIRS_MAX)
    if len(texts) > PAIRS_MAX:
        raise Refused(LIMIT_EXCEEDED, f"more than {PAIRS_MAX} fields")
    pairs = []
    for number, text in enumerate(texts, 1):
        found = _PAIR.fullmatch(text)
        if found is None:
            raise Refused(NOT_WELL_FORMED, f"field {number}")
        pairs.append((_decoded(found[1], codec, number), _decoded(found[2], codec, number)))
    return pairs


def write(pairs: list[Pair], codec: str) -> bytes:
    """The one spelling: spaces as +, all but letters, digits and `*-._~` escaped."""
    parts = [tuple(quote_plus(each, safe="*", encoding=codec) for each in pair) for pair in pairs]
    return "&".join(f"{name}={value}" for name, value in parts).encode("ascii")


def _decoded(part: bytes, codec: str, number: int) -> str:
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode(codec)
    except UnicodeDecodeError:
        raise Refused(NOT_DECODABLE, f"field {number}") from None
