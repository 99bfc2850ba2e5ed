"""Archives inside messages, where a channel lets them cross: unpacked in bounds to be judged.

A bomb, an archive in an archive, an entry that would land outside its folder, a link, an encrypted
entry, and every place where something could hide beside the entries are refused. What the entries
hold is not parsed: a channel that names an archive type trusts its receiver with that.
"""

from __future__ import annotations

import codecs
import zipfile
import zlib
from typing import Final

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED, Refused
from validators import zip_layout
from validators.file_types import starts_as

# Names of old archives are in it; a worker can load nothing later.
codecs.lookup("cp437")

ENTRIES_MAX: Final = 1000
UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_RAW_WINDOW: Final = -15
_GZIP_WINDOW: Final = 31
_GZIP_HEADER_BYTES: Final = 10
_GZIP_NAME: Final = 0x8
_GZIP_NAME_BYTES_MAX: Final = 255
_ARCHIVES: Final = ("application/zip", "application/gzip")


def check(file_type: str, data: bytes, place: str) -> None:
    """Pass what is no archive, and an archive in bounds.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED).
    """
    if file_type == "application/zip":
        _check_zip(data, place)
    elif file_type == "application/gzip":
        _check_gzip(data, place)


def _check_zip(data: bytes, place: str) -> None:
    try:
        entries = zip_layout.entries(data, ENTRIES_MAX)
        if entries is None:
            raise Refused(LIMIT_EXCEEDED, f"{place}: more than {ENTRIES_MAX} entries")
        left = UNPACKED_BYTES_MAX
        for entry in entries:
            left -= _check_entry(entry, left, place)
    except zip_layout.LayoutError as error:
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: {error}") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise _broken(place) from None


def _check_entry(entry: zip_layout.Entry, left: int, place: str) -> int:
    """How many bytes the entry gives: as many as it says, from all of its packed bytes."""
    if entry.method == zipfile.ZIP_STORED:
        _check_head(entry.packed, place)
        size, crc = len(entry.packed), zlib.crc32(entry.packed)
    else:
        size, crc = _unpacked(entry.packed, _RAW_WINDOW, left, place)
    if size > left:
        raise _too_large(place)
    if (size, crc) != (entry.unpacked_bytes, entry.crc):
        raise _broken(place)
    return size


def _check_gzip(data: bytes, place: str) -> None:
    flags = data[3] if len(data) >= _GZIP_HEADER_BYTES else 0xFF
    if flags & ~_GZIP_NAME:
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: a comment or an extra field")
    if flags & _GZIP_NAME:
        name = data[_GZIP_HEADER_BYTES:].partition(b"\0")[0].decode("latin-1")
        if "/" in name or len(name) > _GZIP_NAME_BYTES_MAX or not zip_layout.is_safe_name(name):
            raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: a file's name")
    _unpacked(data, _GZIP_WINDOW, UNPACKED_BYTES_MAX, place)


def _unpacked(packed: bytes, window: int, left: int, place: str) -> tuple[int, int]:
    """Size and CRC-32 of what all of `packed` unpacks to, held piece by piece only."""
    unpacker = zlib.decompressobj(window)
    size = crc = 0
    chunk = b""
    try:
        while not unpacker.eof:
            chunk = unpacker.decompress(packed, _CHUNK_BYTES)
            if not size:
                _check_head(chunk, place)
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            packed = unpacker.unconsumed_tail
            if size > left:
                raise _too_large(place)
            if not chunk and not packed and not unpacker.eof:
                raise _broken(place)
    except zlib.error:
        raise _broken(place) from None
    if unpacker.unused_data:
        raise _broken(place)
    return size, crc


def _check_head(head: bytes, place: str) -> None:
    if any(starts_as(each, head) for each in _ARCHIVES):
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: an archive in an archive")


def _too_large(place: str) -> Refused:
    return Refused(LIMIT_EXCEEDED, f"{place}: more than {UNPACKED_BYTES_MAX} unpacked bytes")


def _broken(place: str) -> Refused:
    return Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: a broken archive")
