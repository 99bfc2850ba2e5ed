"""Begin a new stream: set the spool aside, so that the next start makes another one.

For an outer whose spool was restored from an old backup, or is damaged. The inner takes the new
stream only when its operator accepts it.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from ferry_runtime.sole_agent import SoleAgent
from outer_agent.spool import Spool


def set_aside(spool_path: Path, now: datetime) -> Path:
    """Rename the spool; returns where it is kept.

    Raises FerryError(ALREADY_RUNNING), Unavailable, StorageFault or OSError.
    """
    with SoleAgent(spool_path.parent):
        spool = Spool.open_read_only(spool_path)
        stream = spool.head().stream_id.hex()[:8]
        spool.close()
        kept = spool_path.with_name(f"spool-{stream}-{now:%Y%m%dT%H%M%S}.db")
        for suffix in ("", "-wal", "-shm"):
            part = spool_path.with_name(spool_path.name + suffix)
            if part.exists():
                part.rename(kept.with_name(kept.name + suffix))
        folder = os.open(spool_path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return kept
