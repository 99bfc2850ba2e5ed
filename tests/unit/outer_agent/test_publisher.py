"""The publisher as a shell: group commit, heartbeats, fullness, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ferry_format import reasons
from ferry_format.container import Sealer
from ferry_format.identifiers import new_message_id
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import StorageFault, Unavailable
from outer_agent.admission import Admitted
from outer_agent.commit import Committer
from outer_agent.metrics import OuterMetrics
from outer_agent.publisher import Publisher, Retention
from outer_agent.room import Marks
from outer_agent.spool import Spool
from tests.unit.outer_agent.test_commit import NOW_MS, RECEIVE, SIGN


class SlowCommitter(Committer):
    """A real committer that can be held up, and made to fail."""

    delay_s = 0.0
    fault: Exception | None = None
    batches: list[int]

    def commit(self, batch):
        import time

        self.batches = [*getattr(self, "batches", []), len(batch)]
        time.sleep(self.delay_s)
        if self.fault:
            raise self.fault
        return super().commit(batch)


MARKS = Marks(10**9, 0, 0)


def retention(**changes) -> Retention:
    values = {
        "medium_keep_hours": 1.0,
        "spool_keep_hours": 1.0,
        "spool_bytes_max": 10**9,
        "marks": MARKS,
        "heartbeat_s": 60.0,
        "waiting_max": 100,
    }
    return Retention(**{**values, **changes})


class Built:
    def __init__(self, folder: Path, keep: Retention) -> None:
        (folder / "medium").mkdir()
        self.spool = Spool(folder / "spool.db", NOW_MS)
        self.medium = MediumWriter(folder / "medium")
        self.committer = SlowCommitter(
            self.spool,
            self.medium,
            lambda stream_id: Sealer(SIGN, RECEIVE.public, "lane", stream_id),
            lambda: NOW_MS,
        )
        self.publisher = Publisher(
            self.committer,
            self.spool,
            self.medium,
            keep,
            OuterMetrics(CollectorRegistry()),
            spool_free_bytes=lambda: 10**9,
            clock_ms=lambda: NOW_MS,
        )

    def publish(self) -> asyncio.Future:
        admitted = Admitted(new_message_id(NOW_MS), "adt", NOW_MS, "text/plain", b"x", None)
        return asyncio.ensure_future(self.publisher.publish(admitted, reuse="new"))


@pytest.fixture
async def built(tmp_path: Path) -> AsyncIterator[Built]:
    built = Built(tmp_path, retention())
    await built.publisher.start()
    yield built
    await built.publisher.stop()
    built.spool.close()


async def test_what_waits_while_a_file_is_made_durable_goes_into_the_next_one(built: Built) -> None:
    built.committer.delay_s = 0.05
    first = built.publish()
    await asyncio.sleep(0.01)
    others = [built.publish() for _ in range(20)]
    await asyncio.gather(first, *others)
    assert built.committer.batches == [1, 20]


async def test_a_single_message_leaves_at_once(built: Built) -> None:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    await built.publish()
    assert loop.time() - started_s < 0.5


async def test_more_than_may_wait_is_told_to_come_later(tmp_path: Path) -> None:
    built = Built(tmp_path, retention(waiting_max=3))
    await built.publisher.start()
    built.committer.delay_s = 0.05
    first = built.publish()
    await asyncio.sleep(0.01)
    waiting = [built.publish() for _ in range(4)]
    results = await asyncio.gather(first, *waiting, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert [refusal.reason for refusal in refused] == [reasons.OVERLOADED]
    await built.publisher.stop()
    built.spool.close()


async def test_an_idle_publisher_sends_heartbeats(tmp_path: Path) -> None:
    built = Built(tmp_path, retention(heartbeat_s=0.05))
    await built.publisher.start()
    await asyncio.sleep(0.4)
    await built.publisher.stop()
    assert built.spool.head().last_sequence >= 3
    built.spool.close()


@pytest.mark.parametrize("marks", [Marks(0, 0, 0), Marks(10**9, 2**62, 0), Marks(10**9, 0, 2**62)])
async def test_without_room_new_messages_are_told_to_come_later(
    tmp_path: Path, marks: Marks
) -> None:
    built = Built(tmp_path, retention(marks=marks))
    await built.publisher.start()
    assert built.publisher.refuses_now() is reasons.MEDIUM_FULL
    assert built.publisher.shortage
    with pytest.raises(Unavailable):
        await built.publish()
    await built.publisher.stop()
    built.spool.close()


@pytest.mark.parametrize("fault", [StorageFault(reasons.STORAGE_FAILED), ValueError("a defect")])
async def test_after_a_fault_nobody_is_acknowledged_and_everybody_is_answered(
    built: Built, fault: Exception
) -> None:
    built.committer.delay_s, built.committer.fault = 0.02, fault
    sent = [built.publish() for _ in range(3)]
    await asyncio.sleep(0.005)
    sent += [built.publish() for _ in range(3)]
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    await asyncio.wait_for(built.publisher.failed(), 1)
    assert built.publisher.refuses_now() is reasons.MEDIUM_UNAVAILABLE


async def test_stopping_makes_durable_what_waits_and_takes_no_more(built: Built) -> None:
    built.committer.delay_s = 0.03
    sent = [built.publish()]
    await asyncio.sleep(0.01)
    sent += [built.publish() for _ in range(5)]
    await asyncio.sleep(0)
    stopping = asyncio.create_task(built.publisher.stop())
    await asyncio.sleep(0)
    late = built.publish()
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert not [result for result in results if isinstance(result, Exception)]
    with pytest.raises(Unavailable, match="stopping"):
        await late
    await stopping
