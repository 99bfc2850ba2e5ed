"""What happened today, counted from the agents' own metrics, and kept over restarts.

Nothing is counted a second time for it: every few seconds the counters are compared with what they
were, and the difference is today's. A counter that began at another moment is another counter, so
that a restart neither loses nor doubles. What a crash loses is at most the last few seconds.

The day is the host's own, from midnight to midnight by local time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client import Counter
from prometheus_client.samples import Sample

from ferry_runtime.whole_file import replace_file

FILE_NAME: Final = "today.json"
EVERY_S: Final = 5.0

_LABELS: Final = ("channel", "outcome", "reason")


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What is counted; `channel` and `reason` are empty where there is none."""

    metric: str
    channel: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Count:
    """A counter as it stands; `since_s` is when it began (Unix time)."""

    value: int
    since_s: float


@dataclass(frozen=True, slots=True)
class Tally:
    """The numbers of one day (ISO date), and the counters as they were last seen."""

    day: str = ""
    numbers: Mapping[Key, int] = field(default_factory=dict)
    seen: Mapping[Key, Count] = field(default_factory=dict)


def advance(tally: Tally, counts: Mapping[Key, Count], day: str) -> Tally:
    """The tally after another look; what came since the last one belongs to `day`."""
    numbers = dict(tally.numbers) if day == tally.day else {}
    for key, count in counts.items():
        before = tally.seen.get(key)
        goes_on = before is not None and before.since_s == count.since_s
        more = count.value - before.value if before is not None and goes_on else count.value
        if more:
            numbers[key] = numbers.get(key, 0) + more
    return Tally(day, numbers, {**tally.seen, **counts})


def counts_of(metric: str, samples: Iterable[Sample]) -> dict[Key, Count]:
    """The counter `metric` (without `_total`) among samples, by its labels."""
    values: dict[Key, float] = {}
    since_s: dict[Key, float] = {}
    for sample in samples:
        key = Key(metric, *(sample.labels.get(label, "") for label in _LABELS))
        if sample.name == f"{metric}_total":
            values[key] = sample.value
        elif sample.name == f"{metric}_created":
            since_s[key] = sample.value
    return {key: Count(int(value), since_s.get(key, 0.0)) for key, value in values.items()}


def counts_in(metric: str, counter: Counter) -> dict[Key, Count]:
    """The counter as it stands in this process."""
    return counts_of(metric, (one for family in counter.collect() for one in family.samples))


def local_day() -> str:
    """Today."""
    return datetime.now().astimezone().date().isoformat()


def load(path: Path) -> Tally:
    """The tally in a file; an empty one if there is none, or none that can be read."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        told = json.loads(path.read_text(encoding="utf-8"))
        numbers, seen = {}, {}
        for *names, number, value, since_s in told["counters"]:
            key = Key(*names)
            numbers[key] = number
            seen[key] = Count(value, since_s)
        return Tally(told["day"], {key: one for key, one in numbers.items() if one}, seen)
    return Tally()


def save(path: Path, tally: Tally) -> None:
    """Put the tally into a file. Raises OSError."""
    text = json.dumps({"day": tally.day, "counters": list(_rows(tally))})
    replace_file(path, text.encode(), 0o600)


async def keep(path: Path, look: Callable[[], Mapping[Key, Count]]) -> None:
    """Keep the file at `path` current until cancelled. A full disk is told elsewhere."""
    tally = load(path)
    try:
        while True:
            tally = await asyncio.to_thread(_note, path, tally, look)
            await asyncio.sleep(EVERY_S)
    finally:
        _note(path, tally, look)


def _note(path: Path, tally: Tally, look: Callable[[], Mapping[Key, Count]]) -> Tally:
    found = advance(tally, look(), local_day())
    if found != tally:
        with suppress(OSError):
            save(path, found)
    return found


def _rows(tally: Tally) -> Iterator[list[object]]:
    for key, count in sorted(tally.seen.items()):
        names = [key.metric, key.channel, key.outcome, key.reason]
        yield [*names, tally.numbers.get(key, 0), count.value, count.since_s]
