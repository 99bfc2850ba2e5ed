"""Group commit: whatever waited while the last file was made durable goes into the next one.

The asyncio shell around `commit.Committer`. One thread commits; the event loop collects. There is
no timer on the way of a message: an idle publisher commits a single message at once, and under load
the batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from ferry_format import limits, reasons
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import FerryError, Reason, StorageFault, Unavailable
from ferry_runtime.logs import event
from ferry_runtime.retention_clock import RetentionClock
from outer_agent.admission import Admitted, Fingerprint, Receipt
from outer_agent.commit import Committer, Outcome, Reuse, Waiting
from outer_agent.commit_thread import CommitThread
from outer_agent.metrics import OuterMetrics
from outer_agent.room import Marks, Room, fits, shortage
from outer_agent.spool import Spool

_LOG = logging.getLogger("ferry.outer.publisher")
_BATCH_BYTES_MAX: Final = limits.CONTENT_BYTES_MAX - limits.MESSAGE_BYTES_MAX // 2
_ENTRY_OVERHEAD_BYTES: Final = 256
_HOUSEKEEPING_S: Final = 5.0
_MORE_HOUSEKEEPING_S: Final = 0.1
_STUCK_S: Final = 30.0
_HOUR_MS: Final = 3_600_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Retention:
    """What the outer keeps, and how much room it leaves. Hours, bytes, seconds."""

    medium_keep_hours: float
    spool_keep_hours: float
    spool_bytes_max: int
    marks: Marks
    heartbeat_s: float
    waiting_max: int


@dataclass(slots=True)
class _Queued:
    waiting: Waiting
    future: asyncio.Future[Receipt]
    queued_at_s: float


class Publisher:
    """Takes admitted messages and returns once they are durable in spool and medium."""

    def __init__(
        self,
        committer: Committer,
        spool: Spool,
        medium: MediumWriter,
        retention: Retention,
        metrics: OuterMetrics,
        *,
        spool_free_bytes: Callable[[], int],
        clock_ms: Callable[[], int],
    ) -> None:
        """`spool_free_bytes` tells the free bytes of the spool's filesystem."""
        self._committer = committer
        self._spool = spool
        self._medium = medium
        self._retention = retention
        self._metrics = metrics
        self._spool_free_bytes = spool_free_bytes
        self._clock_ms = clock_ms
        self._retention_clock = RetentionClock(
            spool.retention_at_ms(), clock_ms(), time.monotonic()
        )
        self._queue: deque[_Queued] = deque()
        self._idle: asyncio.Future[None] | None = None
        self._thread = CommitThread()
        self._task: asyncio.Task[None] | None = None
        self._closed: Reason | None = reasons.MEDIUM_UNAVAILABLE
        self._shortage: str | None = None
        self._room: Room | None = None
        self._held: Reason | None = None
        self._replaced = 0
        self._busy_since_s: float | None = None
        self._last_commit_s = 0.0
        self._fault = asyncio.Event()
        metrics.takes_messages.set_function(lambda: 0 if self.refuses_now() else 1)

    @property
    def waiting(self) -> int:
        """How many messages wait for their commit."""
        return len(self._queue)

    @property
    def is_moving(self) -> bool:
        """Whether the commit thread has not been busy with one piece of work for too long."""
        return self._busy_since_s is None or time.monotonic() - self._busy_since_s < _STUCK_S

    def hold(self, failure: Unavailable | None) -> None:
        """Take nothing more for a reason of the agent's own; None: take messages again."""
        reason = None if failure is None else failure.reason
        if failure is not None and self._held is None:
            event(
                _LOG,
                "publisher_holds",
                level=logging.ERROR,
                reason=failure.reason.code,
                where=failure.where,
                action=failure.reason.action,
            )
        elif reason is None and self._held is not None:
            event(_LOG, "publisher_goes_on", level=logging.WARNING)
        self._held = reason

    @property
    def shortage(self) -> str | None:
        """What there is too little of to take messages, in words."""
        return self._shortage

    async def start(self) -> None:
        """Publish what a crash left behind, then take messages.

        Raises Unavailable or StorageFault if that cannot be done.
        """
        count = await self._in_thread(self._committer.recover)
        event(_LOG, "publisher_started", recovered_files=count)
        await self._housekeep()
        self._closed = None
        self._task = asyncio.create_task(self._run(), name="publisher")

    async def stop(self) -> None:
        """Take no more; make what waits durable."""
        self._closed = self._closed or reasons.STOPPING
        self._wake()
        if self._task is not None:
            self._committer.stop_waiting()
            await self._task
        self._thread.close()

    async def failed(self) -> None:
        """Return when the agent must stop: a disk broke its promise, or we have a defect."""
        await self._fault.wait()

    def refuses_now(self) -> Reason | None:
        """Why a message would be turned away at this moment; None if it would be taken."""
        if self._closed is not None:
            return self._closed
        if self._shortage is not None:
            return reasons.MEDIUM_FULL
        if self._held is not None:
            return self._held
        if len(self._queue) >= self._retention.waiting_max:
            return reasons.OVERLOADED
        return None

    async def publish(self, admitted: Admitted, *, reuse: Reuse) -> Receipt:
        """Return once the message is durable; with the earlier receipt if it is a repetition.

        Messages are numbered in the order of the calls. Raises Unavailable (try again later) or
        Refused(ID_REUSED).
        """
        reason = self.refuses_now()
        if reason is not None:
            raise Unavailable(reason)
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._queue.append(_Queued(Waiting(admitted, reuse), future, time.monotonic()))
        self._wake()
        return await future

    async def find(self, fingerprint: Fingerprint) -> Receipt | None:
        """The receipt that a message with this fingerprint was given before.

        Raises Unavailable while that cannot be told.
        """
        earlier = await self._thread.run(self._committer.find, fingerprint)
        return None if earlier is None else Receipt(earlier, duplicate=True)

    async def knows_key(self, key_digest: bytes) -> bool:
        """Whether a message with this key was taken before, whatever its bytes."""
        return await self._thread.run(self._committer.knows_key, key_digest)

    async def abandon(self, message_id: bytes) -> None:
        """The rest of an object will not come: withdraw what was sent of it, with the next file.

        What cannot be done now is done at the next start.
        """
        with suppress(FerryError, RuntimeError):
            await self._thread.run(self._committer.abandon, message_id)

    def has_room_for(self, size: int) -> bool:
        """Whether an object of so many bytes fits the medium and the spool, by the last look."""
        return self._room is not None and fits(self._room, self._retention.marks, size)

    async def _run(self) -> None:
        next_housekeeping_s = time.monotonic() + _HOUSEKEEPING_S
        while self._queue or self._closed is None:
            await self._wait_for_work(next_housekeeping_s)
            try:
                if self._queue:
                    await self._commit_batch()
                elif time.monotonic() - self._last_commit_s >= self._retention.heartbeat_s:
                    await self._heartbeat()
                if time.monotonic() >= next_housekeeping_s:
                    more = await self._housekeep()
                    pause_s = _MORE_HOUSEKEEPING_S if more else _HOUSEKEEPING_S
                    next_housekeeping_s = time.monotonic() + pause_s
            except Exception as fault:  # noqa: BLE001 - whatever it is, nobody would be answered
                self._fail(fault)
                return

    async def _wait_for_work(self, housekeeping_at_s: float) -> None:
        if self._queue or self._closed is not None:
            return
        idle_until_s = min(housekeeping_at_s, self._last_commit_s + self._retention.heartbeat_s)
        loop = asyncio.get_running_loop()
        # A bare future and timer: an event under wait_for takes twice as long, for each message
        # that comes alone.
        self._idle = loop.create_future()
        timer = loop.call_later(max(0.0, idle_until_s - time.monotonic()), self._wake)
        await self._idle
        timer.cancel()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _commit_batch(self) -> None:
        batch = self._take()
        started_s = time.monotonic()
        try:
            outcomes = await self._in_thread(
                self._committer.commit, [queued.waiting for queued in batch]
            )
        except BaseException:
            for queued in batch:
                _settle(queued.future, Unavailable(reasons.MEDIUM_UNAVAILABLE))
            raise
        self._last_commit_s = time.monotonic()
        self._metrics.commit_seconds.observe(self._last_commit_s - started_s)
        self._metrics.commit_messages.observe(len(batch))
        self._metrics.last_sequence.set(self._committer.last_sequence)
        for queued, outcome in zip(batch, outcomes, strict=True):
            _settle(queued.future, outcome)

    def _take(self) -> list[_Queued]:
        """The longest run of waiting messages that fits one file; one at least."""
        batch: list[_Queued] = []
        size = 0
        while self._queue and len(batch) < limits.ENTRIES_PER_FILE_MAX:
            size += len(self._queue[0].waiting.admitted.payload) + _ENTRY_OVERHEAD_BYTES
            if batch and size > _BATCH_BYTES_MAX:
                break
            batch.append(self._queue.popleft())
        self._metrics.queue_messages.set(len(self._queue))
        return batch

    async def _heartbeat(self) -> None:
        self._last_commit_s = time.monotonic()
        try:
            await self._in_thread(self._committer.heartbeat)
        except Unavailable as failure:
            event(
                _LOG,
                "heartbeat_not_published",
                level=logging.WARNING,
                reason=failure.reason.code,
                where=failure.where,
                action=failure.reason.action,
            )
        self._metrics.last_sequence.set(self._committer.last_sequence)

    async def _housekeep(self) -> bool:
        """Tidy up and see whether there is room; whether there is more to tidy up at once."""
        try:
            short, more = await self._in_thread(self._clean_and_measure)
        except Unavailable as failure:
            event(
                _LOG,
                "housekeeping_failed",
                level=logging.WARNING,
                reason=failure.reason.code,
                where=failure.where,
            )
            return False
        if short is not None and self._shortage is None:
            action = reasons.MEDIUM_FULL.action
            event(_LOG, "medium_full", level=logging.ERROR, where=short, action=action)
        elif short is None and self._shortage is not None:
            event(_LOG, "medium_has_room_again", level=logging.WARNING)
        self._shortage = short
        return more

    def _clean_and_measure(self) -> tuple[str | None, bool]:
        """Delete what has had its time; what there is too little of, and whether more is due."""
        keep = self._retention
        now_ms = self._retention_clock.now_ms(self._clock_ms(), time.monotonic())
        self._spool.mark_published(self._committer.published_up_to)
        pruned = self._spool.prune(
            now_ms, int(keep.spool_keep_hours * _HOUR_MS), keep.spool_bytes_max
        )
        self._medium.clean(
            self._committer.stream_id,
            now_ms - int(keep.medium_keep_hours * _HOUR_MS),
            never_from_sequence=self._committer.last_sequence,
        )
        self._tell_replaced()
        usage = self._medium.usage()
        self._metrics.medium_bytes.set(usage.bytes)
        self._metrics.medium_free_bytes.set(usage.free_bytes)
        self._metrics.spool_bytes.set(self._spool.bytes_kept)
        self._room = room = Room(usage.bytes, usage.free_bytes, self._spool_free_bytes())
        return shortage(room, keep.marks, was_short=self._shortage is not None), pruned.more

    def _tell_replaced(self) -> None:
        number = self._medium.replaced - self._replaced
        if not number:
            return
        self._replaced += number
        self._metrics.names_replaced.inc(number)
        event(
            _LOG,
            "foreign_file_replaced",
            level=logging.ERROR,
            files=number,
            action="A file that this outer never sealed stood under the next one's name: find out "
            "who writes to the medium, or whether its disk fails",
        )

    def _fail(self, fault: Exception) -> None:
        """Stop for good: after a broken promise of the disk, or a defect, nothing is certain."""
        self._closed = reasons.MEDIUM_UNAVAILABLE
        reason = fault.reason if isinstance(fault, FerryError) else reasons.STORAGE_FAILED
        name = "storage_failed" if isinstance(fault, StorageFault) else "publisher_fault"
        event(
            _LOG,
            name,
            level=logging.CRITICAL,
            error=fault,
            action=reason.action,
        )
        while self._queue:
            _settle(self._queue.popleft().future, Unavailable(reasons.MEDIUM_UNAVAILABLE))
        self._fault.set()

    async def _in_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        self._busy_since_s = time.monotonic()
        try:
            return await self._thread.run(work, *arguments)
        finally:
            self._busy_since_s = None


def _settle(future: asyncio.Future[Receipt], outcome: Outcome) -> None:
    if future.done():  # its sender went away
        return
    if isinstance(outcome, FerryError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
