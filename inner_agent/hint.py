"""The hint from verifier to replayer: one byte in a FIFO that says "look into the journal".

A hint is never the truth: it may be lost, doubled or forged, and the replayer looks by itself each
second. The FIFO lies in the agent's own state folder, never on the medium. Both sides open it for
reading and writing, so that neither waits for the other and no end of file is ever seen.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import StorageFault

HINT_NAME: Final = "hint"
HINT_MODE: Final = 0o660
"""Owner and group: verifier and replayer may be two users of one group."""

_DRAIN_BYTES: Final = 65536


class HintWriter:
    """The verifier's end."""

    def __init__(self, path: Path) -> None:
        """Open the FIFO and make it if it is missing. Raises StorageFault."""
        self._descriptor = _open_fifo(path)

    def poke(self) -> None:
        """Tell the replayer to look. Never blocks, never raises."""
        # A full FIFO wakes the reader as well as one more byte would.
        with contextlib.suppress(OSError):
            os.write(self._descriptor, b"\x01")

    def close(self) -> None:
        """Close the FIFO; a poke after that does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class HintReader:
    """The replayer's end."""

    def __init__(self, path: Path) -> None:
        """Open the FIFO and make it if it is missing. Raises StorageFault."""
        self._descriptor = _open_fifo(path)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there may be something new."""
        return self._descriptor

    def drain(self) -> None:
        """Read the hints away. Never blocks, never raises."""
        with contextlib.suppress(OSError):
            while len(os.read(self._descriptor, _DRAIN_BYTES)) == _DRAIN_BYTES:
                pass

    def close(self) -> None:
        """Close the FIFO."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _open_fifo(path: Path) -> int:
    try:
        # The mode is set apart from the making: the umask must not take the group's right away.
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
            path.chmod(HINT_MODE)
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except OSError as error:
        raise StorageFault(reasons.STORAGE_FAILED, f"{path}: {error.strerror}") from error
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageFault(reasons.STORAGE_FAILED, f"{path}: is not a FIFO; remove it")
    return descriptor
