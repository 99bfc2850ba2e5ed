"""Large instances, judged piece by piece: what a validator is asked, and what it says.

A judgement is a fold: from where it stood and the next bytes to where it stands and the bytes that
may cross. Where it stands is a value that its asker keeps, so any worker can take the next piece,
and one that dies costs nobody else's message.

A judge that must know the whole before it writes takes it twice: an answer that is last and has a
state asks for the object once more, from its beginning, with that state.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_HEAD: Final = struct.Struct(">?I")


@dataclass(frozen=True, slots=True)
class Piece:
    """`state` is what the last answer gave, nothing at first; after `is_last` comes nothing."""

    state: bytes
    data: bytes
    is_last: bool

    def packed(self) -> bytes:
        """The piece as a worker's payload."""
        return _HEAD.pack(self.is_last, len(self.state)) + self.state + self.data


def unpack(packed: bytes) -> Piece:
    """The piece, or the answer to one, that a payload holds. Raises ValueError."""
    try:
        is_last, size = _HEAD.unpack_from(packed)
    except struct.error:
        raise ValueError("not a piece") from None
    if len(packed) < _HEAD.size + size:
        raise ValueError("not a piece")
    begins = _HEAD.size + size
    return Piece(packed[_HEAD.size : begins], packed[begins:], is_last)
