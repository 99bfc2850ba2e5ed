"""The protocol of clamd (clamd(8)): one INSTREAM a connection; bytes in, a verdict out. No I/O.

Anything but an exact "stream: OK" lets nothing pass.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable

BEGIN: Final = b"zINSTREAM\0"
END: Final = bytes(4)
VERSION: Final = b"zVERSION\0"
REPLY_BYTES_MAX: Final = 4096

_CHUNK_BYTES: Final = 256 * 1024
_CLEAN: Final = b"stream: OK"
_FOUND: Final = re.compile(rb"stream: (.+) FOUND", re.DOTALL)
_TOO_LARGE: Final = b"size limit exceeded"
_NAME: Final = re.compile(r"[^A-Za-z0-9._/-]+")
_NAME_CHARS_MAX: Final = 80


def chunks(data: bytes) -> Iterator[bytes]:
    """The data as it goes to clamd between BEGIN and END."""
    for at in range(0, len(data), _CHUNK_BYTES):
        chunk = data[at : at + _CHUNK_BYTES]
        yield struct.pack(">I", len(chunk))
        yield chunk


def described(reply: bytes) -> str:
    """The daemon's version and its signatures', as it tells them."""
    return reply.rstrip(b"\0\n").decode("ascii", "replace")


def check(reply: bytes) -> None:
    """Pass what clamd calls clean.

    Raises Refused(VIRUS_FOUND), with the signature's name, Refused(LIMIT_EXCEEDED) where the stream
    is longer than clamd takes, and Unavailable(SCANNER_UNAVAILABLE) on everything else.
    """
    line = reply.rstrip(b"\0\n")
    if line == _CLEAN:
        return
    found = _FOUND.fullmatch(line)
    if found is not None:
        name = _NAME.sub("_", found[1].decode("ascii", "replace"))
        raise Refused(reasons.VIRUS_FOUND, name[:_NAME_CHARS_MAX])
    if _TOO_LARGE in line:
        raise Refused(reasons.LIMIT_EXCEEDED, "more than clamd's StreamMaxLength")
    raise Unavailable(reasons.SCANNER_UNAVAILABLE, "no verdict" if line else "no answer")
