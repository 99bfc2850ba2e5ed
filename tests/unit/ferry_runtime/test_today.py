"""Today's numbers: neither lost nor doubled by restarts, begun anew at midnight."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from ferry_runtime.status import today
from ferry_runtime.status.today import Count, Key, Tally, advance

ADMITTED = Key("messages", "adt", "admitted", "")
REFUSED = Key("messages", "adt", "refused", "too_large")


def seen(*looks: tuple[str, int, float]) -> Tally:
    """The tally after looks at one counter: (day, value, since)."""
    tally = Tally()
    for day, value, since_s in looks:
        tally = advance(tally, {ADMITTED: Count(value, since_s)}, day)
    return tally


@pytest.mark.parametrize(
    ("looks", "number"),
    [
        ([("d1", 0, 1.0)], None),
        ([("d1", 5, 1.0)], 5),
        ([("d1", 5, 1.0), ("d1", 7, 1.0)], 7),
        ([("d1", 5, 1.0), ("d1", 5, 1.0)], 5),
        ([("d1", 5, 1.0), ("d1", 2, 9.0)], 7),
        ([("d1", 5, 1.0), ("d1", 8, 9.0)], 13),
        ([("d1", 5, 1.0), ("d2", 6, 1.0)], 1),
        ([("d1", 5, 1.0), ("d2", 5, 1.0)], None),
        ([("d1", 5, 1.0), ("d2", 3, 9.0)], 3),
    ],
    ids=[
        "nothing yet", "the first look", "a later look", "no change", "a restart",
        "a restart that has overtaken", "midnight", "midnight and nothing since",
        "a restart after midnight",
    ],
)  # fmt: skip
def test_a_day_has_what_came_in_it(looks: list[tuple[str, int, float]], number: int | None) -> None:
    assert seen(*looks).numbers.get(ADMITTED) == number


def test_a_counter_is_read_with_the_moment_of_its_beginning() -> None:
    registry = CollectorRegistry()
    counter = Counter("messages_total", "x", ("channel", "outcome", "reason"), registry=registry)
    counter.labels("adt", "refused", "too_large").inc(3)
    found = today.counts_in("messages", counter)
    assert found[REFUSED].value == 3
    assert found[REFUSED].since_s > 1_700_000_000


def test_a_file_gives_back_what_was_put_into_it(tmp_path: Path) -> None:
    path = tmp_path / today.FILE_NAME
    tally = advance(Tally(), {ADMITTED: Count(5, 1.5), REFUSED: Count(0, 2.5)}, "2026-11-28")
    today.save(path, tally)
    assert today.load(path) == tally
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [None, "", "[]", '{"day": 1}', '{"day": "d", "counters": [[1]]}'])
def test_a_file_that_is_none_counts_from_nothing(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / today.FILE_NAME
    if text is not None:
        path.write_text(text)
    assert today.load(path) == Tally()


async def test_the_last_seconds_are_counted_when_the_agent_stops(tmp_path: Path) -> None:
    path, value = tmp_path / today.FILE_NAME, 1
    keeping = asyncio.create_task(today.keep(path, lambda: {ADMITTED: Count(value, 1.0)}))
    await asyncio.sleep(0.05)
    value = 4
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert today.load(path).numbers[ADMITTED] == 4


async def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    keeping = asyncio.create_task(
        today.keep(tmp_path / "none" / today.FILE_NAME, lambda: {ADMITTED: Count(1, 1.0)})
    )
    await asyncio.sleep(0.05)
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
