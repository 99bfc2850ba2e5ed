"""Read one file from a directory that an attacker can write, once and whole, or refuse it.

The rules (SPEC.md, chapter 8): never through a link or onto another mount, never waiting on a pipe,
regular files of the right owner with a single name and a lawful size, the same before and after the
reading. What is refused is not even opened. What comes back is a copy in memory; the file is never
opened again.

File times are too coarse to show every write in place: bytes torn by one come back, and are then
not what the sender signed. What counts is that the bytes verified are the bytes used.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.container import FRAME_BYTES
from ferry_format.limits import FILE_BYTES_MAX
from ferry_format.reasons import Reason, Refused

_OPENAT2: Final = 437  # the same on every architecture
_RESOLVE: Final = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_ANCHOR: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NO_ATIME: Final = getattr(os, "O_NOATIME", 0)
_ATTEMPTS: Final = 3
_NO_OPENAT2: Final = frozenset({errno.ENOSYS, errno.EPERM})
_IN_THE_WAY: Final = frozenset({errno.ELOOP, errno.EXDEV, errno.ENOTDIR})
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells this very file from another that stands under its name later."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class HostileFile(Refused):
    """A name whose file is refused before it is read; `identity` lets a caller remember it."""

    def __init__(self, reason: Reason, where: str, identity: Identity | None) -> None:
        super().__init__(reason, where)
        self.identity = identity


def read_once(root: int, path: str, owner_uid: int) -> tuple[bytes, Identity]:
    """The bytes of `path` beneath the directory `root`, read once.

    Raises FileNotFoundError if there is no such name, HostileFile if it must not or may not be
    read, and OSError if the medium cannot be read.
    """
    for _ in range(_ATTEMPTS):
        try:
            read = _attempt(root, path, owner_uid)
        except PermissionError as error:  # one name's fault must not pass for the medium's
            raise HostileFile(reasons.FILE_NOT_READABLE, path, None) from error
        if read is not None:
            return read
    raise HostileFile(reasons.FILE_CHANGED, path, _identify(root, path))


def open_root(path: Path) -> int:
    """A descriptor of the medium's root. Raises OSError. The caller closes it."""
    return _open_reading(path, os.O_DIRECTORY)


def open_directory(root: int, path: str) -> int | None:
    """A descriptor of the directory `path` beneath `root`; None if there is none to be read.

    Raises OSError if the medium cannot be read. The caller closes it.
    """
    try:
        anchor = _anchor(root, path)
    except (FileNotFoundError, PermissionError, HostileFile):
        return None
    try:
        if not stat.S_ISDIR(os.fstat(anchor).st_mode):
            return None
        return _open_reading(".", os.O_DIRECTORY, anchor)
    except PermissionError:
        return None
    finally:
        os.close(anchor)


def _attempt(root: int, path: str, owner_uid: int) -> tuple[bytes, Identity] | None:
    """One reading; None if the name was taken from the file meanwhile (cleaned, or resent)."""
    anchor = _anchor(root, path)
    try:
        before = os.fstat(anchor)
        if before.st_nlink == 0:
            return None
        _check(before, path, owner_uid)
        descriptor = _reopen(anchor)
    finally:
        os.close(anchor)
    try:
        data = _read_all(descriptor, before.st_size)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if after.st_nlink == 0:
        return None
    if _identity(after) != _identity(before) or len(data) != before.st_size:
        raise HostileFile(reasons.FILE_CHANGED, path, _identity(after))
    return data, _identity(before)


def _anchor(root: int, path: str) -> int:
    """A descriptor that holds on to what stands at `path` without opening it.

    Opening a device can act on it, whatever is refused afterwards. Raises HostileFile if a link,
    a mount or a file is in the way.
    """
    try:
        try:
            return _openat2(root, path)
        except OSError as error:
            if error.errno not in _NO_OPENAT2:
                raise
            return _walk(root, path)
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise HostileFile(reasons.NOT_A_REGULAR_FILE, path, _identify(root, path)) from error
        raise


def _reopen(anchor: int) -> int:
    """A descriptor for reading the very file that `anchor` holds on to."""
    try:
        return _open_reading(f"/proc/self/fd/{anchor}")
    except FileNotFoundError as error:  # or a medium without /proc would look empty for ever
        raise OSError(errno.ENOSYS, "files are read through /proc, which is not there") from error


def _open_reading(path: Path | str, flags: int = 0, folder: int | None = None) -> int:
    try:  # an access time would be a mark that the reader leaves on the medium
        return os.open(path, _READ | flags | _NO_ATIME, dir_fd=folder)
    except PermissionError:  # only the owner may ask for that
        return os.open(path, _READ | flags, dir_fd=folder)


def _openat2(root: int, path: str) -> int:
    how = struct.pack("QQQ", _ANCHOR, 0, _RESOLVE)
    descriptor: int = _LIBC.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(root),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return descriptor


def _walk(root: int, path: str) -> int:
    """What openat2 does, for kernels before 5.6 and filters that forbid it: step by step."""
    *folders, name = path.split("/")
    device = os.fstat(root).st_dev
    here = os.dup(root)
    try:
        steps = [(part, _ANCHOR | os.O_DIRECTORY) for part in folders]
        for part, flags in [*steps, (name, _ANCHOR)]:
            there = os.open(part, flags, dir_fd=here)
            os.close(here)
            here = there
            if os.fstat(here).st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        return os.dup(here)
    finally:
        os.close(here)


def _identify(root: int, path: str) -> Identity | None:
    """The first thing on the way along `path` that is no directory, or its end; None if gone."""
    here = os.dup(root)
    try:
        for part in path.split("/"):
            there = os.open(part, _ANCHOR, dir_fd=here)
            os.close(here)
            here = there
            if not stat.S_ISDIR(os.fstat(here).st_mode):
                break
        return _identity(os.fstat(here))
    except FileNotFoundError:
        return None
    finally:
        os.close(here)


def _check(status: os.stat_result, path: str, owner_uid: int) -> None:
    identity = _identity(status)
    if not stat.S_ISREG(status.st_mode):
        raise HostileFile(reasons.NOT_A_REGULAR_FILE, path, identity)
    if status.st_nlink != 1:
        raise HostileFile(reasons.HARD_LINKED, path, identity)
    if status.st_uid != owner_uid:
        raise HostileFile(reasons.WRONG_OWNER, path, identity)
    if status.st_size < FRAME_BYTES:
        raise HostileFile(reasons.FILE_TOO_SHORT, path, identity)
    if status.st_size > FILE_BYTES_MAX:
        raise HostileFile(reasons.FILE_TOO_LARGE, path, identity)


def _read_all(descriptor: int, size: int) -> bytes:
    """`size` bytes and, if there are more, one of them, which shows that the file grew."""
    parts = []
    remaining = size + 1
    while remaining and (part := os.read(descriptor, remaining)):
        parts.append(part)
        remaining -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _identity(status: os.stat_result) -> Identity:
    return Identity(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )
