"""Clocks that jump by years, on either side, in the middle of everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ferry_format.medium.writer import MediumWriter
from ferry_runtime.retention_clock import RetentionClock
from inner_agent.delivery_store import DeliveryStore
from inner_agent.retention import Retention, RetentionPolicy
from outer_agent.spool import Spool
from tests.simulator.sending_side import SendingSide
from tests.simulator.verifying_side import VerifyingSide

YEAR_NS = 365 * 86_400 * 10**9
HOUR_MS = 3_600_000
JUMPS = [0, 10, -10, 30, -50, 0]
"""Years off, one after another."""


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets the wall clock so many years off; the monotonic clock goes on."""
    real = time.time_ns

    def by(years: int) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: real() + years * YEAR_NS)
        monkeypatch.setattr(time, "time", lambda: (real() + years * YEAR_NS) / 1e9)

    yield by
    monkeypatch.undo()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("whose", ["outer", "inner", "both"])
def test_everything_arrives_in_order_and_nothing_is_forgotten(
    tmp_path: Path, jump: Callable[[int], None], whose: str
) -> None:
    medium, state = tmp_path / "medium", tmp_path / "state"
    medium.mkdir()
    state.mkdir()
    delivery = DeliveryStore(state / "delivery.db")
    sender = SendingSide(medium)
    side = VerifyingSide(medium, state)
    policy = RetentionPolicy(keep_hours=24, keep_record_hours=48, bytes_max=1 << 40)
    sent = []
    try:
        for number, years in enumerate(JUMPS):
            jump(0 if whose == "inner" else years)
            sent += [b"%d.%d" % (number, part) for part in range(4)]
            sender.send(*sent[-4:-2])
            lost = sender.lose(sent[-2])
            sender.send(sent[-1])
            jump(0 if whose == "outer" else years)
            side.pass_()
            side.pass_(31)
            sender.publish(lost)
            side.pass_()
            side.restart()
            delivery.commit([])
            delivery._connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES ('adt', ?)", (len(sent),)
            )
            assert side.journal is not None
            Retention(side.journal, state / "delivery.db", policy, now_ms()).prune(now_ms())
            assert side.payloads() == sent
        assert side.gaps() == []
        assert side.quarantine() == []
    finally:
        side.close()
        delivery.close()


def test_an_outer_deletes_nothing_that_is_not_old(
    tmp_path: Path, jump: Callable[[int], None]
) -> None:
    (tmp_path / "medium").mkdir()
    sender = SendingSide(tmp_path / "medium")
    spool = Spool(tmp_path / "spool.db", now_ms())
    for years in JUMPS:
        jump(years)
        sequence = sender.send(b"%d" % years)
        writer = MediumWriter(tmp_path / "medium")
        clock = RetentionClock(spool.retention_at_ms(), now_ms(), time.monotonic())
        at_ms = clock.now_ms(now_ms(), time.monotonic())
        spool.prune(at_ms, 24 * HOUR_MS, 1 << 40)
        writer.clean(
            sender.stream_id, at_ms - 24 * HOUR_MS, never_from_sequence=sender.sequence + 1
        )
        kept = sorted(int(path.stem) for path in (tmp_path / "medium").rglob("*.ferry"))
        assert kept == list(range(1, sequence + 1))
    spool.close()
