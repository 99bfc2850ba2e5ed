"""Far sides that misbehave in every way, one after another, and the replayer behind them.

What a single answer means is tried in tests/integration; here a whole channel goes through all of
them, from the journal on disk, and each message must have been taken, in order.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from inner_agent import operator_orders
from inner_agent.at_rest import PayloadCipher
from inner_agent.channel_pipeline import Route
from inner_agent.delivery import DeliveryPolicy, State
from inner_agent.delivery_store import DeliveryStore
from inner_agent.journal import JournalReader
from inner_agent.replay_journal import ReplayJournal
from inner_agent.replayer import Replayer, ReplayerTimes
from inner_agent.replayer_metrics import ReplayerMetrics
from inner_agent.sinks.http import HttpSettings, HttpSink
from inner_agent.sinks.mllp import MllpSettings, MllpSink
from tests.integration.test_replay_from_journal import KEY, Verifier
from tests.simulator.hl7_receiver import Hl7Behaviour, Hl7Receiver
from tests.simulator.http_receiver import HttpBehaviour, HttpReceiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from inner_agent.sinks.base import Sink
    from tests.simulator.recording import Recording

DAY_MS = 86_400_000
BACKLOG = 10_000
FLOWING = 400
ROUNDS = 3
QUICK = DeliveryPolicy(attempts_max=10, retry_first_s=0.01, retry_most_s=0.02)
TIMEOUT_S = 0.2


@pytest.fixture
def verifier(tmp_path: Path) -> Iterator[Verifier]:
    verifier = Verifier(tmp_path)
    yield verifier
    verifier.writer.close()


@asynccontextmanager
async def replaying(
    verifier: Verifier,
    sinks: Mapping[str, Sink],
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> AsyncIterator[None]:
    """A replayer that delivers each channel to the sink of the same name."""
    store = DeliveryStore(verifier.path.with_name("delivery.db"))
    with JournalReader(verifier.path, PayloadCipher(KEY)) as reader:
        replayer = Replayer(
            [Route(name, name, QUICK) for name in sinks],
            sinks,
            journal=ReplayJournal(reader),
            store=store,
            metrics=ReplayerMetrics(CollectorRegistry()),
            times=ReplayerTimes(look_s=0.01),
            clock_ms=clock_ms,
        )
        await replayer.start()
        try:
            yield
        finally:
            await replayer.stop()
            store.close()


def states(verifier: Verifier) -> dict[str, dict[State, int]]:
    return operator_orders.counts(verifier.path.with_name("delivery.db"))


def check_order(recording: Recording, sent: list[str], taken_unanswered: int) -> None:
    """Each was taken, in order; twice only what was taken with no good answer in time."""
    assert list(dict.fromkeys(recording.taken_ids)) == sent
    assert sum(recording.duplicates().values()) == taken_unanswered


async def test_an_hl7_receiver_that_fails_in_every_way_gets_all_in_order(
    verifier: Verifier,
) -> None:
    failing = [
        Hl7Behaviour.ERROR,
        Hl7Behaviour.COMMIT_ERROR,
        Hl7Behaviour.HANG,
        Hl7Behaviour.LATE,
        Hl7Behaviour.WRONG_ID,
        Hl7Behaviour.GARBAGE,
        Hl7Behaviour.NOT_AN_ACK,
        Hl7Behaviour.OVERLONG,
        Hl7Behaviour.CLOSE_BEFORE_READ,
        Hl7Behaviour.CLOSE_AFTER_READ,
        Hl7Behaviour.TWICE,
        Hl7Behaviour.ACCEPT_AND_CLOSE,
    ]
    script = [each for way in failing for each in (way, Hl7Behaviour.ACCEPT)]
    async with Hl7Receiver(script, late_s=2 * TIMEOUT_S) as his:
        sent = verifier.take(*["adt"] * 20)
        sink = MllpSink(MllpSettings("his", his.host, his.port, timeout_s=TIMEOUT_S))
        async with replaying(verifier, {"adt": sink}):
            await his.recording.wait_for(len(sent), timeout_s=30)
        check_order(his.recording, sent, taken_unanswered=1)  # LATE
    assert not his.script
    assert states(verifier) == {"adt": {State.DELIVERED: len(sent)}}


async def test_an_http_receiver_that_fails_in_every_way_gets_all_in_order(
    verifier: Verifier,
) -> None:
    failing = [500, 503, 408, 429, *HttpBehaviour]
    script = [each for way in failing for each in (way, 200)]
    async with HttpReceiver(script, late_s=2 * TIMEOUT_S) as his:
        sent = [f"{number:032x}" for number in range(1, 21)]
        verifier.take(*["adt"] * len(sent))
        sink = HttpSink(HttpSettings("his", his.url, timeout_s=TIMEOUT_S))
        async with replaying(verifier, {"adt": sink}):
            await his.recording.wait_for(len(sent), timeout_s=30)
        check_order(his.recording, sent, taken_unanswered=1)  # LATE
    assert not his.script
    assert states(verifier) == {"adt": {State.DELIVERED: len(sent)}}


async def test_a_sink_that_comes_back_after_a_day_gets_all_and_nothing_is_given_up(
    verifier: Verifier,
) -> None:
    days = 0
    his = Hl7Receiver()
    await his.start()
    await his.stop()  # its port is known, and nobody listens
    sent = verifier.take(*["adt"] * 50)
    sink = MllpSink(MllpSettings("his", his.host, his.port, timeout_s=TIMEOUT_S))
    clock = lambda: time.time_ns() // 1_000_000 + days * DAY_MS  # noqa: E731
    async with replaying(verifier, {"adt": sink}, clock):
        await asyncio.sleep(0.3)
        days = 1
        sent += verifier.take(*["adt"] * 50)
        await asyncio.sleep(0.5)
        assert State.DEAD not in states(verifier).get("adt", {})
        await his.start()
        await his.recording.wait_for(len(sent), timeout_s=30)
    await his.stop()
    check_order(his.recording, sent, taken_unanswered=0)
    assert states(verifier) == {"adt": {State.DELIVERED: len(sent)}}


async def test_ten_thousand_waiting_for_a_dead_sink_take_no_speed_from_another_channel(
    verifier: Verifier,
) -> None:
    """The better of a few rounds each, as other programs run beside the test."""
    his = Hl7Receiver()
    await his.start()
    await his.stop()
    async with Hl7Receiver() as lis:
        sinks = {
            "adt": MllpSink(MllpSettings("his", his.host, his.port, timeout_s=TIMEOUT_S)),
            "lab": MllpSink(MllpSettings("lis", lis.host, lis.port, timeout_s=5)),
        }
        flowed = 0

        async def seconds() -> float:
            nonlocal flowed
            began_s = time.monotonic()
            verifier.take(*["lab"] * FLOWING)
            flowed += FLOWING
            await lis.recording.wait_for(flowed, timeout_s=30)
            return time.monotonic() - began_s

        async with replaying(verifier, sinks):
            alone_s = min([await seconds() for _ in range(ROUNDS)])
            waiting = verifier.take(*["adt"] * BACKLOG)
            await asyncio.sleep(0.3)
            beside_s = min([await seconds() for _ in range(ROUNDS)])
            await his.start()
            await his.recording.wait_for(BACKLOG, timeout_s=240)
        await his.stop()
    print(f"{FLOWING / alone_s:.0f}/s alone, {FLOWING / beside_s:.0f}/s beside the backlog")
    assert alone_s / beside_s > 0.5
    check_order(his.recording, waiting, taken_unanswered=0)
    counted = states(verifier)
    assert counted["adt"] == {State.DELIVERED: BACKLOG}
    assert counted["lab"] == {State.DELIVERED: flowed}
