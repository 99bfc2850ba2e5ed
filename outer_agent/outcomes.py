"""What is told of each message's outcome: counted, audited, and if it was not taken, logged.

Names of the configuration, reason codes and ids only; nothing else of a message.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from typing import Protocol

from ferry_format.reasons import FerryError, Refused
from ferry_runtime.logs import event
from outer_agent.admission import Admitted, Receipt, Submission
from outer_agent.metrics import UNKNOWN_CHANNEL, OuterMetrics
from validators.verdict import Accepted

_LOG = logging.getLogger("ferry.outer.intake")


class AuditRecord(Protocol):
    """The audit trail, as the intake sees it."""

    def record(self, event: str, /, *, durable: bool = False, **fields: object) -> None:
        """Add one record."""
        ...


class OutcomeRecord:
    """Where every outcome is told; `channels` are the channels that exist."""

    def __init__(self, metrics: OuterMetrics, audit: AuditRecord, channels: Container[str]) -> None:
        self._metrics = metrics
        self._audit = audit
        self._channels = channels

    def taken(
        self, admitted: Admitted, sender: str, verdict: Accepted, receipt: Receipt, seconds: float
    ) -> None:
        """Custody was taken of a message now, or had been of the same one before."""
        outcome = "repeated" if receipt.duplicate else "admitted"
        self._metrics.messages.labels(admitted.channel, outcome, "").inc()
        self._metrics.acknowledgement_seconds.labels(admitted.channel).observe(seconds)
        if not receipt.duplicate:
            self._metrics.message_bytes.labels(admitted.channel).inc(len(admitted.payload))
        self._audit.record(
            f"message_{outcome}",
            message_id=receipt.message_id,
            channel=admitted.channel,
            sender=sender,
            message_type=verdict.message_type,
            control_id=verdict.control_id,
            bytes=len(admitted.payload),
        )

    def repeated(self, submission: Submission, receipt: Receipt) -> None:
        """A message was taken before, and today's policy would not take it."""
        self._metrics.messages.labels(submission.channel, "repeated", "").inc()
        self._audit.record(
            "message_repeated",
            message_id=receipt.message_id,
            channel=submission.channel,
            sender=submission.sender,
            bytes=len(submission.payload),
        )

    def not_taken(self, channel: str, sender: str, failure: FerryError) -> None:
        """A message was refused for good, or deferred."""
        outcome = "refused" if isinstance(failure, Refused) else "deferred"
        known = channel if channel in self._channels else UNKNOWN_CHANNEL
        self._metrics.messages.labels(known, outcome, failure.reason.code).inc()
        reason, place = failure.reason.code, failure.where
        event(
            _LOG,
            f"message_{outcome}",
            level=logging.WARNING,
            channel=known,
            sender=sender,
            reason=reason,
            place=place,
        )
        self._audit.record(
            f"message_{outcome}", channel=known, sender=sender, reason=reason, place=place
        )
