"""One sink is dead with a long queue; another channel must not notice, and nothing may get lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from inner_agent import operator_orders
from inner_agent.channel_pipeline import Route
from inner_agent.delivery import DeliveryPolicy, State
from inner_agent.delivery_store import DeliveryStore
from inner_agent.replayer import Replayer, ReplayerTimes
from inner_agent.replayer_metrics import ReplayerMetrics
from inner_agent.sinks.mllp import MllpSettings, MllpSink
from tests.simulator.hl7_receiver import Hl7Behaviour, Hl7Receiver
from tests.simulator.journal import JournalInMemory
from tests.simulator.messages import adt

if TYPE_CHECKING:
    from pathlib import Path

WAITING = 2_000
FLOWING = 200


async def test_two_thousand_wait_for_a_dead_sink_while_another_channel_flows(
    tmp_path: Path,
) -> None:
    journal = JournalInMemory()
    waiting = [f"adt-{n}" for n in range(WAITING)]
    for each in waiting:
        journal.append(adt(each), "adt")
    registry = CollectorRegistry()
    store = DeliveryStore(tmp_path / "delivery.db")
    policy = DeliveryPolicy(attempts_max=3, retry_first_s=0.02, retry_most_s=0.05)

    his = Hl7Receiver()
    await his.start()
    await his.stop()  # its port is known, and nobody listens
    async with Hl7Receiver() as lis:
        replayer = Replayer(
            [Route("adt", "his", policy), Route("lab", "lis", policy)],
            {
                "his": MllpSink(MllpSettings("his", his.host, his.port, timeout_s=2)),
                "lis": MllpSink(MllpSettings("lis", lis.host, lis.port, timeout_s=2)),
            },
            journal=journal,
            store=store,
            metrics=ReplayerMetrics(registry),
            times=ReplayerTimes(look_s=0.01),
        )
        await replayer.start()
        slowest_s = 0.0
        flowing = [f"lab-{n}" for n in range(FLOWING)]
        for number, each in enumerate(flowing, start=1):
            journal.append(adt(each), "lab")
            began = time.monotonic()
            await lis.recording.wait_for(number)
            slowest_s = max(slowest_s, time.monotonic() - began)
        assert slowest_s < 1.0, "the dead sink's channel held the other one up"
        assert lis.recording.taken_ids == flowing
        assert registry.get_sample_value("ferry_inner_sink_up", {"sink": "his"}) == 0
        tried = None
        for _ in range(100):
            tried = registry.get_sample_value(
                "ferry_inner_deliveries_total",
                {"channel": "adt", "outcome": "retry", "reason": "sink_unreachable"},
            )
            if tried is not None and tried > policy.attempts_max:
                break
            await asyncio.sleep(0.1)
        assert tried is not None
        assert tried > policy.attempts_max, "it was tried more often than a refusing sink would be"
        assert State.DEAD not in operator_orders.counts(tmp_path / "delivery.db")["adt"]

        # The sink comes back, and stumbles now and then.
        his.script.extend(
            [Hl7Behaviour.CLOSE_AFTER_READ, *[Hl7Behaviour.ACCEPT] * 500, Hl7Behaviour.ERROR]
        )
        await his.start()
        await his.recording.wait_for(WAITING, timeout_s=120)
        await replayer.stop()
        await his.stop()
    store.close()
    assert his.recording.taken_ids == waiting, "each once, in order"
    counts = operator_orders.counts(tmp_path / "delivery.db")
    assert counts == {"adt": {State.DELIVERED: WAITING}, "lab": {State.DELIVERED: FLOWING}}


async def test_a_hanging_sink_is_repeated_to_with_one_id_and_never_given_up(
    tmp_path: Path,
) -> None:
    journal = JournalInMemory()
    journal.append(adt("M1"))
    journal.append(adt("M2"))
    store = DeliveryStore(tmp_path / "delivery.db")
    policy = DeliveryPolicy(attempts_max=2, retry_first_s=0.01, retry_most_s=0.02)
    async with Hl7Receiver([Hl7Behaviour.HANG] * 6) as his:
        replayer = Replayer(
            [Route("adt", "his", policy)],
            {"his": MllpSink(MllpSettings("his", his.host, his.port, timeout_s=0.05))},
            journal=journal,
            store=store,
            metrics=ReplayerMetrics(CollectorRegistry()),
        )
        await replayer.start()
        await his.recording.wait_for(2)
        await asyncio.sleep(0.05)
        await replayer.stop()
    store.close()
    assert his.recording.ids == ["M1"] * 7 + ["M2"]
    assert his.recording.taken_ids == ["M1", "M2"]
