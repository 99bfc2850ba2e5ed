"""The replayer's metrics: what leaves for the internal systems, how fast, and what is stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PREFIX: Final = "ferry_inner"
DELIVERIES: Final = "ferry_inner_deliveries"

# From a tenth of the data sheets' one millisecond up to a sink that was down for an hour.
DELIVERY_SECONDS_BUCKETS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600,
)  # fmt: skip


class ReplayerMetrics:
    """One object a registry; label values are names of the configuration and reason codes only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deliveries = Counter(
            f"{DELIVERIES}_total",
            "Attempts to deliver: outcome is delivered, retry or dead.",
            ("channel", "outcome", "reason"),
            registry=registry,
        )
        self.delivery_seconds = Histogram(
            "ferry_inner_delivery_seconds",
            "From the outer's acceptance to the sink's acknowledgement (two hosts' clocks).",
            ("channel",),
            buckets=DELIVERY_SECONDS_BUCKETS,
            registry=registry,
        )
        self.sink_seconds = Histogram(
            "ferry_inner_sink_seconds",
            "From handing a message to the sink to its answer, whatever it is.",
            ("sink",),
            buckets=DELIVERY_SECONDS_BUCKETS,
            registry=registry,
        )
        self.sink_up = Gauge(
            "ferry_inner_sink_up",
            "1 if the sink answered or could be reached when last tried, else 0.",
            ("sink",),
            registry=registry,
        )
        self.waiting = Gauge(
            "ferry_inner_waiting_messages",
            "Journaled messages that are not settled yet.",
            ("channel",),
            registry=registry,
        )
        self.keys_held_up = Gauge(
            "ferry_inner_keys_held_up",
            "Order keys whose messages wait for the retry of one; 1 is a channel without order_by.",
            ("channel",),
            registry=registry,
        )
        self.dead_letters = Gauge(
            "ferry_inner_dead_letters",
            "Messages given up, which an operator must requeue or discard.",
            ("channel",),
            registry=registry,
        )
        self.verifier_silent = Gauge(
            "ferry_inner_verifier_silent_seconds",
            "Since the verifier, which has no network, last wrote its metrics.",
            registry=registry,
        )
        self.undurable = Gauge(
            "ferry_inner_undurable_outcomes",
            "Outcomes not yet on disk: what a power cut now would make the ferry repeat.",
            registry=registry,
        )
        self.key_expiry = Gauge(
            "ferry_inner_sender_key_expiry_timestamp_seconds",
            "Unix time (not_after in the policy) from which no key of a sender is taken any more.",
            ("sender",),
            registry=registry,
        )
