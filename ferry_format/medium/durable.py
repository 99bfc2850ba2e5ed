"""The steps of publishing a file so that a power cut leaves all of it or nothing.

The one place on the medium's side that calls fsync. After a failed fsync the kernel may have thrown
the bytes away and a second fsync would say that all is well: a file is then discarded, never
retried.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE
    )
    try:
        try:
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        os.unlink(path)
        raise


def sync_directory(path: str) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_new(source: str, target: str) -> None:
    """Rename without replacing. Raises FileExistsError if `target` exists, OSError otherwise.

    Filesystems that cannot refuse a replacement (some network ones) get a link and an unlink.
    """
    result = _LIBC.renameat2(
        _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
    )
    if result == 0:
        return
    code = ctypes.get_errno()
    if code not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(code, os.strerror(code))
    os.link(source, target, follow_symlinks=False)
    os.unlink(source)
