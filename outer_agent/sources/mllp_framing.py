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
BEGINNING_BYTES_MAX: Final = 8192
"""Of a frame that is not read to its end: enough for the header that an answer needs."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame's content."""

    content: bytes


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A frame passed the limit; `beginning` is how it began. Nothing more can be read."""

    beginning: bytes


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """Bytes outside a frame, or a frame that begins within another. Nothing more can be read.

    `beginning` is how the frame that was cut began, empty if there was none.
    """

    beginning: bytes


Framed = Frame | TooLarge | OutOfStep


def frame(content: bytes) -> bytes:
    """One message in its frame."""
    return START + content + END


class Framer:
    """Cuts a connection's bytes into frames. `content_bytes_max` bounds what it holds.

    What it finds does not depend on how the bytes were cut on their way.
    """

    def __init__(self, content_bytes_max: int) -> None:
        self._content_bytes_max = content_bytes_max
        self._buffer = bytearray()
        self._searched = 0
        self._broken = False

    @property
    def is_within_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer) and not self._broken

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
            if not isinstance(framed, Frame):
                self._broken = True
                self._buffer.clear()
        return found

    def _next(self) -> Framed | None:
        buffer = self._buffer
        if not buffer.startswith(START):
            buffer[:] = buffer.lstrip(_BETWEEN)
            if not buffer:
                return None
            if not buffer.startswith(START):
                return OutOfStep(b"")
        # Content may fill buffer[1 : content_end_max]; a frame's end begins there at the latest.
        content_end_max = 1 + self._content_bytes_max
        end = buffer.find(END, self._searched, content_end_max + len(END))
        content_end = min(len(buffer), content_end_max) if end < 0 else end
        nested = buffer.find(START, max(1, self._searched), content_end)
        if nested >= 0:
            return OutOfStep(bytes(buffer[1 : min(nested, BEGINNING_BYTES_MAX + 1)]))
        if end >= 0:
            content = bytes(buffer[1:end])
            del buffer[: end + len(END)]
            self._searched = 0
            return Frame(content)
        self._searched = max(0, min(len(buffer), content_end_max) - 1)
        beyond = buffer[content_end_max : content_end_max + len(END)]
        if END.startswith(beyond):
            return None
        return TooLarge(bytes(buffer[1 : min(content_end_max, BEGINNING_BYTES_MAX + 1)]))
