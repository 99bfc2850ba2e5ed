"""The steps of publishing a file so that a power cut leaves all of it or nothing.

The one place on the medium's side that calls fsync. After a failed fsync the kernel may have thrown
the bytes away and a second fsync would say that all is well: a file is then discarded, never
retried.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import FerryError, StorageFault, Unavailable

FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FAULT: Final = frozenset({errno.EIO})
_RENAME_NOREPLACE: Final = 1
_AT_FDCWD: Final = -100
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def told_apart(what: str) -> Iterator[None]:
    """Turn an OSError into what it means for the sender.

    No room: Unavailable(MEDIUM_FULL). A failed disk: StorageFault. Anything else (not mounted,
    read-only, stale): Unavailable(MEDIUM_UNAVAILABLE).
    """
    try:
        yield
    except FerryError:
        raise
    except OSError as error:
        where = f"{what}: {error.strerror}"
        if error.errno in _FULL:
            raise Unavailable(reasons.MEDIUM_FULL, where) from error
        if error.errno in _FAULT:
            raise StorageFault(reasons.STORAGE_FAILED, where) from error
        raise Unavailable(reasons.MEDIUM_UNAVAILABLE, where) from error


def write_new(path: str, data: bytes) -> None:
    """Create `path` with `data`, synchronised. Raises OSError; nothing is left then."""
    sync_new(path, create(path, data))


def create(path: str, data: bytes) -> int:
    """Create `path` with `data`, not yet synchronised; returns its descriptor for `sync_new`.

    Raises OSError; nothing is left then.
    """
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE
    )
    try:
        os.fchmod(descriptor, FILE_MODE)  # the inner reads by group, whatever the umask
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
    except OSError:
        os.close(descriptor)
        _remove(path)
        raise
    return descriptor


def sync_new(path: str, descriptor: int) -> None:
    """Synchronise and close what `create` made. Raises OSError; nothing is left then."""
    try:
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        _remove(path)
        raise


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def make_directory(parent: str, name: str) -> None:
    """Have the directory `name` in `parent`, durably; one that is there is as good. Raises OSError.

    The mode is widened for the group and never narrowed, so that a set-group-id bit stays.
    """
    path = f"{parent}/{name}"
    try:
        os.mkdir(path, DIRECTORY_MODE)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise
    else:
        # Only where the umask took bits away: a sandbox may forbid chmod under a set-group-id bit.
        mode = stat.S_IMODE(os.lstat(path).st_mode)
        if mode & DIRECTORY_MODE != DIRECTORY_MODE:
            os.chmod(path, mode | DIRECTORY_MODE)
    sync_directory(parent)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_new(source: str, target: str) -> None:
    """Rename without replacing. Raises FileExistsError if `target` exists, OSError otherwise.

    Filesystems that cannot refuse a replacement (NFS, 9p) are asked first and then told to rename:
    the lock on the spool sees to it that no other outer comes between. A link and an unlink would
    refuse by themselves, but the reader would meet a file with two names in the meantime.
    """
    result = _LIBC.renameat2(
        _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
    )
    if result == 0:
        return
    code = ctypes.get_errno()
    if code not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(code, os.strerror(code))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(source, target)


def read_regular(path: str, most: int) -> bytes | None:
    """Up to `most` bytes of a regular file; None if what stands there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)
