"""What is told of each message's outcome: counted, audited, and if it was not taken, logged.

Names of the configuration, reason codes and ids only; nothing else of a message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Container
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import Counter, Histogram

from ferry_format.reasons import FerryError, Reason, Refused
from ferry_runtime.logs import event
from outer_agent import admission
from outer_agent.admission import Admitted, ObjectSubmission, RateState, Receipt, Submission
from outer_agent.metrics import UNKNOWN_CHANNEL, OuterMetrics
from validators.verdict import Accepted

STRANGERS_PER_S: Final = 1.0
STRANGERS_BURST: Final = 100.0
UNIDENTIFIED: Final = "unidentified"
"""Stands for the sender in records of messages whose sender is not known."""

_LOG = logging.getLogger("ferry.outer.intake")


class AuditRecord(Protocol):
    """The audit trail, as the intake sees it."""

    def record(self, event: str, /, *, durable: bool = False, **fields: object) -> None:
        """Add one record."""
        ...


@dataclass(frozen=True, slots=True)
class _TakenMetrics:
    """A channel's own counters: to look them up by their labels costs 3 µs each."""

    messages: Counter
    acknowledgement_seconds: Histogram
    message_bytes: Counter


class OutcomeRecord:
    """Where every outcome is told; `channels` are the channels that exist."""

    def __init__(self, metrics: OuterMetrics, audit: AuditRecord, channels: Container[str]) -> None:
        self._metrics = metrics
        self._audit = audit
        self._channels = channels
        self._taken: dict[tuple[str, str], _TakenMetrics] = {}
        self._strangers: RateState | None = None
        self._untold = 0

    def taken(
        self, admitted: Admitted, sender: str, verdict: Accepted, receipt: Receipt, seconds: float
    ) -> None:
        """Custody was taken of a message now, or had been of the same one before."""
        outcome = "repeated" if receipt.duplicate else "admitted"
        metrics = self._of(admitted.channel, outcome)
        metrics.messages.inc()
        metrics.acknowledgement_seconds.observe(seconds)
        if not receipt.duplicate:
            metrics.message_bytes.inc(admitted.whole_bytes)
        self._audit.record(
            f"message_{outcome}",
            message_id=receipt.message_id,
            channel=admitted.channel,
            sender=sender,
            message_type=verdict.message_type,
            control_id=verdict.control_id,
            bytes=admitted.whole_bytes,
        )
        if verdict.flag is not None and not receipt.duplicate:
            self._flagged(admitted.channel, receipt, verdict.flag)

    def _flagged(self, channel: str, receipt: Receipt, flag: Reason) -> None:
        """A message crosses although a reason against it holds, as its channel says."""
        self._metrics.flagged.labels(channel, flag.code).inc()
        id_, reason = receipt.message_id, flag.code
        event(
            _LOG,
            "message_flagged",
            level=logging.WARNING,
            message_id=id_,
            channel=channel,
            reason=reason,
        )
        self._audit.record("message_flagged", message_id=id_, channel=channel, reason=reason)

    def _of(self, channel: str, outcome: str) -> _TakenMetrics:
        known = self._taken.get((channel, outcome))
        if known is None:
            known = self._taken[channel, outcome] = _TakenMetrics(
                self._metrics.messages.labels(channel, outcome, ""),
                self._metrics.acknowledgement_seconds.labels(channel),
                self._metrics.message_bytes.labels(channel),
            )
        return known

    def repeated(self, submission: Submission | ObjectSubmission, receipt: Receipt) -> None:
        """A message was taken before, and today's policy would not take it; or an object was."""
        self._metrics.messages.labels(submission.channel, "repeated", "").inc()
        self._audit.record(
            "message_repeated",
            message_id=receipt.message_id,
            channel=submission.channel,
            sender=submission.sender,
            bytes=submission.whole_bytes,
        )

    def not_taken(self, channel: str, sender: str, failure: FerryError) -> None:
        """A message was refused for good, or deferred."""
        outcome = "refused" if isinstance(failure, Refused) else "deferred"
        known = channel if channel in self._channels else UNKNOWN_CHANNEL
        self._metrics.messages.labels(known, outcome, failure.reason.code).inc()
        reason, place = failure.reason.code, failure.where
        if sender == UNIDENTIFIED and not self._may_tell_of_a_stranger():
            self._untold += 1
            return
        untold, self._untold = self._untold, 0
        event(
            _LOG,
            f"message_{outcome}",
            level=logging.WARNING,
            channel=known,
            sender=sender,
            reason=reason,
            place=place,
            untold_before=untold,
        )
        self._audit.record(
            f"message_{outcome}",
            channel=known,
            sender=sender,
            reason=reason,
            place=place,
            untold_before=untold,
        )

    def _may_tell_of_a_stranger(self) -> bool:
        """Whoever has no credentials must not be able to fill disks with records of refusals.

        What is left out is counted: in the metrics at once, and in the next record.
        """
        self._strangers, granted = admission.spend(
            self._strangers, STRANGERS_PER_S, STRANGERS_BURST, time.monotonic()
        )
        return granted
