"""The outer's backup: its spool, for publishing again what the medium lost before the inner had it.

A restored spool is never gone on with. It knows less than the outer has published, and would give
used sequence numbers to other files. So it is put beside the place of the spool, for `resend`, and
the agent begins a new stream.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final

from ferry_format.medium.reader import MediumReader
from ferry_format.reasons import Refused, Unavailable
from ferry_runtime import backup
from outer_agent.new_stream import kept_name
from outer_agent.spool import Spool, SpooledFile, large_folder

_SPOOL_NAME: Final = "spool.db"


def back_up(spool_path: Path, medium_path: Path, agent: str, folder: Path, now: datetime) -> None:
    """Copy the spool into a new folder, beside the running agent.

    Raises Mistake, StorageFault or OSError.
    """
    copied = folder / _SPOOL_NAME
    with backup.new_backup(folder, "outer", agent, now, [spool_path]):
        backup.copy_files(large_folder(spool_path), large_folder(copied))
        with backup.moment_of(spool_path) as moment:
            backup.copy_database(moment, spool_path, copied)
        backup.copy_files(large_folder(spool_path), large_folder(copied))
        _mark_published(copied, MediumReader(medium_path, None), now)


def restore(folder: Path, state_dir: Path, now: datetime) -> Path:
    """Put a backup's spool beside the place of the agent's own; returns where it lies.

    Raises Refused(BAD_BACKUP), Mistake or OSError.
    """
    owner = backup.owner_of(state_dir)
    manifest = backup.verified(folder, "outer")
    spool = Spool.open_read_only(folder / _SPOOL_NAME)
    kept = kept_name(state_dir / _SPOOL_NAME, spool.head().stream_id, now)
    spool.close()
    for file in sorted(manifest.files, key=lambda one: one.path == _SPOOL_NAME):
        below = PurePosixPath(file.path)
        target = kept if len(below.parts) == 1 else large_folder(kept) / below.name
        backup.put_back(folder, file, target, owner)
    return kept


def _mark_published(copied: Path, medium: MediumReader, now: datetime) -> None:
    """Mark what is on the medium as published: the spool says so only with its next commit.

    What is not marked is not resent, since the agent may yet withdraw it.
    """
    spool = Spool(copied, int(now.timestamp() * 1000))
    try:
        stream_id = spool.head().stream_id
        for file in spool.unpublished():
            if not _is_on(medium, stream_id, file):
                break
            spool.mark_published(file.sequence)
    finally:
        spool.close()
    backup.as_one_file(copied)


def _is_on(medium: MediumReader, stream_id: bytes, file: SpooledFile) -> bool:
    try:
        seen = medium.read(stream_id, file.sequence)
    except (Unavailable, Refused):
        return False
    return seen is not None and seen.data == file.sealed.data
