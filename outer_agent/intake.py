"""From a source's submission to its receipt: admission, validation, publication.

The one way in; every source goes through it, and each outcome is told of here, so that a source can
forget none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ferry_format import reasons
from ferry_format.identifiers import new_message_id
from ferry_format.reasons import FerryError, Reason, Refused, Unavailable
from ferry_runtime.logs import event
from outer_agent import admission, batches, object_crossing
from outer_agent.admission import (
    Admitted,
    Fingerprint,
    ObjectSubmission,
    RateState,
    Receipt,
    Submission,
)
from outer_agent.batches import BatchOutcome
from outer_agent.commit import Outcome, Reuse
from outer_agent.metrics import OuterMetrics
from outer_agent.object_crossing import Crossing, ObjectCrossing, ReadExactly, Scan, Validation
from outer_agent.outcomes import AuditRecord, OutcomeRecord
from outer_agent.policy import OuterChannel, SoapReplySection
from outer_agent.rebuilding import Rebuilding
from outer_agent.virus_scan import VirusScan
from validators.hl7v2.header import read_header
from validators.policy import ContentPolicy
from validators.verdict import Accepted

_LOG = logging.getLogger("ferry.outer.intake")
_OBJECTS_MAX: Final = 8
"""Objects on their way at a time, each with two parts in memory; more are refused for now."""
_OBJECTS_OF_A_SENDER_MAX: Final = _OBJECTS_MAX // 2
"""A slow sender must leave room for the others."""


class Publication(object_crossing.Publication, Protocol):
    """The publisher, as the intake sees it."""

    def refuses_now(self) -> Reason | None:
        """Why a message would be turned away at this moment."""
        ...

    def has_room_for(self, size: int) -> bool:
        """Whether an object of so many bytes can be published."""
        ...


@dataclass(frozen=True, slots=True)
class _Draft:
    """A message that may be published."""

    sender: str
    admitted: Admitted
    verdict: Accepted
    reuse: Reuse


@dataclass(frozen=True, slots=True)
class _Repetition:
    """A message that was taken before, and that today's policy would not take."""

    submission: Submission
    receipt: Receipt


class Intake:
    """Takes submissions of every source."""

    def __init__(
        self,
        channels: Mapping[str, OuterChannel],
        content_types: Mapping[str, str],
        validation: Validation,
        publication: Publication,
        metrics: OuterMetrics,
        audit: AuditRecord,
        fingerprint_key: bytes,
        clock_ms: Callable[[], int],
        object_scan: VirusScan | None = None,
        rebuilding: Rebuilding | None = None,
    ) -> None:
        """`content_types` is each channel's media type; `fingerprint_key` a 32-byte secret.

        `object_scan` is there if a channel scans its objects; `validation` scans messages itself.
        `rebuilding` is there if a channel's objects are judged to their end.
        """
        self._channels = channels
        self._content_types = content_types
        self._validation = validation
        self._publication = publication
        self._outcomes = OutcomeRecord(metrics, audit, channels)
        self._fingerprint_key = fingerprint_key
        self._clock_ms = clock_ms
        self._object_scan = object_scan
        self._rebuilding = rebuilding
        self._rates: dict[tuple[str, str], RateState] = {}
        self._objects: Counter[str] = Counter()

    def message_bytes_max(self, channel: str) -> int:
        """How many bytes a source needs to read of one message before it may stop."""
        known = self._channels.get(channel)
        return 0 if known is None else known.read_bytes_max

    def is_batch(self, channel: str, payload: bytes) -> bool:
        """Whether a payload is an HL7 v2 batch, to be handed over by `submit_batch`."""
        known = self._channels.get(channel)
        return known is not None and batches.is_batch(known, payload)

    def soap_reply(self, channel: str) -> SoapReplySection | None:
        """How a channel's callers are answered in SOAP; None if they are not."""
        known = self._channels.get(channel)
        return None if known is None else known.soap_reply

    def takes_objects(self, channel: str) -> bool:
        """Whether the channel's messages are objects: to be read part by part."""
        known = self._channels.get(channel)
        return known is not None and known.takes_objects

    def content_of(self, channel: str) -> ContentPolicy | None:
        """What a channel may carry; None if there is no such channel."""
        known = self._channels.get(channel)
        return None if known is None else known.content

    async def submit(self, submission: Submission) -> Receipt:
        """The receipt of a message that is durable now.

        Raises Refused (the sender must change something) or Unavailable (send it again later).
        """
        started_s = time.monotonic()
        try:
            return await self._publish(await self._admit(submission), started_s)
        except FerryError as failure:
            self.note_failure(submission.channel, submission.sender, failure)
            raise

    async def submit_object(self, submission: ObjectSubmission, read: ReadExactly) -> Receipt:
        """The receipt of an object that is durable to its last byte.

        `read` gives the next bytes, as many as it is asked for. Raises as `submit`, and what `read`
        raises; what was published of the object before is then withdrawn.
        """
        started_s = time.monotonic()
        try:
            channel = self._admit_object(submission)
            self._objects[submission.sender] += 1
            try:
                with _faults_told():
                    crossing = await self._carry(submission, channel, read)
            finally:
                self._objects[submission.sender] -= 1
        except FerryError as failure:
            self.note_failure(submission.channel, submission.sender, failure)
            raise
        self._tell_object(submission, crossing, time.monotonic() - started_s)
        verdict = crossing.verdict
        if verdict is None:
            return crossing.receipt
        return replace(
            crossing.receipt, message_type=verdict.message_type, control_id=verdict.control_id
        )

    def _channel_of(
        self, submission: Submission | ObjectSubmission, *, is_batch: bool = False
    ) -> OuterChannel:
        turned_away = self._publication.refuses_now()
        if turned_away is not None:
            raise Unavailable(turned_away)
        return admission.check(
            submission,
            self._channels.get(submission.channel),
            self._content_types.get(submission.channel, ""),
            is_batch=is_batch,
        )

    def _admit_object(self, submission: ObjectSubmission) -> OuterChannel:
        channel = self._channel_of(submission)
        if self._objects[submission.sender] >= _OBJECTS_OF_A_SENDER_MAX:
            where = f"{_OBJECTS_OF_A_SENDER_MAX} objects of this sender are on their way"
            raise Unavailable(reasons.OVERLOADED, where)
        if self._objects.total() >= _OBJECTS_MAX:
            raise Unavailable(reasons.OVERLOADED, f"{_OBJECTS_MAX} objects are on their way")
        if not self._publication.has_room_for(submission.whole_bytes):
            raise Unavailable(reasons.MEDIUM_FULL, f"object of {submission.whole_bytes} bytes")
        self._spend(submission, channel)
        return channel

    async def _carry(
        self, submission: ObjectSubmission, channel: OuterChannel, read: ReadExactly
    ) -> Crossing:
        if channel.content.dicom is None:
            return await self._cross(submission, channel, read, None)
        assert self._rebuilding is not None
        async with self._rebuilding.rebuilt(submission, read) as rebuilt:
            return await self._cross(rebuilt.submission, channel, rebuilt.read, rebuilt.verdict)

    async def _cross(
        self,
        submission: ObjectSubmission,
        channel: OuterChannel,
        read: ReadExactly,
        verdict: Accepted | None,
    ) -> Crossing:
        if not channel.virus_scan:
            return await self._object_crossing(submission, channel, None, verdict).carry(read)
        assert self._object_scan is not None
        async with self._object_scan.stream() as scan:
            return await self._object_crossing(submission, channel, scan, verdict).carry(read)

    def _object_crossing(
        self,
        submission: ObjectSubmission,
        channel: OuterChannel,
        scan: Scan | None,
        verdict: Accepted | None,
    ) -> ObjectCrossing:
        return ObjectCrossing(
            submission,
            new_message_id(submission.received_at_ms),
            self._content_types[channel.name],
            self._validation,
            self._publication,
            self._fingerprint_key,
            scan,
            verdict,
        )

    def _tell_object(
        self, submission: ObjectSubmission, crossing: Crossing, seconds: float
    ) -> None:
        if crossing.admitted is None or crossing.verdict is None:
            self._outcomes.repeated(submission, crossing.receipt)
            return
        self._outcomes.taken(
            crossing.admitted, submission.sender, crossing.verdict, crossing.receipt, seconds
        )

    async def submit_batch(self, submission: Submission) -> BatchOutcome:
        """Take the messages of an HL7 v2 batch, each by itself, in their order.

        Those that were taken stay taken, whatever becomes of the others: a batch that is sent again
        finds them known. Raises Refused or Unavailable where none of them was even looked at.
        """
        try:
            channel = self._channel_of(submission, is_batch=True)
            file = batches.read(submission, channel)
            messages = batches.submissions(submission, file)
            # All or none: what is sent again after a while must not spend itself on repetitions.
            self._spend(submission, channel, len(messages))
        except FerryError as failure:
            self.note_failure(submission.channel, submission.sender, failure)
            raise
        return BatchOutcome(file, tuple(await self._submit_all(messages, is_paid=True)))

    async def submit_in_order(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Many messages at once, numbered in their order however their validations end.

        From the first that can't be taken now, all later ones are deferred with it, so that a
        retry keeps the order too; only that first one is counted, the others merely wait.
        """
        return await self._submit_all(submissions)

    async def _submit_all(
        self, submissions: Sequence[Submission], *, is_paid: bool = False
    ) -> list[Outcome]:
        started_s = time.monotonic()
        drafts = await asyncio.gather(
            *(self._admit(submission, is_paid=is_paid) for submission in submissions),
            return_exceptions=True,
        )
        # A publication is queued in its task's first step, and tasks take that step in the order
        # in which they are made.
        tasks: list[asyncio.Future[Receipt]] = []
        deferred: Unavailable | None = None
        held_back: set[int] = set()
        for index, draft in enumerate(drafts):
            if isinstance(draft, _Draft | _Repetition) and deferred is None:
                tasks.append(asyncio.ensure_future(self._publish(draft, started_s)))
                continue
            if isinstance(draft, Unavailable) and deferred is None:
                deferred = draft
            elif not isinstance(draft, Refused):
                held_back.add(index)
            settled: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
            settled.set_exception(_failure(draft, deferred))
            tasks.append(settled)
        return [
            self._noted(submission, outcome, silent=index in held_back)
            for index, (submission, outcome) in enumerate(
                zip(submissions, await asyncio.gather(*tasks, return_exceptions=True), strict=True)
            )
        ]

    def _noted(
        self, submission: Submission, outcome: Receipt | BaseException, *, silent: bool
    ) -> Outcome:
        if isinstance(outcome, Receipt):
            return outcome
        if not isinstance(outcome, FerryError):
            raise outcome
        if not silent:
            self.note_failure(submission.channel, submission.sender, outcome)
        return outcome

    async def _publish(self, draft: _Draft | _Repetition, started_s: float) -> Receipt:
        if isinstance(draft, _Repetition):
            self._outcomes.repeated(draft.submission, draft.receipt)
            return draft.receipt
        with _faults_told():
            receipt = await self._publication.publish(draft.admitted, reuse=draft.reuse)
        seconds = time.monotonic() - started_s
        self._outcomes.taken(draft.admitted, draft.sender, draft.verdict, receipt, seconds)
        return receipt

    async def _admit(
        self, submission: Submission, *, is_paid: bool = False
    ) -> _Draft | _Repetition:
        channel = self._channel_of(submission)
        if not is_paid:
            self._spend(submission, channel)
        with _faults_told():
            coming = self._validation.validate(channel.name, submission.payload)
            # The worker is at it meanwhile.
            fingerprint = self._fingerprint(submission, channel)
            verdict = admission.within_limit(await coming, channel)
            if isinstance(verdict, Accepted):
                return self._draft(submission, channel, verdict, fingerprint)
            # Custody that was taken is never denied: the policy may have changed since.
            earlier = None if fingerprint is None else await self._publication.find(fingerprint)
        if earlier is None:
            raise Refused(verdict.reason, verdict.place)
        return _Repetition(submission, earlier)

    def _draft(
        self,
        submission: Submission,
        channel: OuterChannel,
        verdict: Accepted,
        fingerprint: Fingerprint | None,
    ) -> _Draft:
        admitted = Admitted(
            new_message_id(submission.received_at_ms),
            channel.name,
            submission.received_at_ms,
            self._content_types[channel.name],
            verdict.payload,
            fingerprint,
        )
        return _Draft(submission.sender, admitted, verdict, channel.same_id_other_bytes)

    def _fingerprint(self, submission: Submission, channel: OuterChannel) -> Fingerprint | None:
        duplicate_key = _duplicate_key(submission, channel)
        if duplicate_key is None:
            return None
        return admission.fingerprint(self._fingerprint_key, submission, duplicate_key)

    def _spend(
        self, submission: Submission | ObjectSubmission, channel: OuterChannel, messages: int = 1
    ) -> None:
        if channel.rate_per_s is None:
            return
        bucket = (submission.sender, channel.name)
        self._rates[bucket], granted = admission.spend(
            self._rates.get(bucket),
            channel.rate_per_s,
            channel.burst_messages,
            time.monotonic(),
            messages,
        )
        if not granted:
            raise Unavailable(reasons.RATE_LIMITED, f"channel {channel.name}")

    def note_failure(self, channel: str, sender: str, failure: FerryError) -> None:
        """Tell of a message that was not taken; sources call it for their own refusals."""
        self._outcomes.not_taken(channel, sender, failure)


def _failure(
    draft: _Draft | _Repetition | BaseException, deferred: Unavailable | None
) -> BaseException:
    if isinstance(draft, BaseException) and not isinstance(draft, Unavailable):
        return draft
    assert deferred is not None
    return Unavailable(deferred.reason, deferred.where)


@contextmanager
def _faults_told() -> Iterator[None]:
    """A defect of our own must not leave a sender without an answer: it becomes "not now"."""
    try:
        yield
    except FerryError:
        raise
    except Exception as error:
        event(_LOG, "intake_fault", level=logging.ERROR, error=error)
        raise Unavailable(reasons.INTAKE_FAULT) from error


def _duplicate_key(submission: Submission, channel: OuterChannel) -> bytes | None:
    """What the sender knows the message by: its HL7 header if it has one, else its protocol's."""
    if channel.content.hl7v2 is not None:
        header = read_header(submission.payload, channel.content.hl7v2.default_charset)
        if header is not None and header.duplicate_key is not None:
            return header.duplicate_key
    return submission.duplicate_key
