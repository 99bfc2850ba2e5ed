"""Large ferry files of the spool, each a file of its own beside the database.

A database would write each of their bytes twice, and give the room of what it deletes back page by
page. The database says which of them count: a file is durable here before the commit that names it,
and what no row names is an orphan of a crash and is removed at the start.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from ferry_format.medium import durable

LARGE_BYTES: Final = 1024 * 1024
"""From this size on a ferry file is kept here."""

_FOLDER_MODE: Final = 0o700


class SpoolFiles:
    """The folder. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, kept: Collection[int]) -> None:
        """Make the folder, and remove every file but those of the sequences that are kept."""
        self._folder.mkdir(_FOLDER_MODE, exist_ok=True)
        names = {_name(sequence) for sequence in kept}
        for entry in list(self._folder.iterdir()):
            if entry.name not in names:
                entry.unlink()
        durable.sync_directory(str(self._folder.parent))

    def write(self, sequence: int, data: bytes) -> None:
        """Keep a file, durably, in the place of any that an attempt before left."""
        path = self._folder / _name(sequence)
        path.unlink(missing_ok=True)
        durable.write_new(str(path), data)
        durable.sync_directory(str(self._folder))

    def read(self, sequence: int) -> bytes:
        """A kept file."""
        return (self._folder / _name(sequence)).read_bytes()

    def remove(self, sequence: int) -> None:
        """Remove a file that no row names any more; one that is not there is as good."""
        (self._folder / _name(sequence)).unlink(missing_ok=True)


def _name(sequence: int) -> str:
    return f"{sequence:020d}"
