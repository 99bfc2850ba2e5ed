"""Begin a new stream: set the spool aside, so that the next start makes another one.

For an outer whose spool was restored from an old backup, or is damaged. The inner takes the new
stream only when its operator accepts it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from ferry_runtime.sole_agent import SoleAgent
from ferry_runtime.whole_file import sync_folder
from outer_agent.spool import Spool, large_folder


def set_aside(spool_path: Path, now: datetime) -> Path:
    """Rename the spool and its large files; returns where it is kept.

    Raises FerryError(ALREADY_RUNNING), Unavailable, StorageFault or OSError.
    """
    with SoleAgent(spool_path.parent):
        spool = Spool.open_read_only(spool_path)
        kept = kept_name(spool_path, spool.head().stream_id, now)
        spool.close()
        if large_folder(spool_path).exists():
            large_folder(spool_path).rename(large_folder(kept))
        for suffix in ("", "-wal", "-shm"):
            part = spool_path.with_name(spool_path.name + suffix)
            if part.exists():
                part.rename(kept.with_name(kept.name + suffix))
        sync_folder(spool_path.parent)
    return kept


def kept_name(spool_path: Path, stream_id: bytes, now: datetime) -> Path:
    """Where a spool of that stream is kept, beside the agent's own, when it is used no more."""
    return spool_path.with_name(f"spool-{stream_id.hex()[:8]}-{now:%Y%m%dT%H%M%S}.db")
