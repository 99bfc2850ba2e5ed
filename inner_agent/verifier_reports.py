"""What the verifier tells, each thing once and in all its places: log, audit trail, metrics.

Ids, names, counts and reason codes only; no payload, and nothing that a payload contained.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter, Histogram

from ferry_format import reasons
from ferry_format.reasons import FerryError, Reason
from ferry_format.stream import Gap
from ferry_runtime import logs
from inner_agent.channel_gaps import Missing, Shortfall, waiting_channels
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.journal_batch import EndedObject, Taken, TakenFile
from inner_agent.object_table import Incomplete
from inner_agent.quarantine import RefusedThing
from inner_agent.verifier_metrics import VerifierMetrics

_log = logging.getLogger("ferry.verifier")


Field = str | int | bytes | None


class Audit(Protocol):
    """What the verifier needs of ferry_runtime.audit.AuditTrail."""

    def record(self, event: str, /, *, durable: bool = False, **fields: object) -> None:
        """Add a record."""

    def flush(self, *, durable: bool = False) -> None:
        """Write what was recorded."""


@dataclass(frozen=True, slots=True)
class _JournaledMetrics:
    """A channel's own counters: to look them up by their labels costs 3 µs each."""

    messages: Counter
    message_bytes: Counter
    crossing_seconds: Histogram


class Reports:
    """Tells. Raises StorageFault if the audit trail cannot be written."""

    def __init__(self, metrics: VerifierMetrics, audit: Audit) -> None:
        self.metrics = metrics
        self._audit = audit
        self._unavailable: Reason | None = None
        self._held: frozenset[str] = frozenset()
        self._of_channel: dict[str, _JournaledMetrics] = {}

    def started(self, streams: Iterable[StreamRecord], policy_sha256: str) -> None:
        """The verifier begins; where each stream stands shows what a crash left untold."""
        for stream in streams:
            self._tell(
                "stream_stands",
                stream=stream.stream_id,
                sender=stream.sender,
                state=stream.state,
                next_sequence=stream.next_sequence,
            )
        self._tell("verifier_started", policy=policy_sha256)

    def stopped(self) -> None:
        """The verifier ends in order."""
        self._tell("verifier_stopped")
        self._audit.flush(durable=True)

    def flush(self, *, durable: bool) -> None:
        """Write what was recorded for the audit trail."""
        self._audit.flush(durable=durable)

    def file_taken(self, stream: StreamRecord, file: TakenFile, taken: Taken, now_ms: int) -> None:
        """A file was accepted and is durable."""
        self.metrics.files.labels("late" if file.late else "taken", "").inc()
        told: defaultdict[tuple[str, str, str], list[bytes | None]] = defaultdict(list)
        for message in file.messages:
            if (file.sequence, message.message_id) in taken.repeated:
                self.metrics.messages.labels(message.channel, "repeated", "").inc()
                told[message.channel, "message_repeated", ""].append(message.message_id)
                continue
            age_ms = now_ms - message.accepted_at_ms
            self._journaled(message.channel, len(message.payload), age_ms)
        for tombstone in file.tombstones:
            self.metrics.messages.labels(tombstone.channel, "withdrawn", tombstone.reason).inc()
        for ended in taken.objects:
            if ended.file_sequence == file.sequence:
                self._object_ended(ended, told, now_ms)
        for thing in file.refused:
            if thing.part is not None:  # told once an object, by what became of that
                continue
            channel, code = thing.channel or "", thing.reason.code
            self.metrics.messages.labels(channel, "refused", code).inc()
            told[channel, "message_refused", code].append(thing.message_id)
        self._tell_messages(stream, file.sequence, told)
        self._audit.record(
            "file_taken",
            stream=stream.stream_id,
            sequence=file.sequence,
            digest=file.link.digest,
            messages=len(file.messages),
            refused=len(file.refused),
            withdrawn=len(file.tombstones),
            late=file.late,
        )
        if file.late:
            logs.event(_log, "late_file_taken", stream=stream.stream_id, sequence=file.sequence)

    def _object_ended(
        self,
        ended: EndedObject,
        told: defaultdict[tuple[str, str, str], list[bytes | None]],
        now_ms: int,
    ) -> None:
        if ended.refused is not None:
            self.metrics.messages.labels(ended.channel, "refused", ended.refused.code).inc()
            told[ended.channel, "object_refused", ended.refused.code].append(ended.message_id)
            return
        self._journaled(ended.channel, ended.object_bytes, now_ms - ended.accepted_at_ms)

    def _journaled(self, channel: str, size: int, age_ms: int) -> None:
        known = self._of_channel.get(channel)
        if known is None:
            known = self._of_channel[channel] = _JournaledMetrics(
                self.metrics.messages.labels(channel, "journaled", ""),
                self.metrics.message_bytes.labels(channel),
                self.metrics.crossing_seconds.labels(channel),
            )
        known.messages.inc()
        known.message_bytes.inc(size)
        known.crossing_seconds.observe(max(0, age_ms) / 1000)

    def objects_given_up(self, objects: Iterable[Incomplete]) -> None:
        """Parts of these never came."""
        for one in objects:
            code = reasons.OBJECT_INCOMPLETE.code
            self.metrics.messages.labels(one.channel, "refused", code).inc()
            self._tell(
                "object_given_up",
                logging.ERROR,
                stream=one.stream_id,
                channel=one.channel,
                message_id=one.message_id,
                reason=code,
                action=reasons.OBJECT_INCOMPLETE.action,
            )

    def file_repeated(self, stream_id: bytes, sequence: int) -> None:
        """A file that was received before came again, unchanged."""
        self.metrics.files.labels("repeated", "").inc()
        logs.event(_log, "file_repeated", stream=stream_id, sequence=sequence)

    def file_refused(self, thing: RefusedThing) -> None:
        """A file went into quarantine."""
        self.metrics.files.labels("refused", thing.reason.code).inc()
        self._tell(
            "file_refused",
            logging.ERROR,
            reason=thing.reason.code,
            stream=thing.stream_id,
            sequence=thing.sequence,
            digest=thing.digest,
            action=thing.reason.action,
        )

    def _tell_messages(
        self,
        stream: StreamRecord,
        sequence: int,
        told: Mapping[tuple[str, str, str], Sequence[bytes | None]],
    ) -> None:
        """One record a file, channel and reason: a file can hold thousands of bad messages.

        The quarantine has each refused one.
        """
        for (channel, event, reason), ids in told.items():
            self._tell(
                event,
                logging.WARNING,
                stream=stream.stream_id,
                sequence=sequence,
                channel=channel,
                reason=reason,
                messages=len(ids),
                first_message_id=ids[0],
            )

    def gap_opened(self, stream: StreamRecord, gap: Gap, *, refused: bool) -> None:
        """A gap is now known to be one; `refused`: a refused file stands at its beginning."""
        self._tell(
            "gap_opened",
            logging.ERROR,
            stream=stream.stream_id,
            sender=stream.sender,
            first=gap.first,
            last=gap.last,
            files=gap.files,
            refused_file=refused,
            action="order a resend of this range on the outer",
        )

    def gap_given_up(self, stream: StreamRecord, gap: Gap, by: str) -> None:
        """The verifier goes on after the gap; `by` is policy or the operator's name."""
        self._tell(
            "gap_given_up",
            logging.ERROR,
            stream=stream.stream_id,
            sender=stream.sender,
            first=gap.first,
            last=gap.last,
            files=gap.files,
            by=by,
        )

    def channels_wait(self, stream: StreamRecord, before: Missing, after: Missing) -> None:
        """Which channels hold what comes, for messages that are missing, and which no longer do."""
        waited, waits = waiting_channels(before), waiting_channels(after)
        for channel in sorted(waits - waited):
            self._tell(
                "channel_held",
                logging.ERROR,
                stream=stream.stream_id,
                channel=channel,
                missing=sum(one.last - one.first + 1 for one in after if one.channel == channel),
                action="have the missing files resent, or give the gap up",
            )
        for channel in sorted(waited - waits):
            self._tell(
                "channel_released", logging.WARNING, stream=stream.stream_id, channel=channel
            )

    def held(self, numbers: Mapping[str, int]) -> None:
        """How many messages of each channel are held now."""
        for channel in numbers.keys() | self._held:
            self.metrics.held_messages.labels(channel).set(numbers.get(channel, 0))
        self._held = frozenset(numbers)

    def gaps_closed(self, stream: StreamRecord, gaps: Iterable[GapRecord]) -> None:
        """Nothing of these gaps is missing any more."""
        for gap in gaps:
            self._tell(
                "gap_closed",
                logging.WARNING,
                stream=stream.stream_id,
                sender=stream.sender,
                first=gap.first_sequence,
                last=gap.last_sequence,
            )

    def shortfall(
        self, stream: StreamRecord, sequence: int, shortfall: Shortfall, *, after_gap: bool
    ) -> None:
        """Channel sequences do not join on: messages of a gap, or a sender that miscounts."""
        self.metrics.missing_messages.labels(shortfall.channel).inc(shortfall.messages)
        self._tell(
            "messages_missing" if after_gap else "channel_sequence_broken",
            logging.ERROR,
            stream=stream.stream_id,
            sequence=sequence,
            channel=shortfall.channel,
            first=shortfall.first,
            last=shortfall.last,
            messages=shortfall.messages,
        )

    def stream_changed(self, event: str, stream: StreamRecord, by: str) -> None:
        """A stream was pinned, refused, accepted or retired."""
        self._tell(
            event,
            logging.ERROR if stream.state == "refused" else logging.WARNING,
            stream=stream.stream_id,
            sender=stream.sender,
            by=by,
        )

    def order(self, event: str, order: str, stream_id: bytes, operator: str, detail: str) -> None:
        """An operator's order was executed or refused."""
        self._tell(
            event, logging.WARNING, order=order, stream=stream_id, operator=operator, detail=detail
        )

    def pruned(self, payloads: int, records: int) -> None:
        """The journal forgot what nobody needs any more."""
        self._tell("journal_pruned", payloads=payloads, records=records)

    def unavailable(self, error: FerryError) -> None:
        """The verifier waits; told once until `available`."""
        if self._unavailable is error.reason:
            return
        self.available()
        self._unavailable = error.reason
        self.metrics.unavailable.labels(error.reason.code).set(1)
        logs.event(
            _log,
            "verifier_waits",
            level=logging.ERROR,
            reason=error.reason.code,
            where=error.where,
            action=error.reason.action,
        )

    def available(self) -> None:
        """What the verifier waited for is there again."""
        if self._unavailable is not None:
            self.metrics.unavailable.labels(self._unavailable.code).set(0)
            logs.event(
                _log,
                "verifier_goes_on",
                level=logging.WARNING,
                reason=self._unavailable.code,
            )
            self._unavailable = None

    def _tell(self, event: str, level: int = logging.INFO, **fields: Field) -> None:
        logs.event(_log, event, level=level, error=None, **fields)
        self._audit.record(event, durable=False, **fields)
