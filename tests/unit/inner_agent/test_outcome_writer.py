from __future__ import annotations

import asyncio
import threading
from pathlib import Path

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
