"""Validation in sandboxed processes: the one part of this package with I/O.

`WorkerPool` is the parent's side, `python -m validators.worker` a worker. A worker has two pipes,
no files, no network and a bounded memory, and is killed when a message takes too long.
"""

from validators.registry import ContentSpec
from validators.worker.pool import WorkerPool

__all__ = ["ContentSpec", "WorkerPool"]
