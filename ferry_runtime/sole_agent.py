"""One agent alone uses a state folder: a lock that ends with its holder, however it ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import FerryError

LOCK_NAME: Final = "lock"


class SoleAgent:
    """Holds the lock while its block runs. Raises FerryError(ALREADY_RUNNING) if another does."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / LOCK_NAME

    def __enter__(self) -> None:
        """Take the lock."""
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise FerryError(reasons.ALREADY_RUNNING, str(self._path)) from None

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        self._file.close()
