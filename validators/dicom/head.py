"""A file's preamble and file meta information (PS3.10, 7.1): read as a whole, written anew."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ferry_format.reasons import FIELD_MISSING, LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused
from validators.dicom.dictionary import name_of
from validators.dicom.values import LONG_HEADER, REPRESENTATIONS, rebuilt

PREAMBLE_BYTES: Final = 128
_PREFIX: Final = b"DICM"
_META_BYTES_MAX: Final = 64 * 1024
_META_GROUP: Final = b"\2\0"
_GROUP_LENGTH: Final = 0x00020000
_VERSION: Final = 0x00020001
_CLASS: Final = 0x00020002
_INSTANCE: Final = 0x00020003
_SYNTAX: Final = 0x00020010
_IMPLEMENTATION: Final = 0x00020012
_IMPLEMENTATION_NAME: Final = 0x00020013
_OUR_IMPLEMENTATION: Final = "2.25.258347716308150316340271873651423061283"
_OUR_NAME: Final = b"MESSAGE_FERRY"


@dataclass(frozen=True, slots=True)
class Head:
    """What is taken of it: its size, and three UIDs."""

    size: int
    sop_class: str
    sop_instance: str
    syntax: str


def read(data: bytes, *, is_all: bool) -> Head | None:
    """The head of a file that begins with `data`; None if more of it is needed.

    `is_all`: no more is to come. Raises Refused.
    """
    begins = PREAMBLE_BYTES + len(_PREFIX)
    if data[PREAMBLE_BYTES:begins] != _PREFIX[: max(0, len(data) - PREAMBLE_BYTES)]:
        raise Refused(NOT_WELL_FORMED, "preamble")
    found: dict[int, bytes] = {}
    at = begins
    while at + 2 <= len(data) and data[at : at + 2] == _META_GROUP:
        element = _element(data, at)
        if element is None or at - begins > _META_BYTES_MAX:
            break
        tag, value, after = element
        if found and tag <= max(found):
            raise Refused(NOT_WELL_FORMED, name_of(tag))
        found[tag], at = value, after
    if at - begins > _META_BYTES_MAX:
        raise Refused(LIMIT_EXCEEDED, "file meta information")
    if at + 2 > len(data) or data[at : at + 2] == _META_GROUP:
        if is_all:
            raise Refused(NOT_WELL_FORMED, "file meta information")
        return None
    _check_length(found, begins, at)
    syntax = _uid(found, _SYNTAX)
    if not syntax:
        raise Refused(FIELD_MISSING, "TransferSyntaxUID")
    return Head(at, _uid(found, _CLASS), _uid(found, _INSTANCE), syntax)


def _element(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Tag, value and end of an element in explicit little endian; None if it is not all there."""
    if at + 12 > len(data):
        return None
    group, element, code = struct.unpack_from("<HH2s", data, at)
    representation = code.decode("latin-1")
    if representation not in REPRESENTATIONS:
        raise Refused(NOT_WELL_FORMED, name_of(group << 16 | element))
    if representation in LONG_HEADER:
        length, begins = struct.unpack_from("<I", data, at + 8)[0], at + 12
    else:
        length, begins = struct.unpack_from("<H", data, at + 6)[0], at + 8
    if length > _META_BYTES_MAX:
        raise Refused(LIMIT_EXCEEDED, name_of(group << 16 | element))
    end = begins + length
    return None if end > len(data) else (group << 16 | element, data[begins:end], end)


def _check_length(found: dict[int, bytes], begins: int, end: int) -> None:
    """Hold the group's length against where the group ended."""
    declared = found.get(_GROUP_LENGTH)
    if declared is None:
        raise Refused(FIELD_MISSING, "FileMetaInformationGroupLength")
    if len(declared) != 4 or struct.unpack("<I", declared)[0] != end - begins - 12:  # noqa: PLR2004 - UL
        raise Refused(NOT_WELL_FORMED, "FileMetaInformationGroupLength")


def check_uid(uid: str, name: str) -> None:
    """Pass one UID of lawful form. Raises Refused."""
    rebuilt("UI", uid.encode("latin-1"), ("ascii",), name, strict=True)
    if not uid or "\\" in uid:
        raise Refused(FIELD_MISSING, name)


def check_same(of_data_set: str, of_file: str, name: str) -> None:
    """Pass a data set's UID that is there and is the file's too. Raises Refused."""
    if not of_data_set:
        raise Refused(FIELD_MISSING, name)
    if of_data_set != of_file:
        raise Refused(NOT_WELL_FORMED, f"MediaStorage{name}")


def _uid(found: dict[int, bytes], tag: int) -> str:
    return found.get(tag, b"").rstrip(b" \0").decode("latin-1")


def written(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """Preamble (zeros) and file meta information (what the standard demands) of a rebuilt file."""
    group = b"".join(
        [
            struct.pack("<HH2sHI", _VERSION >> 16, _VERSION & 0xFFFF, b"OB", 0, 2) + b"\0\1",
            _short(_CLASS, b"UI", _padded(sop_class)),
            _short(_INSTANCE, b"UI", _padded(sop_instance)),
            _short(_SYNTAX, b"UI", _padded(syntax)),
            _short(_IMPLEMENTATION, b"UI", _padded(_OUR_IMPLEMENTATION)),
            _short(_IMPLEMENTATION_NAME, b"SH", _OUR_NAME + b" " * (len(_OUR_NAME) % 2)),
        ]
    )
    length = _short(_GROUP_LENGTH, b"UL", struct.pack("<I", len(group)))
    return bytes(PREAMBLE_BYTES) + _PREFIX + length + group


def _short(tag: int, code: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, code, len(value)) + value


def _padded(uid: str) -> bytes:
    return uid.encode("ascii") + b"\0" * (len(uid) % 2)
