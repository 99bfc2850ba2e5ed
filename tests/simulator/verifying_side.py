"""A verifier over a real medium and a real journal, driven step by step, its clock passed in."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from ferry_format.container import Opener
from ferry_format.medium.reader import MediumReader
from ferry_format.reasons import NOT_WELL_FORMED, VALIDATOR_UNAVAILABLE, Unavailable
from inner_agent.at_rest import PayloadCipher
from inner_agent.file_opening import FileOpening
from inner_agent.intake_decisions import ChannelRule
from inner_agent.journal import JournalReader
from inner_agent.journal_writer import JournalWriter
from inner_agent.known_streams import KnownStreams
from inner_agent.quarantine import QuarantineEntry, QuarantineReader
from inner_agent.verifier_metrics import VerifierMetrics
from inner_agent.verifier_reports import Reports
from inner_agent.workplace import BatchLimits, Workplace
from tests.simulator import sending_side
from validators.verdict import Accepted, Rejected, Verdict

CIPHER = PayloadCipher(bytes(32))
RULES = {
    "adt": ChannelRule("application/json", 1000),
    "lab": ChannelRule("application/json", 1000),
}


class StandInValidators:
    """Takes everything but payloads that begin with `bad`; rebuilds by adding nothing."""

    def __init__(self) -> None:
        self.available = True
        self.calls = 0

    def validate_many(self, items) -> list[Verdict]:
        self.calls += 1
        if not self.available:
            raise Unavailable(VALIDATOR_UNAVAILABLE)
        return [
            Rejected(NOT_WELL_FORMED, "MSH-2")
            if payload.startswith(b"bad")
            else Accepted(payload, "ADT^A01", payload[:8].decode("latin-1"))
            for _, payload in items
        ]


@dataclass
class Recorded:
    """An audit trail in memory."""

    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def record(self, event, /, *, durable=False, **fields) -> None:
        self.events.append((event, fields))

    def flush(self, *, durable=False) -> None:
        pass

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def of(self, name: str) -> list[dict[str, object]]:
        return [fields for event, fields in self.events if event == name]


class VerifyingSide:
    """`restart` is what a crash and a new start do to memory. `now_s` is the monotonic clock."""

    def __init__(
        self,
        root: Path,
        state_dir: Path,
        *,
        opener: Opener | None = None,
        on_gap: str = "hold",
        gap_wait_s: float = 30.0,
        limits: BatchLimits | None = None,
    ) -> None:
        self.medium = MediumReader(root, None)
        self.state_dir = state_dir
        self.opener = opener or sending_side.opener()
        self.gap_wait_s = gap_wait_s
        self.rules = {
            name: replace(rule, holds_on_gap=on_gap == "hold") for name, rule in RULES.items()
        }
        self.limits = limits or BatchLimits()
        self.validators = StandInValidators()
        self.audit = Recorded()
        self.now_s = 1000.0
        self.journal: JournalWriter | None = None
        self.restart()

    def restart(self) -> None:
        self.close()
        self.journal = JournalWriter(self.state_dir / "journal.db", CIPHER)
        self.registry = CollectorRegistry()
        reports = Reports(VerifierMetrics(self.registry), self.audit)
        clock_ms = sending_side.now_ms
        files = FileOpening(self.medium, self.opener, self.journal, reports, clock_ms)
        self.workplace = Workplace(
            self.medium, files, self.validators, self.journal, reports, self.rules, self.gap_wait_s,
            self.limits, clock_ms, lambda: None, lambda: self.now_s,
        )  # fmt: skip
        self.streams = KnownStreams(self.workplace)

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()

    def pass_(self, passed_s: float = 0.0) -> int:
        """Everything that can be taken now, with looks in between; how many files."""
        self.now_s += passed_s
        total = 0
        for _ in range(100):
            taken = sum(one.take_next() for one in self.streams.trusted)
            if not taken:
                pinned = self.streams.look()
                before = [one.state for one in self.streams.trusted]
                for one in self.streams.trusted:
                    taken += one.look()
                if not taken and not pinned and before == [o.state for o in self.streams.trusted]:
                    # A look right after a movement spares itself; the second one looks.
                    taken = sum(one.look() for one in self.streams.trusted)
                    if not taken and before == [o.state for o in self.streams.trusted]:
                        return total
            total += taken
        raise AssertionError("the verifier does not come to rest")

    def payloads(self, channel: str = "adt") -> list[bytes]:
        with JournalReader(self.state_dir / "journal.db", CIPHER) as reader:
            return [message.payload for message in reader.waiting(channel, 0, 10_000)]

    def gaps(self) -> list[tuple[int, int, bool]]:
        with JournalReader(self.state_dir / "journal.db", CIPHER) as reader:
            return [(g.first_sequence, g.last_sequence, g.given_up) for g in reader.gaps()]

    def quarantine(self) -> list[QuarantineEntry]:
        """Oldest first."""
        with QuarantineReader(self.state_dir / "journal.db", CIPHER) as reader:
            return reader.newest()[::-1]

    def reasons(self) -> list[str]:
        return [entry.reason for entry in self.quarantine()]

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@contextlib.contextmanager
def verifying(root: Path, state_dir: Path, **options):
    side = VerifyingSide(root, state_dir, **options)
    try:
        yield side
    finally:
        side.close()
