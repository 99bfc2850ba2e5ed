"""Where a walk stands between two pieces: a value, so that any worker can go on with it."""

from __future__ import annotations

import enum
import struct
from dataclasses import astuple, dataclass, field, fields
from typing import Any, Final

import msgpack

from ferry_format.reasons import NOT_WELL_FORMED, Refused

_OFFSET_BYTES: Final = 4


class Stage(enum.IntEnum):
    """What comes next."""

    HEAD = 0  # preamble and file meta information, as a whole
    DATA_SET = 1  # an element, item or delimiter
    BULK = 2  # the rest of a value that passes through
    FRAGMENTS = 3  # an item of encapsulated pixel data, or its delimiter


@dataclass(slots=True)
class Level:
    """A data set (the whole one, or an item), or a sequence of items.

    `end`: offset in the file behind its last byte; None where a delimiter ends it. `bound`: the
    nearest such end, its own or that of what it stands in. `is_muted`: it does not cross.
    `creators`: private blocks (group << 8 | block) whose creator the channel names.
    `image`: what the size of pixel data follows from, by tag.
    """

    is_sequence: bool
    end: int | None
    bound: int | None
    is_implicit: bool
    is_big_endian: bool
    is_muted: bool
    character_set: list[str]
    last_tag: int = -1
    creators: list[int] = field(default_factory=list)
    image: dict[int, int | str] = field(default_factory=dict)


@dataclass(slots=True)
class Fragments:
    """Encapsulated pixel data under way: `table` is the basic offset table, once read."""

    is_muted: bool = False
    frames: int = 0
    table: bytes | None = None
    found: int = 0
    offset: int = 0
    count: int = 0

    def add(self, size: int) -> None:
        """Count a fragment of so many bytes, and whether the table has a frame begin with it."""
        assert self.table is not None
        begins = self.table[self.found * _OFFSET_BYTES : (self.found + 1) * _OFFSET_BYTES]
        if begins == struct.pack("<I", self.offset):
            self.found += 1
        self.count += 1
        self.offset = (self.offset + size) % 2**32

    def check_end(self, *, is_video: bool) -> None:
        """Pass what has the fragments and offsets that its frames need. Raises Refused."""
        if self.table is None or not self.count:
            raise Refused(NOT_WELL_FORMED, "PixelData")
        if self.count < self.frames and not is_video:
            raise Refused(NOT_WELL_FORMED, "NumberOfFrames")
        if len(self.table) not in {0, self.found * _OFFSET_BYTES}:
            raise Refused(NOT_WELL_FORMED, "basic offset table")


@dataclass(slots=True)
class WalkState:
    """All that a walk knows. Offsets and counts are bytes.

    `held`: what was rebuilt before the file meta information could be written.
    """

    stage: Stage = Stage.HEAD
    offset: int = 0
    written: int = 0
    pending: bytes = b""
    held: bytes = b""
    is_begun: bool = False
    is_empty: bool = True
    levels: list[Level] = field(default_factory=list)
    fragments: Fragments = field(default_factory=Fragments)
    after_bulk: Stage = Stage.DATA_SET
    bulk_left: int = 0
    zeros_left: int = 0
    bulk_is_muted: bool = False
    syntax: str = ""
    meta_class: str = ""
    meta_instance: str = ""
    sop_class: str = ""
    sop_instance: str = ""
    elements: int = 0


_NAMES: Final = [one.name for one in fields(WalkState)]
_LEVELS: Final = _NAMES.index("levels")
_FRAGMENTS: Final = _NAMES.index("fragments")


def pack(state: WalkState) -> bytes:
    """The state as bytes."""
    packed: bytes = msgpack.packb(astuple(state))
    return packed


def unpack(packed: bytes) -> WalkState:
    """The state that was packed; nothing is a walk that begins."""
    if not packed:
        return WalkState()
    values: list[Any] = msgpack.unpackb(packed, strict_map_key=False)
    state = WalkState(*values)
    state.stage, state.after_bulk = Stage(state.stage), Stage(state.after_bulk)
    state.levels = [Level(*level) for level in values[_LEVELS]]
    state.fragments = Fragments(*values[_FRAGMENTS])
    return state
