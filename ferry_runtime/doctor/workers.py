"""Whether validation workers start on this host, and what they give up before the first message."""

from __future__ import annotations

from collections.abc import Iterator

from ferry_runtime.doctor.findings import Area, Finding, Side, fault, warning, well
from validators.worker import WorkerPool
from validators.worker.sandbox import is_complete


def look(side: Side, *, sandbox_required: bool) -> Iterator[Finding]:
    """Start one worker, as the agent does. Raises Unavailable where none starts."""
    with WorkerPool({}) as pool:
        sandbox = pool.sandbox
    if is_complete(sandbox):
        yield well(Area.WORKERS, f"validation workers are locked in: {sandbox}")
        return
    tell = fault if sandbox_required else warning
    yield tell(
        Area.WORKERS,
        f"validation workers are not locked in: {sandbox}",
        side,
        "Run the agent on a kernel with seccomp (x86_64, aarch64; CONFIG_SECCOMP_FILTER), and "
        "outside containers that forbid it.",
    )
