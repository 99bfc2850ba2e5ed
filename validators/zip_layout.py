"""The entries of a ZIP file (PKWARE APPNOTE 6.3), where nothing but entries stands in it.

Readers differ in what they believe: the directory at the end, or each entry's own header. Here both
must say the same, and between, before and behind them there is no room for anything else: no
comments, no gaps, and of the extra fields those for times and owners only.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_EXTRA: Final = struct.Struct("<2H")
_SIZES: Final = struct.Struct("<3L")
_DESCRIPTOR_MARK: Final = b"PK\x07\x08"
_SIZES_BEHIND: Final = 0x8
_ENCRYPTED: Final = 0x1
_END: Final = struct.Struct("<4s4H2LH")
"""The record at a ZIP file's end, without a comment."""
_DIRECTORY_BYTES_MAX: Final = 512
"""For each entry of the directory: a name, and the fields that may stand in it."""
_TIMES_AND_OWNERS: Final = frozenset({0x000A, 0x5455, 0x5855, 0x7875})
"""Extra fields that the usual programs write: NTFS and Unix times, Unix ids."""
_EXTRA_BYTES_MAX: Final = 36
_UNIX_MODE_AT: Final = 16
_PLAIN: Final = frozenset({0, stat.S_IFREG, stat.S_IFDIR})
"""A symbolic link would have the next entry land where it points."""
_BAD_NAME: Final = re.compile(r"[\x00-\x1f\\:]|(^|/)\.\.(/|$)|^/")
METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class LayoutError(Exception):
    """What is wrong, in words of this page: no data."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, and what the directory says that unpacking its bytes gives."""

    packed: bytes
    method: int
    unpacked_bytes: int
    crc: int


def is_safe_name(name: str) -> bool:
    """Whether a file of this name lands where it is unpacked."""
    return _BAD_NAME.search(name) is None


def entries(data: bytes, entries_max: int) -> Iterator[Entry] | None:
    """The entries in their order; None where there are more than `entries_max`.

    Raises LayoutError, and what zipfile raises for a broken directory.
    """
    if len(data) < _END.size:
        raise LayoutError("no directory")
    mark, *_, count, directory_bytes, _, comment_bytes = _END.unpack(data[-_END.size :])
    if mark != b"PK\5\6" or comment_bytes:
        raise LayoutError("something behind the entries")
    # zipfile makes an object of each entry that it finds, however many are announced.
    if count > entries_max or directory_bytes > entries_max * _DIRECTORY_BYTES_MAX:
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos, directory_at = archive.infolist(), archive.start_dir
    if len(infos) != count:
        raise LayoutError("entries that are not announced")
    # The name as it stands there: `filename` ends at a NUL.
    names = {info.orig_filename for info in infos}
    if len(names) != len(infos) or not all(map(is_safe_name, names)):
        raise LayoutError("entries' names")
    for info in infos:
        _check(info)
    return _one_after_another(data, infos, directory_at)


def _check(info: zipfile.ZipInfo) -> None:
    if stat.S_IFMT(info.external_attr >> _UNIX_MODE_AT) not in _PLAIN:
        raise LayoutError("a link or device")
    if info.flag_bits & _ENCRYPTED:
        raise LayoutError("an encrypted entry")
    if info.compress_type not in METHODS:
        raise LayoutError("an unusual compression")
    if info.comment or not _is_times_and_owners(info.extra):
        raise LayoutError("a comment or an extra field")


def _is_times_and_owners(extra: bytes) -> bool:
    at = 0
    seen: set[int] = set()
    while at < len(extra):
        if at + _EXTRA.size > len(extra):
            return False
        kind, size = _EXTRA.unpack_from(extra, at)
        if kind not in _TIMES_AND_OWNERS or kind in seen or size > _EXTRA_BYTES_MAX:
            return False
        seen.add(kind)
        at += _EXTRA.size + size
    return at == len(extra)


def _one_after_another(
    data: bytes, infos: list[zipfile.ZipInfo], directory_at: int
) -> Iterator[Entry]:
    at = 0
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset != at or at + _LOCAL.size > directory_at:
            raise LayoutError("something between the entries")
        packed_at = _packed_at(data, info)
        at = packed_at + info.compress_size
        if info.flag_bits & _SIZES_BEHIND:
            at = _after_descriptor(data, at, info)
        packed = data[packed_at : packed_at + info.compress_size]
        yield Entry(packed, info.compress_type, info.file_size, info.CRC)
    if at != directory_at:
        raise LayoutError("something behind the entries")


def _packed_at(data: bytes, info: zipfile.ZipInfo) -> int:
    """Where an entry's data begin, if its own header says what the directory says."""
    mark, _, flags, method, _, _, *sizes, name_bytes, extra_bytes = _LOCAL.unpack_from(
        data, info.header_offset
    )
    name_at = info.header_offset + _LOCAL.size
    extra_at = name_at + name_bytes
    packed_at: int = extra_at + extra_bytes
    told = [info.CRC, info.compress_size, info.file_size]
    if (
        (mark, flags, method) != (b"PK\3\4", info.flag_bits, info.compress_type)
        or not (sizes == told or (flags & _SIZES_BEHIND and not any(sizes)))
        or _name(data[name_at:extra_at], flags) != info.orig_filename
        or not _is_times_and_owners(data[extra_at:packed_at])
    ):
        raise LayoutError("an entry whose own header says something else")
    return packed_at


def _name(raw: bytes, flags: int) -> str:
    # Bit 11: UTF-8; without it, the character set of MS-DOS (APPNOTE, appendix D).
    return raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")


def _after_descriptor(data: bytes, at: int, info: zipfile.ZipInfo) -> int:
    at += len(_DESCRIPTOR_MARK) * (data[at : at + 4] == _DESCRIPTOR_MARK)
    told = _SIZES.pack(info.CRC, info.compress_size, info.file_size)
    if data[at : at + _SIZES.size] != told:
        raise LayoutError("an entry whose sizes are not the directory's")
    return at + _SIZES.size
