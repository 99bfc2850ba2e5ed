"""Read a file whole, once, and only if it is an ordinary one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from errno import EFBIG, EINVAL, ELOOP
from pathlib import Path

StatusCheck = Callable[[os.stat_result], None]


def read_regular(path: Path, bytes_max: int, check: StatusCheck | None = None) -> bytes:
    """The bytes of the regular file at `path`, which must not be a symbolic link.

    `check` sees the open file's status and may raise. Raises OSError, with a `strerror` for people,
    if the file is missing, unreadable, a link, not regular, or larger than `bytes_max`.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == ELOOP:
            raise OSError(ELOOP, "is a symbolic link; name the file itself", str(path)) from None
        raise
    with os.fdopen(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(EINVAL, "is not a regular file", str(path))
        if check is not None:
            check(status)
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError(EFBIG, f"is larger than {bytes_max} bytes", str(path))
    return data
