"""What the medium looks like from this host. Reads only, and leaves no access times behind."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from ferry_format.medium import layout, safe_open
from ferry_format.medium.listing import all_names
from ferry_format.medium.reader import MediumReader
from ferry_runtime.doctor import host
from ferry_runtime.doctor.host import Mount

_NEAR: Final = 20
"""Files whose owners are looked at, up to the newest."""


@dataclass(frozen=True, slots=True)
class MediumSeen:
    """The medium's folder: what is mounted there, and whether anything of the ferry's is in it.

    `in_fstab`: something is to be mounted there. `owner_uid` is the folder's.
    """

    path: Path
    mount: Mount | None
    in_fstab: bool
    staged: bool
    streams: int
    owner_uid: int

    @property
    def is_mount(self) -> bool:
        """Whether a filesystem of its own is mounted there."""
        return self.mount is not None and self.mount.point == Path(os.path.realpath(self.path))

    @property
    def is_bare(self) -> bool:
        """Whether it holds nothing of the ferry's."""
        return not self.staged and not self.streams


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One ferry file by its metadata."""

    sequence: int
    uid: int
    modified_s: float


def look_at(path: Path) -> MediumSeen:
    """The medium's folder. Raises OSError if it cannot be read."""
    root = safe_open.open_root(path)
    try:
        names = all_names(root)
        uid = os.fstat(root).st_uid
    finally:
        os.close(root)
    return MediumSeen(
        path,
        host.mount_of(path),
        host.is_in_fstab(path),
        layout.STAGE in names,
        sum(layout.parse_stream(name) is not None for name in names),
        uid,
    )


def newest_files(reader: MediumReader, stream_id: bytes, from_sequence: int) -> list[FileSeen]:
    """The newest files of a stream, ascending, looked for from a sequence on. Raises FerryError."""
    sequences = list(reader.available(stream_id, max(1, from_sequence - _NEAR)))[-_NEAR:]
    found = []
    for sequence in islice(sequences, _NEAR):
        try:
            status = (reader.root / layout.file_path(stream_id, sequence)).lstat()
        except OSError:
            continue  # cleaned away meanwhile
        found.append(FileSeen(sequence, status.st_uid, status.st_mtime))
    return found
