"""What of a message a scanner must see: all of it, and each file in it that is base64 or hex.

ClamAV does not see through base64 in JSON, XML and HL7 v2. A message that crosses has its files in
one spelling, without line breaks (validators), so that a run of digits is the whole of one. Where a
run is no file, a scan too many is made.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from ferry_format.reasons import LIMIT_EXCEEDED, Refused

PIECES_MAX: Final = 1000

_DIGITS: Final = re.compile(rb"[A-Za-z0-9+/]{64,}")
"""48 bytes and more: the shortest virus that is known, EICAR's test file, has 68."""
_HEX: Final = re.compile(rb"(?:[0-9A-F]{2}){64,}|(?:[0-9a-f]{2}){64,}")


def pieces(message: bytes) -> list[bytes]:
    """What to scan, one after another. Raises Refused(LIMIT_EXCEEDED) where that is too much."""
    found = [message]
    for run in _DIGITS.finditer(message):
        digits = run[0]
        if _HEX.fullmatch(digits):
            found.append(bytes.fromhex(digits.decode("ascii")))
        # A digit alone spells no byte: text before a file can make one too many.
        whole = digits[: len(digits) - (len(digits) % 4 == 1)]
        found.append(base64.b64decode(whole + b"=" * (-len(whole) % 4)))
        if len(found) > PIECES_MAX:
            raise Refused(LIMIT_EXCEEDED, f"more than {PIECES_MAX} files to scan")
    return found
