"""The verifier's metrics: what came, what was refused and why, what is missing, how late it was.

The verifier has no network: it writes its registry to a file each second, and the replayer serves
the file behind its own metrics. The file's age tells whether the verifier lives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, write_to_textfile

PREFIX: Final = "ferry_inner_verifier"
FILES: Final = "ferry_inner_files"
MESSAGES: Final = "ferry_inner_messages"
METRICS_FILE_NAME: Final = "verifier.prom"

# From a memory-backed medium's half a millisecond up to a medium that was away for an hour.
CROSSING_SECONDS_BUCKETS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600,
)  # fmt: skip
COMMIT_SECONDS_BUCKETS: Final = (
    0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1,
)  # fmt: skip


class VerifierMetrics:
    """One object a registry; label values are names of the configuration and reason codes only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.files = Counter(
            f"{FILES}_total",
            "Ferry files: outcome is taken, late, repeated or refused.",
            ("outcome", "reason"),
            registry=registry,
        )
        self.messages = Counter(
            f"{MESSAGES}_total",
            "Messages in taken files: outcome is journaled, repeated, withdrawn or refused.",
            ("channel", "outcome", "reason"),
            registry=registry,
        )
        self.message_bytes = Counter(
            "ferry_inner_message_bytes_total",
            "Payload bytes journaled.",
            ("channel",),
            registry=registry,
        )
        self.missing_messages = Counter(
            "ferry_inner_missing_messages_total",
            "Channel sequence numbers that the file after a gap showed to be missing.",
            ("channel",),
            registry=registry,
        )
        self.crossing_seconds = Histogram(
            "ferry_inner_crossing_seconds",
            "From the outer's acceptance to the journal (two hosts' clocks).",
            ("channel",),
            buckets=CROSSING_SECONDS_BUCKETS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "ferry_inner_commit_seconds",
            "One journal commit.",
            buckets=COMMIT_SECONDS_BUCKETS,
            registry=registry,
        )
        self.gap_files = Gauge(
            "ferry_inner_gap_files",
            "Ferry files reported missing and not received since.",
            registry=registry,
        )
        self.objects_arriving = Gauge(
            "ferry_inner_objects_arriving",
            "Objects of which some parts came and others did not yet.",
            registry=registry,
        )
        self.held_messages = Gauge(
            "ferry_inner_held_messages",
            "Verified messages that wait for missing ones of their channel.",
            ("channel",),
            registry=registry,
        )
        self.heartbeat_age_seconds = Gauge(
            "ferry_inner_last_heartbeat_age_seconds",
            "Since the sender's last file of any kind was taken.",
            ("sender",),
            registry=registry,
        )
        self.clock_skew_seconds = Gauge(
            "ferry_inner_clock_skew_seconds",
            "This host's clock less the sender's, the crossing included, by its last file.",
            ("sender",),
            registry=registry,
        )
        self.quarantine_entries = Gauge(
            "ferry_inner_quarantine_entries",
            "Files and messages refused, ever.",
            registry=registry,
        )
        self.entries_ignored = Gauge(
            "ferry_inner_medium_entries_ignored",
            "Names on the medium now that the layout does not have.",
            ("reason",),
            registry=registry,
        )
        self.streams_refused = Gauge(
            "ferry_inner_streams_refused",
            "Streams of trusted senders that wait for an operator's decision.",
            registry=registry,
        )
        self.unavailable = Gauge(
            "ferry_inner_verifier_unavailable",
            "1 while the verifier can take nothing for this reason.",
            ("reason",),
            registry=registry,
        )
        self.journal_bytes = Gauge(
            "ferry_inner_journal_bytes",
            "Size of the journal without its free pages.",
            registry=registry,
        )

    def write(self, path: Path) -> None:
        """Write every metric to `path`, atomically. Raises OSError."""
        write_to_textfile(str(path), self._registry)
