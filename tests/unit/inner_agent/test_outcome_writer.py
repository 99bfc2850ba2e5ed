from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from inner_agent import outcome_writer
from inner_agent.delivery_store import DeliveryStore
from inner_agent.outcome_writer import OutcomeWriter


async def test_a_stuck_store_shows_so_that_the_watchdog_is_not_fed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DeliveryStore(tmp_path / "delivery.db")
    writer = OutcomeWriter(store)
    disk = threading.Event()
    stuck = asyncio.create_task(writer.on_store(disk.wait))
    behind = asyncio.create_task(writer.on_store(lambda: None))
    await asyncio.sleep(0.01)
    assert writer.is_moving
    monkeypatch.setattr(outcome_writer, "STUCK_S", 0.0)
    assert not writer.is_moving
    disk.set()
    await asyncio.gather(stuck, behind)
    assert writer.is_moving
    await writer.close(1)
    store.close()


class CountingStore:
    """Notes how many outcomes each commit carries."""

    def __init__(self) -> None:
        self.commits: list[int] = []

    def commit(self, outcomes: list[object]) -> None:
        self.commits.append(len(outcomes))


async def test_outcomes_after_a_quiet_moment_are_committed_at_once_and_under_load_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcome_writer, "GATHER_S", 2)
    store: Any = CountingStore()
    writer = OutcomeWriter(store)
    outcome: Any = object()
    running = asyncio.create_task(writer.run())
    began_s = time.monotonic()
    writer.add(outcome)
    await writer.durable()
    assert time.monotonic() - began_s < 2
    for _ in range(20):
        writer.add(outcome)
        await asyncio.sleep(0)
    await writer.durable()
    assert store.commits == [1, 20]
    assert time.monotonic() - began_s >= 2
    await writer.close(1)
    running.cancel()


async def test_half_of_what_may_wait_is_committed_without_waiting_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcome_writer, "GATHER_S", 60.0)
    store: Any = CountingStore()
    writer = OutcomeWriter(store, undurable_max=10)
    outcome: Any = object()
    running = asyncio.create_task(writer.run())
    writer.add(outcome)
    await writer.durable()
    for _ in range(5):
        writer.add(outcome)
    await asyncio.wait_for(writer.durable(), 10)
    assert store.commits == [1, 5]
    await writer.close(1)
    running.cancel()
