"""Names and ids: what a channel may be called, how a message is told from every other."""

from __future__ import annotations

import hashlib
import os
import re

from ferry_format.limits import NAME_CHARS_MAX

MESSAGE_ID_BYTES = 16
STREAM_ID_BYTES = 16

_NAME = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{NAME_CHARS_MAX - 1}}}")


def is_name(text: str) -> bool:
    """Whether `text` may name a channel, lane, sender or agent: lower-case ASCII, no separators.

    Such a name is safe as a file name, a metric label and a log field.
    """
    return _NAME.fullmatch(text) is not None


def new_message_id(now_ms: int) -> bytes:
    """A new message id: a UUID version 7 (RFC 9562, section 5.7) for the time `now_ms`.

    The time makes ids sortable in an index; the 74 random bits make them unique without any
    counter that a crash could lose.
    """
    random = os.urandom(10)
    return (
        (now_ms & 0xFFFFFFFFFFFF).to_bytes(6, "big")
        + bytes((0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F))
        + random[3:]
    )


def new_stream_id() -> bytes:
    """A new stream id: 16 random bytes."""
    return os.urandom(STREAM_ID_BYTES)


def lane_id(lane: str) -> bytes:
    """The 32 bytes that stand for a lane's name in every frame (SPEC.md, chapter 3)."""
    return hashlib.sha256(b"ferry-lane-1\x00" + lane.encode()).digest()
