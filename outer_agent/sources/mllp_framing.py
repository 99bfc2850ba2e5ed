"""MLLP (HL7 Minimal Lower Layer Protocol, release 1) on bytes: no socket, no asyncio.

A frame is 0x0B, content, 0x1C 0x0D. Between frames only CR and LF are let pass, which some senders
add; anything else means that sender and receiver no longer agree where a message begins, and the
connection is of no more use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

START: Final = b"\x0b"
END: Final = b"\x1c\r"
_BETWEEN: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame's content."""

    content: bytes


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A frame passed the limit; `beginning` is what came of it. Nothing more can be read."""

    beginning: bytes


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """Bytes outside a frame, or a frame that begins within another. Nothing more can be read.

    `beginning` is the content of the frame that was cut, empty if there was none.
    """

    beginning: bytes


Framed = Frame | TooLarge | OutOfStep


def frame(content: bytes) -> bytes:
    """One message in its frame."""
    return START + content + END


class Framer:
    """Cuts a connection's bytes into frames. `content_bytes_max` bounds what it holds."""

    def __init__(self, content_bytes_max: int) -> None:
        self._content_bytes_max = content_bytes_max
        self._buffer = bytearray()
        self._searched = 0
        self._broken = False

    def feed(self, data: bytes) -> list[Framed]:
        """What these bytes complete, in order. After TooLarge or OutOfStep it takes no more."""
        if self._broken:
            return []
        self._buffer += data
        found: list[Framed] = []
        while not self._broken:
            framed = self._next()
            if framed is None:
                break
            found.append(framed)
            self._broken = not isinstance(framed, Frame)
        return found

    def _next(self) -> Framed | None:
        if not self._buffer.startswith(START):
            rest = self._buffer.lstrip(_BETWEEN)
            self._buffer[:] = rest
            self._searched = 0
            if rest and not rest.startswith(START):
                return OutOfStep(b"")
        end = self._buffer.find(END, self._searched)
        content_end = len(self._buffer) if end < 0 else end
        nested = self._buffer.find(START, max(1, self._searched), content_end)
        if nested >= 0:
            return OutOfStep(bytes(self._buffer[1:nested]))
        if content_end - 1 > self._content_bytes_max:
            return TooLarge(bytes(self._buffer[1 : self._content_bytes_max]))
        if end < 0:
            self._searched = max(0, len(self._buffer) - 1)
            return None
        content = bytes(self._buffer[1:end])
        del self._buffer[: end + len(END)]
        self._searched = 0
        return Frame(content)
