"""The inner's day is counted from both processes: the verifier's file and the replayer's own."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from ferry_runtime.status.today import Key
from inner_agent.replayer_metrics import DELIVERIES, ReplayerMetrics
from inner_agent.replayer_service import _counts
from inner_agent.verifier_metrics import FILES, MESSAGES, VerifierMetrics


def test_both_processes_counters_are_read_with_their_beginning(tmp_path: Path) -> None:
    prom = tmp_path / "verifier.prom"
    verifier = VerifierMetrics(CollectorRegistry())
    verifier.messages.labels("adt", "journaled", "").inc(5)
    verifier.files.labels("refused", "bad_signature").inc()
    verifier.message_bytes.labels("adt").inc(999)
    verifier.write(prom)
    replayer = ReplayerMetrics(CollectorRegistry())
    replayer.deliveries.labels("adt", "delivered", "").inc(4)
    found = _counts(replayer, prom)
    assert {key: count.value for key, count in found.items()} == {
        Key(MESSAGES, "adt", "journaled", ""): 5,
        Key(FILES, "", "refused", "bad_signature"): 1,
        Key(DELIVERIES, "adt", "delivered", ""): 4,
    }
    assert all(count.since_s > 1_700_000_000 for count in found.values())


def test_before_the_verifier_s_first_file_the_replayer_counts_alone(tmp_path: Path) -> None:
    replayer = ReplayerMetrics(CollectorRegistry())
    replayer.deliveries.labels("adt", "dead", "sink_refused").inc()
    found = _counts(replayer, tmp_path / "verifier.prom")
    assert list(found) == [Key(DELIVERIES, "adt", "dead", "sink_refused")]
