"""Large ferry files of the spool, each a file of its own beside the database.

A database would write each of their bytes twice, and give the room of what it deletes back page by
page. The database says which of them count: a file is durable here before the commit that names it,
and what no row names is an orphan of a crash and is removed at the start. A file is named after its
digest, so that a name never holds other bytes than those that a row means.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ferry_format.container import SealedFile
from ferry_format.medium import durable

LARGE_BYTES: Final = 1024 * 1024
"""From this size on a ferry file is kept here."""

_FOLDER_MODE: Final = 0o700


class SpoolFiles:
    """The folder. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, kept: Iterable[bytes]) -> None:
        """Make the folder, and remove every file but those of the digests that are kept."""
        self._folder.mkdir(_FOLDER_MODE, exist_ok=True)
        names = {digest.hex() for digest in kept}
        for entry in list(self._folder.iterdir()):
            if entry.name not in names:
                entry.unlink()
        durable.sync_directory(str(self._folder.parent))

    def write(self, file: SealedFile) -> None:
        """Keep a file, durably."""
        durable.write_new(str(self._folder / file.digest.hex()), file.data)
        durable.sync_directory(str(self._folder))

    def read(self, digest: bytes) -> bytes:
        """A kept file."""
        return (self._folder / digest.hex()).read_bytes()

    def remove(self, digest: bytes) -> None:
        """Remove a file that no row names; raises nothing: what stays is removed at a start."""
        with suppress(OSError):
            (self._folder / digest.hex()).unlink()
