"""Archives inside messages, where a channel lets them cross: unpacked in bounds to be judged.

A bomb, an archive in an archive, an entry that would land outside its folder, a link and an
encrypted entry are refused. What the entries hold is not parsed: a channel that names an archive
type trusts its receiver with that.
"""

from __future__ import annotations

import codecs
import io
import re
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED, Refused
from validators.file_types import starts_as

# Names of old archives are in it; a worker can load nothing later.
codecs.lookup("cp437")

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRIES_MAX: Final = 1000
UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_ENCRYPTED: Final = 0x1
_SIZES_BEHIND: Final = 0x8
_SIZES: Final = struct.Struct("<LLL")
_UNIX_MODE_AT: Final = 16
_PLAIN: Final = frozenset({0, stat.S_IFREG, stat.S_IFDIR})
"""A symbolic link would have the next entry land where it points."""
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_GZIP_WINDOW: Final = 31
_END_BYTES: Final = 22
"""The record at a ZIP file's end, without a comment."""
_ARCHIVES: Final = ("application/zip", "application/gzip")
_BAD_NAME: Final = re.compile(r"[\x00-\x1f\\:]|(^|/)\.\.(/|$)|^/")


def check(file_type: str, data: bytes, place: str) -> None:
    """Pass what is no archive, and an archive in bounds.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED).
    """
    if file_type == "application/zip":
        _check_zip(data, place)
    elif file_type == "application/gzip":
        _check_gzip(data, place)


def _check_zip(data: bytes, place: str) -> None:
    left = UNPACKED_BYTES_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES_MAX:
                raise Refused(LIMIT_EXCEEDED, f"{place}: more than {ENTRIES_MAX} entries")
            # The name as it stands there: `filename` ends at a NUL.
            names = {entry.orig_filename for entry in entries}
            hidden = (
                not (data[-_END_BYTES:].startswith(b"PK\5\6") and data.endswith(b"\0\0"))
                or any(entry.comment for entry in entries)
                or archive.start_dir != _end_of_entries(archive, data)
            )
            if len(names) != len(entries) or any(map(_BAD_NAME.search, names)) or hidden:
                raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: entries' names or places")
            for entry in entries:
                if stat.S_IFMT(entry.external_attr >> _UNIX_MODE_AT) not in _PLAIN:
                    raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: a link or device")
                if entry.flag_bits & _ENCRYPTED:
                    raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: an encrypted entry")
                if entry.compress_type not in _METHODS:
                    raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: an unusual compression")
                with archive.open(entry) as unpacked:
                    left = _count(unpacked.read, left, place)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError):
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: a broken archive") from None


def _end_of_entries(archive: zipfile.ZipFile, data: bytes) -> int:
    """Where the last entry's data end, if entries stand one after the other from the start."""
    at = 0
    for entry in sorted(archive.infolist(), key=lambda each: each.header_offset):
        if entry.header_offset != at:
            return -1
        header = at
        name_bytes = int.from_bytes(data[at + 26 : at + 28], "little")
        extra_bytes = int.from_bytes(data[at + 28 : at + 30], "little")
        at += 30 + name_bytes + extra_bytes + entry.compress_size
        if not entry.flag_bits & _SIZES_BEHIND:
            # Who reads from the front must see what the directory at the end says.
            if data[header + 14 : header + 26] != _SIZES.pack(
                entry.CRC, entry.compress_size, entry.file_size
            ):
                return -1
        else:
            at += 16 if data[at : at + 4] == b"PK\x07\x08" else 12
    return at


def _check_gzip(data: bytes, place: str) -> None:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    pending = data

    def read(size: int) -> bytes:
        nonlocal pending
        unpacked = unpacker.decompress(pending, size)
        pending = unpacker.unconsumed_tail
        return unpacked

    try:
        _count(read, UNPACKED_BYTES_MAX, place)
    except zlib.error:
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: a broken archive") from None
    if not unpacker.eof or unpacker.unused_data:
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: a broken archive")


def _count(read: Callable[[int], bytes], left: int, place: str) -> int:
    """Unpack one entry; how many bytes the others may still take."""
    head = read(_CHUNK_BYTES)
    if any(starts_as(each, head) for each in _ARCHIVES):
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: an archive in an archive")
    chunk = head
    while chunk:
        left -= len(chunk)
        if left < 0:
            raise Refused(LIMIT_EXCEEDED, f"{place}: more than {UNPACKED_BYTES_MAX} unpacked bytes")
        chunk = read(_CHUNK_BYTES)
    return left
