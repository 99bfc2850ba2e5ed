"""The verifier: medium → verified file → content → stream → validators → journal → hint.

One thread, no network, no event loop. It reads the next file of each trusted stream by name, takes
as many as wait in one commit, and pokes the replayer. When nothing is next it looks: for new
streams, missing and late files, operators' orders. Directory events only end the waiting sooner.

Responsibility for a message passes when the journal's commit returns. Before that nothing on the
medium was changed and nothing remembered, so a crash at any instant leads to the same files being
read again; after that the file's sequence and the message's id are known, and it is never taken
again. What cannot be taken now (validators or medium unavailable, journal full) stays where it is.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ferry_format import reasons
from ferry_format.container import Opener
from ferry_format.reasons import StorageFault, Unavailable
from ferry_runtime import notify
from inner_agent import stream_orders
from inner_agent.file_opening import FileOpening
from inner_agent.hint import HINT_NAME, HintWriter
from inner_agent.intake_decisions import ChannelRule
from inner_agent.journal_writer import JournalWriter
from inner_agent.known_streams import KnownStreams
from inner_agent.retention import Retention, RetentionPolicy
from inner_agent.stream_orders import Answer, Order
from inner_agent.verifier_metrics import METRICS_FILE_NAME, VerifierMetrics
from inner_agent.verifier_reports import Audit, Reports
from inner_agent.workplace import BatchLimits, Medium, Validators, Workplace

TICK_S: Final = 1.0
"""How often metrics are written, the watchdog is told, and the journal is tidied."""

PRUNE_S: Final = 60.0
FOREIGN_NAMES_S: Final = 30.0
"""Counting foreign names lists whole directories, and messages wait meanwhile."""

UNAVAILABLE_PAUSE_S: Final = 0.2
DELIVERY_NAME: Final = "delivery.db"


class Watch(Protocol):
    """What the verifier needs of ferry_format.medium.watch.Watch."""

    def follow(self, root: Path, stream_id: bytes | None, sequence: int) -> bool:
        """Watch where the next files of a stream appear; whether that began just now."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for an event."""


class WholeMedium(Medium, Protocol):
    """All that the verifier needs of ferry_format.medium.reader.MediumReader."""

    @property
    def root(self) -> Path:
        """Where the medium is mounted."""

    def foreign_names(self) -> Mapping[str, int]:
        """How many names the layout does not know, by reason code."""


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """From both administrators' files. Seconds where the name says so."""

    state_dir: Path
    rules: Mapping[str, ChannelRule]
    retention: RetentionPolicy
    gap_wait_s: float = 30.0
    look_s: float = 1.0
    limits: BatchLimits = field(default_factory=BatchLimits)
    policy_sha256: str = ""


class Verifier:
    """Runs until stopped. Collaborators are passed in open; the verifier closes none of them."""

    def __init__(
        self,
        settings: VerifierSettings,
        *,
        medium: WholeMedium,
        watch: Watch,
        opener: Opener,
        validators: Validators,
        journal: JournalWriter,
        metrics: VerifierMetrics,
        audit: Audit,
    ) -> None:
        self._settings = settings
        self._medium = medium
        self._watch = watch
        self._journal = journal
        self._metrics = metrics
        self._reports = Reports(metrics, audit)
        self._hint = HintWriter(settings.state_dir / HINT_NAME)
        files = FileOpening(medium, opener, journal, self._reports, _now_ms)
        workplace = Workplace(
            medium,
            files,
            validators,
            journal,
            self._reports,
            settings.rules,
            settings.gap_wait_s,
            settings.limits,
            _now_ms,
            self._hint.poke,
        )
        self._streams = KnownStreams(workplace)
        self._orders = stream_orders.make_folder(settings.state_dir)
        delivery = settings.state_dir / DELIVERY_NAME
        self._retention = Retention(journal, delivery, settings.retention, _now_ms())
        self._looked_at_s = self._ticked_at_s = self._pruned_at_s = float("-inf")
        self._counted_at_s = float("-inf")
        self._full = False
        self._stopping = False

    @property
    def streams(self) -> KnownStreams:
        """The streams, for status."""
        return self._streams

    def stop(self) -> None:
        """Have `run` return after the batch under way; may be called from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Verify until stopped. Raises StorageFault when nothing durable can be promised."""
        self._reports.started(self._streams.records(), self._settings.policy_sha256)
        self._tick()
        notify.ready("verifying")
        try:
            while not self._stopping:
                self._round()
        finally:
            self._hint.close()
        self._reports.stopped()
        self._tick()

    def step(self) -> int:
        """Take what is next, and look if a look is due; returns the number of files taken.

        What one stream meets keeps no other from moving. Raises Unavailable, after that, and
        StorageFault.
        """
        streams = [] if self._full else self._streams.trusted
        work = [one.take_next for one in streams]
        if time.monotonic() - self._looked_at_s >= self._settings.look_s:
            self._looked_at_s = time.monotonic()
            self._obey()
            work += [self._streams.look, *(one.look for one in streams), self._count_foreign]
        return self._all(work)

    def _round(self) -> None:
        try:
            # What came before a watch was set gave no event.
            if not (self.step() or (self._follow() and self.step())):
                if not self._full:
                    self._reports.available()
                self._wait()
        except Unavailable as error:
            self._reports.unavailable(error)
            if not self._stopping:
                time.sleep(UNAVAILABLE_PAUSE_S)
        if time.monotonic() - self._ticked_at_s >= TICK_S:
            try:
                self._tick()
            except Unavailable as error:
                self._reports.unavailable(error)
                self._full = True
                notify.watchdog()  # it waits, and a restart would find no more room

    def _all(self, work: Iterable[Callable[[], int]]) -> int:
        """Do each piece of work; returns the sum. Raises the first Unavailable, at the end."""
        moved, failure = 0, None
        for piece in work:
            try:
                moved += piece()
            except Unavailable as error:
                failure = failure or error
        if moved:
            try:
                self._reports.flush(durable=False)
            except Unavailable:
                self._full = True  # what cannot be recorded is not taken
                raise
        if failure is not None:
            raise failure
        return moved

    def _count_foreign(self) -> int:
        """Now and then count the names that the layout does not have; nothing moves by it."""
        now_s = time.monotonic()
        if now_s - self._counted_at_s >= FOREIGN_NAMES_S:
            self._counted_at_s = now_s
            number = self._medium.foreign_names()
            code = reasons.FOREIGN_NAME.code
            self._metrics.entries_ignored.labels(code).set(number.get(code, 0))
        return 0

    def _obey(self) -> None:
        try:
            for name, order in stream_orders.pending(self._orders):
                stream_orders.answer(self._orders, name, self._execute(order))
            stream_orders.clear(self._orders, time.time())
        except OSError as error:
            raise StorageFault(
                reasons.STORAGE_FAILED, f"{self._orders}: {error.strerror}"
            ) from error

    def _execute(self, order: Order | None) -> Answer:
        if order is None:
            return Answer(done=False, detail="not an order")
        try:
            if order.kind == "accept_stream":
                given = self._streams.accept(order.stream_id, order.operator)
            else:
                given = self._streams.give_up(order.stream_id, order.operator)
        except Unavailable as error:
            given = Answer(done=False, detail=f"not now: {error.reason.meaning} ({error.where})")
        event = "order_executed" if given.done else "order_refused"
        self._reports.order(event, order.kind, order.stream_id, order.operator, given.detail)
        self._reports.flush(durable=True)
        return given

    def _follow(self) -> bool:
        """Watch the shard of the stream that moved last; the others are found by looking.

        Whether something is watched now that was not.
        """
        newest = max(
            self._streams.trusted, key=lambda one: one.record.last_file_at_ms, default=None
        )
        if newest is None:
            return self._watch.follow(self._medium.root, None, 1)
        state = newest.state
        return self._watch.follow(self._medium.root, state.stream_id, state.next_sequence)

    def _wait(self) -> None:
        now_s = time.monotonic()
        next_s = min(self._looked_at_s + self._settings.look_s, self._ticked_at_s + TICK_S)
        if not self._stopping:
            self._watch.wait(max(0.0, next_s - now_s))

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._ticked_at_s = now_s
        if now_s - self._pruned_at_s >= PRUNE_S:
            pruned = self._retention.prune(_now_ms())
            if pruned.payloads or pruned.records:
                self._reports.pruned(pruned.payloads, pruned.records)
            self._reports.objects_given_up(pruned.incomplete)
            if not pruned.more:
                self._pruned_at_s = now_s
        used_bytes = self._journal.used_bytes()
        self._check_room(used_bytes)
        self._journal.checkpoint()
        self._reports.flush(durable=True)
        self._measure(used_bytes)
        notify.watchdog()

    def _check_room(self, used_bytes: int) -> None:
        full = used_bytes > self._settings.retention.bytes_max
        if full:
            where = f"{self._journal.path.name} passed its bytes_max"
            self._reports.unavailable(Unavailable(reasons.JOURNAL_FULL, where))
            self._pruned_at_s = float("-inf")
        self._full = full

    def _measure(self, used_bytes: int) -> None:
        now_ms = _now_ms()
        metrics = self._metrics
        metrics.journal_bytes.set(used_bytes)
        metrics.quarantine_entries.set(self._journal.quarantine_number)
        metrics.streams_refused.set(self._streams.refused())
        missing = 0
        for record in self._streams.records():
            if record.state == "trusted":
                age_s = max(0, now_ms - record.last_file_at_ms) / 1000
                metrics.heartbeat_age_seconds.labels(record.sender).set(age_s)
        for intake in self._streams.trusted:
            missing += sum(one.last_sequence - one.first_sequence + 1 for one in intake.gaps)
        metrics.gap_files.set(missing)
        metrics.objects_arriving.set(self._journal.objects.arriving())
        try:
            metrics.write(self._settings.state_dir / METRICS_FILE_NAME)
        except OSError as error:
            where = f"{METRICS_FILE_NAME}: {error.strerror}"
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise Unavailable(reasons.JOURNAL_FULL, where) from error
            raise StorageFault(reasons.STORAGE_FAILED, where) from error


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
