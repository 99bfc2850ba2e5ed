"""Tags, lengths and representations as bytes, in the order and form of their level (PS3.5, 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import NOT_WELL_FORMED, Refused
from validators.dicom import dictionary
from validators.dicom.dictionary import name_of
from validators.dicom.values import BULK, LONG_HEADER, REPRESENTATIONS

if TYPE_CHECKING:
    from validators.dicom.state import Level

UNDEFINED: Final = 0xFFFFFFFF
"""The length of what a delimiter ends."""

_SHORT_BYTES: Final = 8
_LONG_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Header:
    """An element's header: `code` is its declared representation, nothing in implicit encoding."""

    tag: int
    code: str
    length: int
    size: int


def tag_and_length(buffer: bytes, at: int, level: Level) -> tuple[int, int]:
    """The tag and the 32 bits behind it: the length in implicit encoding and of items."""
    group, element, length = struct.unpack_from(_order(level) + "HHI", buffer, at)
    return group << 16 | element, length


def header(buffer: bytes, at: int, level: Level) -> Header | None:
    """The element header at a place where eight bytes are; None if it is longer than what is."""
    tag, length = tag_and_length(buffer, at, level)
    if level.is_implicit:
        return Header(tag, "", length, _SHORT_BYTES)
    code = buffer[at + 4 : at + 6].decode("latin-1")
    if code not in LONG_HEADER:
        (length,) = struct.unpack_from(_order(level) + "H", buffer, at + 6)
        return Header(tag, code, length, _SHORT_BYTES)
    if at + _LONG_BYTES > len(buffer):
        return None
    (length,) = struct.unpack_from(_order(level) + "I", buffer, at + 8)
    return Header(tag, code, length, _LONG_BYTES)


def header_bytes(level: Level, tag: int, code: str, length: int) -> bytes:
    """An element header as it is rebuilt."""
    group, element = tag >> 16, tag & 0xFFFF
    if level.is_implicit:
        return struct.pack(_order(level) + "HHI", group, element, length)
    if code in LONG_HEADER:
        return struct.pack(_order(level) + "HH2sHI", group, element, code.encode(), 0, length)
    return struct.pack(_order(level) + "HH2sH", group, element, code.encode(), length)


def delimiter(level: Level, tag: int, length: int) -> bytes:
    """The bytes of an item's beginning or of a delimiter."""
    return struct.pack(_order(level) + "HHI", tag >> 16, tag & 0xFFFF, length)


def representation(level: Level, tag: int, code: str) -> str:
    """By what representation an element is judged. Raises Refused.

    Implicit: the dictionary's; of several the widest, of an unknown tag UN. Explicit: the declared
    one, which must be one of the dictionary's; UN for a known tag counts as the dictionary's.
    """
    known = dictionary.representations(tag)
    if dictionary.is_private(tag):
        known = ("LO",) if dictionary.is_creator(tag) else ()
    elif dictionary.is_group_length(tag):
        known = ("UL",)
    if not level.is_implicit and code != "UN":
        if code not in REPRESENTATIONS or (known and code not in known):
            raise Refused(NOT_WELL_FORMED, name_of(tag))
        return code
    if not known:
        return "UN"
    return next((one for one in known if one in BULK), known[0])


def _order(level: Level) -> str:
    return ">" if level.is_big_endian else "<"
