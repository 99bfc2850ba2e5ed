"""The slip: which files of a stream are missing, on one line that a person can carry to the outer.

Nothing flows back over the medium, so the order to publish files again travels by hand: printed,
typed, scanned or read out on the telephone. SPEC.md, chapter 11.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ferry_format import reasons
from ferry_format.limits import SEQUENCE_MAX
from ferry_format.reasons import Refused
from ferry_format.stream import Gap

WORD: Final = "FERRY1"
RANGES_MAX: Final = 16
"""More make a slip that nobody types; the next one names the rest."""

_STREAM_DIGITS: Final = 8
_CHECK_LETTERS: Final = 6
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that reads like a digit."""

_MISREAD: Final = str.maketrans("OIL", "011")
_RANGE: Final = re.compile(r"([1-9][0-9]{0,18})(?:-([1-9][0-9]{0,18}))?")
_STREAM: Final = re.compile(rf"[0-9A-F]{{{_STREAM_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class Slip:
    """What a slip says: the beginning of the stream's id in hexadecimal, and what is missing."""

    stream_prefix: str
    missing: tuple[Gap, ...]
    check: str

    def is_of(self, stream_id: bytes) -> bool:
        """Whether the slip was written for this stream, and read as it was written."""
        return self == _slip(stream_id, self.missing)


def write(stream_id: bytes, missing: Iterable[Gap]) -> str:
    """The slip for a stream's first RANGES_MAX missing ranges, ascending and apart."""
    slip = _slip(stream_id, tuple(missing)[:RANGES_MAX])
    return " ".join((WORD, slip.stream_prefix, *map(_range_text, slip.missing), slip.check))


def read(text: str) -> Slip:
    """What a typed or scanned slip says; whether rightly, `Slip.is_of` tells.

    Capital and small letters are one, and so is any white space. Raises Refused(BAD_SLIP).
    """
    words = text.upper().split()
    if len(words) < len((WORD, "stream", "range", "check")) or words[0] != WORD:
        raise Refused(reasons.BAD_SLIP, f"it begins with {WORD} and has four words or more")
    _, prefix, *ranges, check = words
    if _STREAM.fullmatch(prefix) is None or len(ranges) > RANGES_MAX:
        raise Refused(reasons.BAD_SLIP, "word 2" if len(ranges) <= RANGES_MAX else "too many words")
    missing = tuple(_gap(word, number) for number, word in enumerate(ranges, 3))
    if any(one.last >= other.first for one, other in pairwise(missing)):
        raise Refused(reasons.BAD_SLIP, "its ranges do not ascend")
    return Slip(prefix, missing, check.translate(_MISREAD))


def _slip(stream_id: bytes, missing: tuple[Gap, ...]) -> Slip:
    prefix = stream_id.hex().upper()[:_STREAM_DIGITS]
    said = " ".join((WORD, stream_id.hex(), *map(_range_text, missing)))
    number = int.from_bytes(hashlib.sha256(said.encode()).digest())
    check = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_CHECK_LETTERS))
    return Slip(prefix, missing, check)


def _range_text(gap: Gap) -> str:
    return str(gap.first) if gap.first == gap.last else f"{gap.first}-{gap.last}"


def _gap(word: str, number: int) -> Gap:
    match = _RANGE.fullmatch(word)
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else 0
    if not 1 <= first <= last <= SEQUENCE_MAX:
        raise Refused(reasons.BAD_SLIP, f"word {number}")
    return Gap(first, last)
