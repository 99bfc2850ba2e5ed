"""What is told of outcomes; above all, how little a stranger can make us write."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from ferry_format import reasons
from ferry_format.reasons import Refused
from outer_agent import outcomes
from outer_agent.metrics import OuterMetrics
from outer_agent.outcomes import STRANGERS_BURST, UNIDENTIFIED, OutcomeRecord


class Trail:
    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, object]]] = []

    def record(self, event: str, /, *, durable: bool = False, **fields: object) -> None:
        self.records.append((event, fields))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [1000.0]
    monkeypatch.setattr(outcomes.time, "monotonic", lambda: now_s[0])
    return now_s


def test_a_flood_of_strangers_is_counted_whole_and_recorded_in_part(clock: list[float]) -> None:
    registry, trail = CollectorRegistry(), Trail()
    record = OutcomeRecord(OuterMetrics(registry), trail, {"adt"})
    for _ in range(10_000):
        record.not_taken("adt", UNIDENTIFIED, Refused(reasons.SENDER_UNKNOWN))
    counted = registry.get_sample_value(
        "ferry_outer_messages_total",
        {"channel": "adt", "outcome": "refused", "reason": "sender_unknown"},
    )
    assert counted == 10_000
    assert len(trail.records) == STRANGERS_BURST
    clock[0] += 1.0
    record.not_taken("adt", UNIDENTIFIED, Refused(reasons.SENDER_UNKNOWN))
    assert trail.records[-1][1]["untold_before"] == 10_000 - STRANGERS_BURST


def test_every_refusal_of_a_known_sender_is_recorded(clock: list[float]) -> None:
    trail = Trail()
    record = OutcomeRecord(OuterMetrics(CollectorRegistry()), trail, {"adt"})
    for _ in range(1000):
        record.not_taken("adt", "his", Refused(reasons.SEGMENT_NOT_ALLOWED))
    assert len(trail.records) == 1000
