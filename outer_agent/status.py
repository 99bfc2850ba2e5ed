"""The outer's status: is it well, what crossed today, what waits, what was refused and why.

Read from outside the running agent: its spool and files for what is durable, its metrics for what
is now. Problems are told in the doctor's words.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from ferry_runtime.doctor import verdicts
from ferry_runtime.doctor.findings import Area, Finding, Level, Side
from ferry_runtime.doctor.host import Room
from ferry_runtime.observation_client import ask, samples
from ferry_runtime.status import today
from ferry_runtime.status.report import Status, Waiting, crossed_today, refused_today
from outer_agent.config import FolderSource, OuterConfig
from outer_agent.doctor import OuterParts, look_at_agent, look_at_certificates, look_at_state
from outer_agent.metrics import MESSAGES
from outer_agent.service import spool_path
from outer_agent.spool import Spool

OUTCOMES: Final = ("admitted", "repeated", "refused", "deferred")

_DROPPED_MAX: Final = 10_000


def look(config: OuterConfig, channels: Sequence[str]) -> Status:
    """Gather the status. Raises Unavailable or StorageFault if the spool cannot be read."""
    state_dir = config.agent.state_dir
    now = _now(config)
    tally, day = today.load(state_dir / today.FILE_NAME), today.local_day()
    return Status(
        agent=config.agent.name,
        here=Side.OUTER,
        problems=tuple(one for one in _findings(config, now) if one.level is not Level.WELL),
        facts={
            **_spooled(spool_path(state_dir)),
            "medium_bytes": _whole(now, "ferry_outer_medium_bytes"),
            "medium_free_bytes": _whole(now, "ferry_outer_medium_free_bytes"),
        },
        day=day,
        outcomes=OUTCOMES,
        crossed=crossed_today(tally, day, channels, (MESSAGES,)),
        waiting=tuple(_waiting(config, now)),
        refused=refused_today(tally, day, ("refused", "deferred")),
    )


def _spooled(path: Path) -> dict[str, str | int | None]:
    """What the spool says; nothing before the agent's first start."""
    if not path.exists():
        return dict.fromkeys(
            ("stream", "last_file", "spool_files", "spool_bytes", "spool_oldest_s")
        )
    spool = Spool.open_read_only(path)
    try:
        head, usage = spool.head(), spool.usage()
    finally:
        spool.close()
    return {
        "stream": head.stream_id.hex(),
        "last_file": head.last_sequence,
        "spool_files": usage.files,
        "spool_bytes": usage.bytes,
        "spool_oldest_s": _age_s(usage.oldest_at_ms),
    }


def _now(config: OuterConfig) -> dict[str, float]:
    """The agent's metrics that have no labels; nothing if it does not answer."""
    page = ask(config.metrics.listen, "/metrics")
    found = [] if page is None else samples(page.body)
    return {sample.name: sample.value for sample in found if not sample.labels}


def _findings(config: OuterConfig, now: Mapping[str, float]) -> Iterator[Finding]:
    parts = OuterParts(
        agent=config.agent,
        medium=config.medium,
        spool=config.spool,
        metrics=config.metrics,
        audit=config.audit,
        sources=config.sources,
    )
    yield from look_at_agent(config.metrics, parts)
    yield from look_at_state(config.agent, parts)
    yield from look_at_certificates(parts)
    free_bytes = _whole(now, "ferry_outer_medium_free_bytes")
    if free_bytes:  # 0 until the agent measured it; asked of the agent, since a medium can hang
        yield verdicts.of_room(
            Area.MEDIUM,
            config.medium.path,
            Room(free_bytes, 0, None, None),
            config.medium.free_bytes_min,
            Side.MEDIUM,
        )


def _waiting(config: OuterConfig, now: Mapping[str, float]) -> Iterator[Waiting]:
    yield Waiting("the next ferry file", _whole(now, "ferry_outer_queue_messages") or 0)
    for source in config.sources:
        if isinstance(source, FolderSource):
            number, oldest_s = dropped(source.path, time.time())
            yield Waiting(f"source {source.name} to take files", number, oldest_s)


def dropped(folder: Path, now_s: float) -> tuple[int, int | None]:
    """How many files lie in a drop folder, and since when the oldest does (seconds)."""
    times: list[float] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _DROPPED_MAX):
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and not entry.name.startswith("."):
                    times.append(status.st_mtime)
    return len(times), int(max(0.0, now_s - min(times))) if times else None


def _whole(now: Mapping[str, float], name: str) -> int | None:
    return int(now[name]) if name in now else None


def _age_s(at_ms: int | None) -> int | None:
    return None if at_ms is None else max(0, int(time.time() - at_ms / 1000))
