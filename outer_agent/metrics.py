"""What the outer counts. Labels are names of the configuration and reason codes, never content."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX: Final = "ferry_outer"
MESSAGES: Final = "ferry_outer_messages"

UNKNOWN_CHANNEL: Final = "unknown"
"""The label for channels that do not exist: a sender must not be able to make labels."""

SECONDS_BUCKETS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60,
)  # fmt: skip
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class OuterMetrics:
    """The outer's metrics on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            f"{MESSAGES}_total",
            "Messages by outcome: admitted, repeated, refused (for good) or deferred (try again).",
            ("channel", "outcome", "reason"),
            registry=registry,
        )
        self.flagged = Counter(
            "ferry_outer_messages_flagged_total",
            "Admitted messages in which something was found that the channel lets pass.",
            ("channel", "reason"),
            registry=registry,
        )
        self.message_bytes = Counter(
            "ferry_outer_message_bytes_total",
            "Payload bytes of admitted messages, as they cross.",
            ("channel",),
            registry=registry,
        )
        self.acknowledgement_seconds = Histogram(
            "ferry_outer_acknowledgement_seconds",
            "From a whole message to its durable acceptance.",
            ("channel",),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "ferry_outer_commit_seconds",
            "One ferry file: sealed, spooled and published durably.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.commit_messages = Histogram(
            "ferry_outer_commit_messages",
            "Messages in one ferry file.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.queue_messages = Gauge(
            "ferry_outer_queue_messages",
            "Admitted messages that wait for the next ferry file.",
            registry=registry,
        )
        self.last_sequence = Gauge(
            "ferry_outer_last_sequence",
            "Sequence number of the last ferry file.",
            registry=registry,
        )
        self.medium_bytes = Gauge(
            "ferry_outer_medium_bytes", "Bytes of ferry files on the medium.", registry=registry
        )
        self.medium_free_bytes = Gauge(
            "ferry_outer_medium_free_bytes",
            "Bytes free on the medium's filesystem.",
            registry=registry,
        )
        self.names_replaced = Counter(
            "ferry_outer_foreign_files_replaced_total",
            "Files that this outer never sealed and that stood under the name of its next one.",
            registry=registry,
        )
        self.spool_bytes = Gauge(
            "ferry_outer_spool_bytes", "Bytes of ferry files in the spool.", registry=registry
        )
        self.takes_messages = Gauge(
            "ferry_outer_takes_messages",
            "1 while new messages are taken, 0 while all are told to try again later.",
            registry=registry,
        )
        self.connections = Gauge(
            "ferry_outer_source_connections",
            "Open connections of a source.",
            ("source",),
            registry=registry,
        )
