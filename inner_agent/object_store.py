"""Where the parts of objects lie: a folder for each object, a file for each part, sealed at rest.

Files, and not rows of the journal: a database would write every byte twice, and give the room of a
deleted gigabyte back page by page. The journal says which of them count; a part is durable here
before the commit that names it, and what no row names is an orphan of a crash and is removed.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import Refused, StorageFault, Unavailable
from ferry_runtime.whole_file import replace_file, sync_folder
from inner_agent.at_rest import PayloadCipher, Purpose

FOLDER_NAME: Final = "objects"
_FOLDER_MODE: Final = 0o750
_PART_MODE: Final = 0o640
"""The replayer reads through the group, as it does the journal."""

_FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class ObjectStore:
    """The parts of all objects, beside a journal."""

    def __init__(self, folder: Path, cipher: PayloadCipher) -> None:
        self._folder = folder
        self._cipher = cipher

    def prepare(self, kept: Collection[bytes]) -> None:
        """Make the folder, and remove every object but the `kept` ones. Raises StorageFault."""
        with self._faults():
            self._folder.mkdir(_FOLDER_MODE, exist_ok=True)
            self._folder.chmod(_FOLDER_MODE)
            sync_folder(self._folder.parent)
            names = {message_id.hex() for message_id in kept}
            for entry in list(self._folder.iterdir()):
                if entry.name not in names:
                    shutil.rmtree(entry, ignore_errors=True)

    def put(self, message_id: bytes, number: int, payload: bytes) -> None:
        """Make one part durable. Raises Unavailable(JOURNAL_FULL) and StorageFault."""
        path = self._path(message_id, number)
        sealed = self._cipher.seal(_belongs_to(message_id, number), payload, Purpose.PART)
        with self._faults():
            if not path.parent.exists():
                _make(path.parent)
            replace_file(path, sealed, _PART_MODE)

    def get(self, message_id: bytes, number: int) -> bytes:
        """One part.

        Raises Refused(NOT_DELIVERABLE) if it is gone or does not open, as it never will again, and
        StorageFault if the disk cannot be read.
        """
        where = f"part {number} of {message_id.hex()}"
        with self._faults():
            try:
                sealed = self._path(message_id, number).read_bytes()
            except FileNotFoundError:
                raise Refused(reasons.NOT_DELIVERABLE, where) from None
        try:
            return self._cipher.unseal(_belongs_to(message_id, number), sealed, Purpose.PART)
        except StorageFault:
            raise Refused(reasons.NOT_DELIVERABLE, where) from None

    def discard(self, message_id: bytes) -> None:
        """Remove an object; what cannot be removed now is at the next start."""
        shutil.rmtree(self._folder / message_id.hex(), ignore_errors=True)

    def _path(self, message_id: bytes, number: int) -> Path:
        return self._folder / message_id.hex() / f"{number:07d}"

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL_ERRORS:
                where = f"{self._folder}: no space left on its disk"
                raise Unavailable(reasons.JOURNAL_FULL, where) from error
            raise StorageFault(
                reasons.STORAGE_FAILED, f"{self._folder}: {error.strerror}"
            ) from error


def _belongs_to(message_id: bytes, number: int) -> bytes:
    return message_id + number.to_bytes(4, "big")


def _make(folder: Path) -> None:
    """Make an object's folder, durably, or leave none: one that is there counts as durable.

    What a crash leaves of one in between is an orphan.
    """
    folder.mkdir(_FOLDER_MODE)
    try:
        folder.chmod(_FOLDER_MODE)  # whatever the umask
        sync_folder(folder.parent)
    except BaseException:
        folder.rmdir()
        raise
