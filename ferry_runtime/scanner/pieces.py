"""What of a message a scanner must see: all of it, and each file in it that is base64 or hex.

ClamAV does not see through base64 in JSON, XML and HL7 v2, nor through a form's escapes. A message
that crosses has its files in one spelling, without line breaks (validators), so that a run of
digits is the whole of one. Where a run is no file, a scan too many is made.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final
from urllib.parse import unquote_to_bytes

from ferry_format.reasons import LIMIT_EXCEEDED, Refused

PIECES_MAX: Final = 1000

_DIGITS: Final = re.compile(rb"[A-Za-z0-9+/]{64,}")
"""48 bytes and more: the shortest virus that is known, EICAR's test file, has 68."""
_FORM: Final = re.compile(rb"[A-Za-z0-9*._~!$'(),/:;?@|+%&=-]+")
"""Nothing else stands in a form; what is none and looks like one is scanned the more."""
_FIELD_BYTES_MIN: Final = 64
_WHITE_SPACE: Final = b" \t\r\n"
_HEX: Final = re.compile(rb"(?:[0-9A-F]{2}){64,}|(?:[0-9a-f]{2}){64,}")


def pieces(message: bytes) -> list[bytes]:
    """What to scan, one after another. Raises Refused(LIMIT_EXCEEDED) where that is too much."""
    found = [message]
    fields = _fields(message) if _FORM.fullmatch(message) else iter(())
    for each in chain(_files(message), fields):
        found.append(each)
        if len(found) > PIECES_MAX:
            raise Refused(LIMIT_EXCEEDED, f"more than {PIECES_MAX} files to scan")
    return found


def _files(text: bytes) -> Iterator[bytes]:
    """What each run of digits spells."""
    for run in _DIGITS.finditer(text):
        digits = run[0]
        if _HEX.fullmatch(digits):
            yield bytes.fromhex(digits.decode("ascii"))
        # A digit alone spells no byte: text before a file can make one too many.
        whole = digits[: len(digits) - (len(digits) % 4 == 1)]
        yield base64.b64decode(whole + b"=" * (-len(whole) % 4))


def _fields(form: bytes) -> Iterator[bytes]:
    """Each value of a form that is long enough, as its receiver has it, and the files in it."""
    for pair in form.split(b"&"):
        value = unquote_to_bytes(pair.partition(b"=")[2].replace(b"+", b" "))
        if len(value) >= _FIELD_BYTES_MIN:
            yield value
            yield from _files(value.translate(None, _WHITE_SPACE))
