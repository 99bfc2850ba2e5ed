"""The replayer with real sinks on loopback, a real delivery.db and a journal in memory."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from ferry_format import reasons
from ferry_format.reasons import StorageFault
from inner_agent import operator_orders
from inner_agent.channel_pipeline import Route, UnreadableMessage
from inner_agent.delivery import DeliveryPolicy, State
from inner_agent.delivery_store import DeliveryStore
from inner_agent.journal import JournaledMessage
from inner_agent.replayer import Replayer, ReplayerTimes
from inner_agent.replayer_metrics import ReplayerMetrics
from inner_agent.sinks.base import Delivered, Failed, SinkResult
from inner_agent.sinks.http import HttpSettings, HttpSink
from inner_agent.sinks.mllp import MllpSettings, MllpSink
from tests.simulator.hl7_receiver import Hl7Behaviour, Hl7Receiver
from tests.simulator.http_receiver import HttpReceiver
from tests.simulator.journal import JournalInMemory
from tests.simulator.messages import adt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ferry_format.reasons import Reason
    from inner_agent.sinks.base import Sink

BOTH_LOOPS = True

QUICK = DeliveryPolicy(attempts_max=3, retry_first_s=0.01, retry_most_s=0.05)


class HintPipe:
    def __init__(self) -> None:
        self._reads, self._writes = os.pipe2(os.O_NONBLOCK)

    def fileno(self) -> int:
        return self._reads

    def drain(self) -> None:
        os.read(self._reads, 65536)

    def poke(self) -> None:
        os.write(self._writes, b"\x01")

    def close(self) -> None:
        os.close(self._reads)
        os.close(self._writes)


class SinkInMemory:
    """Answers what `answer` returns."""

    def __init__(self, name: str = "his") -> None:
        self.name = name
        self.seen: list[int] = []
        self.closed = False
        self.answer: Callable[[Any], SinkResult] = lambda _: Delivered()
        self.takes_s = 0.0

    async def deliver(self, message: Any) -> SinkResult:
        await asyncio.sleep(self.takes_s)
        self.seen.append(message.position)
        return self.answer(message)

    async def probe(self) -> Reason | None:
        return None

    async def close(self) -> None:
        self.closed = True


class Bench:
    """One replayer after another on the same databases."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "delivery.db"
        self.journal = JournalInMemory()
        self.registry = CollectorRegistry()

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def state(self, position: int) -> State | None:
        row = operator_orders.find(self.path, position)
        return None if row is None else row.state

    @asynccontextmanager
    async def running(
        self,
        sinks: dict[str, Sink],
        channels: dict[str, str],
        *,
        policy: DeliveryPolicy = QUICK,
        look_s: float = 0.05,
        stop_s: float = 5.0,
        by_key: bool = False,
        **options: Any,
    ) -> AsyncIterator[Replayer]:
        self.registry = CollectorRegistry()
        store = DeliveryStore(self.path)
        replayer = Replayer(
            [Route(channel, sink, policy, by_key) for channel, sink in channels.items()],
            sinks,
            journal=self.journal,
            store=store,
            metrics=ReplayerMetrics(self.registry),
            times=ReplayerTimes(look_s=look_s, probe_s=0.05),
            **options,
        )
        try:
            await replayer.start()
            yield replayer
        finally:
            await replayer.stop(stop_s)
            store.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  (looks into a database)
            await asyncio.sleep(0.005)


def fill(journal: JournalInMemory, number: int, channel: str = "adt") -> list[str]:
    ids = [f"{channel}-{n}" for n in range(number)]
    for each in ids:
        journal.append(adt(each), channel, each)
    return ids


async def test_messages_arrive_once_and_in_order_whatever_the_sink_does(bench: Bench) -> None:
    script = [
        Hl7Behaviour.ERROR,
        Hl7Behaviour.CLOSE_AFTER_READ,
        Hl7Behaviour.ACCEPT,
        Hl7Behaviour.WRONG_ID,
        Hl7Behaviour.GARBAGE,
        Hl7Behaviour.HANG,
        Hl7Behaviour.ERROR,
    ]
    ids = fill(bench.journal, 100)
    async with Hl7Receiver(script) as receiver:
        sink = MllpSink(MllpSettings("his", receiver.host, receiver.port, timeout_s=0.1))
        async with bench.running({"his": sink}, {"adt": "his"}):
            await receiver.recording.wait_for(100)
        recording = receiver.recording
    assert recording.taken_ids == ids
    assert recording.duplicates() == {}
    assert sum(recording.repeats().values()) == 6
    assert operator_orders.counts(bench.path) == {"adt": {State.DELIVERED: 100}}
    assert bench.metric("ferry_inner_deliveries_total", channel="adt", outcome="delivered",
                        reason="") == 100  # fmt: skip
    assert bench.metric("ferry_inner_delivery_seconds_count", channel="adt") == 100


async def test_a_restart_goes_on_where_the_last_run_ended(bench: Bench) -> None:
    ids = fill(bench.journal, 30)
    async with Hl7Receiver(answer_after_s=0.01) as receiver:
        for number in (5, 15, 30):
            sink = MllpSink(MllpSettings("his", receiver.host, receiver.port))
            async with bench.running({"his": sink}, {"adt": "his"}):
                await receiver.recording.wait_for(number)
    assert receiver.recording.taken_ids == ids
    assert receiver.recording.repeats() == {}


async def test_a_hint_is_acted_on_at_once(bench: Bench) -> None:
    hint, sink = HintPipe(), SinkInMemory()
    async with bench.running({"his": sink}, {"adt": "his"}, look_s=60, hint=hint):
        await asyncio.sleep(0.05)
        fill(bench.journal, 1)
        began = time.perf_counter()
        hint.poke()
        await until(lambda: sink.seen == [1])
        assert time.perf_counter() - began < 20
    hint.close()


async def test_without_any_hint_the_look_finds_everything(bench: Bench) -> None:
    sink = SinkInMemory()
    async with bench.running({"his": sink}, {"adt": "his"}):
        fill(bench.journal, 40)
        await until(lambda: len(sink.seen) == 40)


async def test_stop_lets_the_attempt_under_way_end_and_records_it(bench: Bench) -> None:
    sink = SinkInMemory()
    sink.takes_s = 0.2
    fill(bench.journal, 5)
    async with bench.running({"his": sink}, {"adt": "his"}):
        await asyncio.sleep(0.1)
    assert sink.seen == [1]
    assert sink.closed
    assert bench.state(1) is State.DELIVERED
    assert bench.state(2) is None


async def test_stop_breaks_off_at_its_deadline(bench: Bench) -> None:
    sink = SinkInMemory()
    sink.takes_s = 60
    fill(bench.journal, 1)
    began = time.monotonic()
    async with bench.running({"his": sink}, {"adt": "his"}, stop_s=0.1):
        await asyncio.sleep(0.1)
    assert time.monotonic() - began < 20
    assert bench.state(1) is None, "its outcome is open: the next run repeats it"


async def test_stop_ends_a_long_pause(bench: Bench) -> None:
    sink = SinkInMemory()
    sink.answer = lambda _: Failed(reasons.SINK_UNREACHABLE)
    fill(bench.journal, 1)
    policy = DeliveryPolicy(retry_first_s=60, retry_most_s=60)
    began = time.monotonic()
    async with bench.running({"his": sink}, {"adt": "his"}, policy=policy, chance=lambda: 0.9):
        await until(lambda: sink.seen == [1])
    assert time.monotonic() - began < 20
    assert bench.state(1) is State.DELIVERING


async def test_a_dead_letter_lets_the_next_pass_and_comes_back_by_order(bench: Bench) -> None:
    sink = SinkInMemory()
    poison = {2}
    sink.answer = lambda message: (
        Failed(reasons.SINK_REFUSED, permanent=True) if message.position in poison else Delivered()
    )
    fill(bench.journal, 3)
    async with bench.running({"his": sink}, {"adt": "his"}):
        await until(lambda: bench.state(3) is State.DELIVERED)
        assert bench.state(2) is State.DEAD
        await until(lambda: bench.metric("ferry_inner_dead_letters", channel="adt") == 1)
        assert operator_orders.requeue(bench.path, [2]) == [2]
        await until(lambda: sink.seen == [1, 2, 3, 2])
        await until(lambda: bench.state(2) is State.DEAD)
        poison.clear()
        operator_orders.requeue(bench.path, [2])
        await until(lambda: bench.state(2) is State.DELIVERED)
        await until(lambda: bench.metric("ferry_inner_dead_letters", channel="adt") == 0)
        await asyncio.sleep(0.15)
    assert sink.seen == [1, 2, 3, 2, 2]


async def test_a_refusing_sink_makes_a_dead_letter_after_attempts_max(bench: Bench) -> None:
    sink = SinkInMemory()
    sink.answer = lambda message: (
        Failed(reasons.SINK_FAILED) if message.position == 1 else Delivered()
    )
    fill(bench.journal, 2)
    async with bench.running({"his": sink}, {"adt": "his"}):
        await until(lambda: bench.state(2) is State.DELIVERED)
    assert sink.seen == [1, 1, 1, 2]
    row = operator_orders.find(bench.path, 1)
    assert row is not None
    assert (row.state, row.reason, row.attempts) == (State.DEAD, "attempts_exhausted", 3)


async def test_a_message_that_is_refused_holds_up_its_own_patient_only(bench: Bench) -> None:
    patients = [b"li", b"wang", b"li", None, b"wang", b"zhao", None]
    for number, patient in enumerate(patients):
        bench.journal.append(adt(str(number)), "adt", str(number), patient)
    sink = SinkInMemory()
    refusing = {1}
    sink.answer = lambda message: (
        Failed(reasons.SINK_FAILED) if message.position in refusing else Delivered()
    )
    policy = DeliveryPolicy(attempts_max=0, retry_first_s=0.05, retry_most_s=0.05)
    running = {"policy": policy, "by_key": True}
    async with bench.running({"his": sink}, {"adt": "his"}, **running):
        await until(lambda: bench.state(7) is State.DELIVERED)
        assert [each for each in sink.seen if each != 1] == [2, 4, 5, 6, 7]
        assert bench.metric("ferry_inner_keys_held_up", channel="adt") == 1
        await until(lambda: bench.metric("ferry_inner_waiting_messages", channel="adt") == 2)
    again = SinkInMemory()
    async with bench.running({"his": again}, {"adt": "his"}, **running):
        await until(lambda: bench.state(3) is State.DELIVERED)
        bench.journal.append(adt("7"), "adt", "7", b"li")
        await until(lambda: again.seen == [1, 3, 8])


async def test_a_sink_that_is_down_is_tried_with_one_message_only(bench: Bench) -> None:
    for number in range(20):
        bench.journal.append(adt(str(number)), "adt", str(number), str(number).encode())
    sink = SinkInMemory()
    sink.answer = lambda _: Failed(reasons.SINK_UNREACHABLE)
    async with bench.running({"his": sink}, {"adt": "his"}, by_key=True):
        await until(lambda: len(sink.seen) >= 5)
        assert set(sink.seen) == {1}
        sink.answer = lambda _: Delivered()
        await until(lambda: bench.state(20) is State.DELIVERED)


async def test_far_more_messages_than_are_in_hand_pass_one_that_waits(bench: Bench) -> None:
    bench.journal.append(adt("poison"), "adt", "poison", b"li")
    for number in range(300):
        bench.journal.append(adt(str(number)), "adt", str(number), str(number % 7).encode())
    sink = SinkInMemory()
    sink.answer = lambda message: (
        Failed(reasons.SINK_NO_ANSWER) if message.position == 1 else Delivered()
    )
    async with bench.running({"his": sink}, {"adt": "his"}, by_key=True):
        await until(lambda: bench.state(301) is State.DELIVERED)
    passed = [each for each in sink.seen if each != 1]
    assert passed == [*range(2, 302)]


async def test_an_operator_can_discard_what_holds_a_channel(bench: Bench) -> None:
    sink = SinkInMemory()
    sink.answer = lambda message: (
        Failed(reasons.SINK_NO_ANSWER) if message.position == 1 else Delivered()
    )
    fill(bench.journal, 2)
    policy = DeliveryPolicy(retry_first_s=60, retry_most_s=60)
    async with bench.running({"his": sink}, {"adt": "his"}, policy=policy, chance=lambda: 0.9):
        await until(lambda: bench.state(1) is State.DELIVERING)
        assert operator_orders.discard(bench.path, [1], "crashes the HIS") == [1]
        await until(lambda: bench.state(2) is State.DELIVERED)
    assert sink.seen == [1, 2]
    assert bench.state(1) is State.DISCARDED
    again = SinkInMemory()
    fill(bench.journal, 1)
    async with bench.running({"his": again}, {"adt": "his"}):
        await until(lambda: again.seen == [3])


async def test_a_payload_that_does_not_open_is_a_dead_letter_and_no_crash_loop(
    bench: Bench,
) -> None:
    sink = SinkInMemory()
    fill(bench.journal, 3)
    whole = bench.journal.messages[2]
    unreadable: Any = UnreadableMessage(2, whole.message_id)
    read = bench.journal.waiting
    damaged = {2}

    def waiting(channel: str, after: int, limit: int) -> list[Any]:
        return [unreadable if m.position in damaged else m for m in read(channel, after, limit)]

    bench.journal.waiting = waiting  # type: ignore[method-assign]
    async with bench.running({"his": sink}, {"adt": "his"}):
        await until(lambda: bench.state(3) is State.DELIVERED)
        row = operator_orders.find(bench.path, 2)
        assert row is not None
        assert (row.state, row.reason) == (State.DEAD, "not_deliverable")
        assert row.message_id == whole.message_id
        # Requeued after its retention has passed: dead again, not a loop.
        del bench.journal.messages[2]
        operator_orders.requeue(bench.path, [2])
        await until(lambda: bench.state(2) is State.DEAD)
    assert sink.seen == [1, 3]


async def test_a_defect_in_a_sink_is_retried_and_then_a_dead_letter(bench: Bench) -> None:
    sink = SinkInMemory()

    def answer(message: JournaledMessage) -> SinkResult:
        if message.position == 1:
            raise KeyError("ZHANG^SAN")
        return Delivered()

    sink.answer = answer
    fill(bench.journal, 2)
    async with bench.running({"his": sink}, {"adt": "his"}):
        await until(lambda: bench.state(2) is State.DELIVERED)
    assert bench.state(1) is State.DEAD


async def test_a_busy_journal_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inner_agent.channel_pipeline.JOURNAL_RETRY_S", 0.02)
    sink = SinkInMemory()
    fill(bench.journal, 1)
    failures = [sqlite3.OperationalError("database is locked")] * 3

    def before_read() -> None:
        if failures:
            raise failures.pop()

    bench.journal.before_read = before_read
    async with bench.running({"his": sink}, {"adt": "his"}):
        await until(lambda: sink.seen == [1])


async def test_a_failing_disk_stops_delivery_at_the_bound_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inner_agent.outcome_writer.RETRY_S", 0.02)
    sink = SinkInMemory()
    fill(bench.journal, 200)
    commit = DeliveryStore.commit
    disk = {"full": True}

    def failing(self: DeliveryStore, outcomes: Any) -> None:
        if disk["full"]:
            raise sqlite3.OperationalError("database or disk is full")
        commit(self, outcomes)

    monkeypatch.setattr(DeliveryStore, "commit", failing)
    async with bench.running({"his": sink}, {"adt": "his"}) as replayer:
        await asyncio.sleep(0.3)
        assert len(sink.seen) == 64
        assert replayer.ready() == (False, "delivery.db cannot be written")
        disk["full"] = False
        await until(lambda: len(sink.seen) == 200)
        assert replayer.ready() == (True, "delivering")
    assert sink.seen == list(range(1, 201))
    assert operator_orders.counts(bench.path) == {"adt": {State.DELIVERED: 200}}


async def test_a_journal_that_is_behind_is_refused(bench: Bench) -> None:
    sink = SinkInMemory()
    fill(bench.journal, 5)
    async with bench.running({"his": sink}, {"adt": "his"}):
        await until(lambda: len(sink.seen) == 5)
    bench.journal = JournalInMemory()
    fill(bench.journal, 2)
    with pytest.raises(StorageFault, match="same backup"):
        async with bench.running({"his": sink}, {"adt": "his"}):
            pass


async def test_a_sink_that_connects_and_answers_nothing_is_down(bench: Bench) -> None:
    fill(bench.journal, 1)
    async with Hl7Receiver(default=Hl7Behaviour.CLOSE_AFTER_READ) as receiver:
        sink = MllpSink(MllpSettings("his", receiver.host, receiver.port))
        async with bench.running({"his": sink}, {"adt": "his"}):
            await receiver.recording.wait_for_arrivals(3)
            for _ in range(15):
                await asyncio.sleep(0.02)
                assert bench.metric("ferry_inner_sink_up", sink="his") == 0


async def test_sink_up_waiting_and_the_log_tell_what_is_stuck(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = HttpReceiver()
    await receiver.start()
    port = receiver.port
    sink = HttpSink(HttpSettings("his", receiver.url))
    async with bench.running({"his": sink}, {"adt": "his"}):
        await until(lambda: bench.metric("ferry_inner_sink_up", sink="his") == 1)
        await receiver.stop()
        fill(bench.journal, 7)
        await until(lambda: bench.metric("ferry_inner_sink_up", sink="his") == 0)
        await until(lambda: bench.metric("ferry_inner_waiting_messages", channel="adt") == 7)
        receiver = HttpReceiver(port=port)
        await receiver.start()
        await receiver.recording.wait_for(7)
        await until(lambda: bench.metric("ferry_inner_sink_up", sink="his") == 1)
        await until(lambda: bench.metric("ferry_inner_waiting_messages", channel="adt") == 0)
    await receiver.stop()
    # Not one line for each of the attempts in between.
    assert [record.ferry_event for record in caplog.records] == ["sink_down", "sink_up_again"]
    told = caplog.records[0].ferry_fields
    assert (told["sink"], told["reason"]) == ("his", "sink_unreachable")
    sequences = [each.headers["Ferry-Channel-Sequence"] for each in receiver.recording.received]
    assert sequences == [str(n) for n in range(1, 8)]
