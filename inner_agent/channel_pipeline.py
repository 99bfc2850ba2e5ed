"""One channel's pipeline: its messages one at a time, each until it is settled.

A thin shell: delivery.py decides, the journal and the sink are passed in. Each channel has a
pipeline and a task of its own, so a sink that is down holds its own channels and no other.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ferry_format import reasons
from ferry_format.reasons import StorageFault
from ferry_runtime import logs
from inner_agent.delivery import (
    SINK_TAKES_NOTHING,
    Dead,
    DeliveryPolicy,
    RetryAfter,
    State,
    decide,
)
from inner_agent.delivery_store import Outcome
from inner_agent.sinks.base import Delivered, Failed, SinkResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ferry_format.reasons import Reason
    from inner_agent.delivery import ChannelQueue, Decision, Progress, Requeued
    from inner_agent.journal import JournaledMessage
    from inner_agent.outcome_writer import OutcomeWriter
    from inner_agent.replayer_metrics import ReplayerMetrics
    from inner_agent.sink_reach import SinkReach
    from inner_agent.sinks.base import Sink

BATCH_MESSAGES_MAX: Final = 16
"""Read from the journal at once; 16 of the largest messages are what a channel may hold."""

IN_HAND_MAX: Final = 1_000
"""Messages that a channel ordered by key looks ahead, past those that wait for a retry."""

JOURNAL_RETRY_S: Final = 1.0

_UP: Final = frozenset({reasons.SINK_REFUSED, reasons.SINK_FAILED, reasons.SINK_BUSY})
_DOWN: Final = frozenset(
    {reasons.SINK_UNREACHABLE, reasons.SINK_NO_ANSWER, reasons.SINK_BAD_ANSWER}
)

_log = logging.getLogger("ferry.inner.replayer")


@dataclass(frozen=True, slots=True)
class UnreadableMessage:
    """A journaled message whose payload does not open: another key, or damaged."""

    position: int
    message_id: bytes


class Journal(Protocol):
    """What the replayer reads. Raises sqlite3.Error or StorageFault if it cannot be read now."""

    def waiting(
        self, channel: str, after_position: int, limit: int
    ) -> Sequence[JournaledMessage | UnreadableMessage]:
        """Return the channel's next messages in order of position."""

    def get(self, position: int) -> JournaledMessage | UnreadableMessage | None:
        """Return one message, None if it or its payload is no longer kept."""

    def order_key(self, position: int) -> bytes | None:
        """Return the order key of one message, if it has one."""

    def highest_position(self) -> int:
        """Return the highest position ever given out, 0 if none."""

    def retention_at_ms(self) -> int | None:
        """Return how far the clock of deletion has come; None before the first deletion."""

    def waiting_count(self, channel: str, after_position: int) -> int:
        """Return how many of the channel's messages lie above `after_position`."""


@dataclass(frozen=True, slots=True)
class Route:
    """A channel, the name of its sink, how it retries, and whether it is ordered by key."""

    channel: str
    sink: str
    policy: DeliveryPolicy
    by_key: bool = False


class ChannelPipeline:
    """Runs one channel. `clock_ms` is the wall clock, `chance` draws from [0, 1)."""

    def __init__(
        self,
        route: Route,
        *,
        sink: Sink,
        reach: SinkReach,
        journal: Journal,
        queue: ChannelQueue,
        writer: OutcomeWriter,
        metrics: ReplayerMetrics,
        clock_ms: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        self._route = route
        self._sink = sink
        self._reach = reach
        self._journal = journal
        self._queue = queue
        self._writer = writer
        self._metrics = metrics
        self._clock_ms = clock_ms
        self._chance = chance
        self._woken = asyncio.Event()
        self._stopping = False
        self.journal_failing = False
        self._discarded: set[int] = set()
        self._loaded: dict[int, JournaledMessage | UnreadableMessage] = {}
        self._in_hand_max = IN_HAND_MAX if route.by_key else BATCH_MESSAGES_MAX
        # To look a metric up by its labels costs 3 µs; each message asks for these.
        self._sink_seconds = metrics.sink_seconds.labels(sink.name)
        self._held_up = metrics.keys_held_up.labels(route.channel)
        self._seconds = metrics.delivery_seconds.labels(route.channel)
        self._delivered = metrics.deliveries.labels(route.channel, "delivered", "")

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._route.channel

    @property
    def sink(self) -> Sink:
        """Where this channel's messages go."""
        return self._sink

    @property
    def cursor(self) -> int:
        """The position up to which this channel is settled."""
        return self._queue.cursor

    @property
    def waiting_beside_cursor(self) -> int:
        """What to add to the messages above the cursor to know how many wait."""
        return self._queue.requeued - self._queue.settled_above_cursor

    def wake(self) -> None:
        """Look into the journal again: it may have more."""
        self._woken.set()

    def open_positions(self) -> tuple[int, ...]:
        """Return the positions that an operator may discard while this process runs."""
        return tuple(self._queue.unfinished)

    def order(self, requeued: Iterable[Requeued], discarded: frozenset[int]) -> None:
        """Take operators' orders for this channel."""
        self._queue.requeue((each, self._key(each[0])) for each in requeued)
        self._discarded |= discarded.intersection(self._queue.unfinished)
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing more; `run` returns once the attempt under way has its outcome."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Deliver until stopped."""
        while not self._stopping:
            self._woken.clear()
            for position in tuple(self._discarded):
                self._give_up(position)
            try:
                message = self._next()
            except (sqlite3.Error, StorageFault) as error:
                # Busy, failing, or another journal key: the journal stays where it is, so do we.
                self._tell_unreadable(error)
                await asyncio.sleep(JOURNAL_RETRY_S)
                continue
            self._tell_unreadable(None)
            self._held_up.set(self._queue.lines_held_up)
            if message is None:
                await self._wait()
            elif isinstance(message, UnreadableMessage):
                await self._writer.room()
                self._die(message, self._queue.progress(message.position), reasons.NOT_DELIVERABLE)
            else:
                await self._try(message)

    async def _wait(self) -> None:
        """Wait for more, for an order, or for the next retry."""
        at_s = self._queue.wakes_at_s()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if at_s is None else max(0.0, at_s - self._now_s())):
                await self._woken.wait()

    def _next(self) -> JournaledMessage | UnreadableMessage | None:
        """The message to try now; reads on in the journal where none in hand can be tried."""
        now_s = self._now_s()
        position = self._queue.next(now_s)
        while position is None and not self._queue.is_held(now_s) and self._read():
            position = self._queue.next(now_s)
        if position is None:
            return None
        message = self._loaded.pop(position, None) or self._journal.get(position)
        # None: the journal's retention passed while the dead letter lay there; its row has the id.
        return message or UnreadableMessage(position, b"")

    def _read(self) -> bool:
        """Take more from the journal, as far as there is room for it; whether there was any."""
        room = min(BATCH_MESSAGES_MAX, self._in_hand_max - self._queue.taken)
        if room <= 0:
            return False
        batch = self._journal.waiting(self.channel, self._queue.taken_up_to, room)
        self._loaded = {message.position: message for message in batch}
        for message in batch:
            key = None if isinstance(message, UnreadableMessage) else message.order_key
            self._queue.take(message.position, key if self._route.by_key else None)
        return bool(batch)

    def _key(self, position: int) -> bytes | None:
        if not self._route.by_key:
            return None
        try:
            return self._journal.order_key(position)
        except (sqlite3.Error, StorageFault):
            return None  # a line of its own: it lost its place when it died

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _tell_unreadable(self, error: Exception | None) -> None:
        """Log the change, not each second of it."""
        if error is not None and not self.journal_failing:
            logs.event(
                _log,
                "journal_unreadable",
                level=logging.ERROR,
                channel=self.channel,
                error=error,
            )
        elif error is None and self.journal_failing:
            logs.event(_log, "journal_readable_again", level=logging.WARNING, channel=self.channel)
        self.journal_failing = error is not None

    async def _try(self, message: JournaledMessage) -> None:
        """One attempt, and what follows from it."""
        await self._writer.room()
        if message.position in self._discarded:
            return
        began_at_ms = self._clock_ms()
        result = await self._attempt(message)
        progress = self._queue.progress(message.position).after(result, began_at_ms)
        decision = decide(result, progress, self._route.policy, self._chance())
        if message.position in self._discarded and not isinstance(decision, Delivered):
            return
        self._discarded.discard(message.position)
        self._record(message, progress, decision)

    async def _attempt(self, message: JournaledMessage) -> SinkResult:
        began = time.perf_counter()
        try:
            result = await self._sink.deliver(message)
        except Exception as error:  # noqa: BLE001  (a defect in one adapter must not end the channel)
            # The class only: an exception's text may quote the message.
            logs.event(
                _log,
                "sink_adapter_failed",
                level=logging.ERROR,
                channel=self.channel,
                sink=self._sink.name,
                message_id=message.message_id,
                error=error,
            )
            return Failed(reasons.DELIVERY_FAULT, detail=type(error).__name__)
        self._sink_seconds.observe(time.perf_counter() - began)
        if isinstance(result, Delivered) or result.reason in _UP:
            self._reach.up()
        elif result.reason in _DOWN:
            self._reach.down(result.reason, result.detail)
        return result

    def _record(self, message: JournaledMessage, progress: Progress, decision: Decision) -> None:
        now_ms = self._clock_ms()
        if isinstance(decision, RetryAfter):
            self._queue.retry(
                message.position,
                progress,
                self._now_s() + decision.seconds,
                holds_channel=decision.reason in SINK_TAKES_NOTHING,
            )
            self._note(message, progress, State.DELIVERING, decision.reason.code, None)
            self._metrics.deliveries.labels(self.channel, "retry", decision.reason.code).inc()
            return
        if isinstance(decision, Dead):
            self._die(message, progress, decision.reason)
            return
        self._queue.settle(message.position, progress)
        self._note(message, progress, State.DELIVERED, None, now_ms)
        self._delivered.inc()
        self._seconds.observe(max(0, now_ms - message.accepted_at_ms) / 1000)

    def _die(
        self, message: JournaledMessage | UnreadableMessage, progress: Progress, reason: Reason
    ) -> None:
        self._queue.settle(message.position, progress)
        self._note(message, progress, State.DEAD, reason.code, self._clock_ms())
        self._metrics.deliveries.labels(self.channel, "dead", reason.code).inc()
        self._metrics.dead_letters.labels(self.channel).inc()
        logs.event(
            _log,
            "dead_letter",
            level=logging.ERROR,
            channel=self.channel,
            position=message.position,
            message_id=message.message_id,
            attempts=progress.attempts,
            reason=reason.code,
        )

    def _note(
        self,
        message: JournaledMessage | UnreadableMessage,
        progress: Progress,
        state: State,
        reason: str | None,
        settled_at_ms: int | None,
    ) -> None:
        self._writer.add(
            Outcome(
                position=message.position,
                message_id=message.message_id,
                channel=self.channel,
                state=state,
                progress=progress,
                reason=reason,
                settled_at_ms=settled_at_ms,
                cursor=self._queue.cursor,
            )
        )

    def _give_up(self, position: int) -> None:
        """Move past a message that an operator discarded; its row says so already."""
        self._discarded.discard(position)
        self._queue.settle(position, self._queue.progress(position))
        logs.event(_log, "discarded_by_order", channel=self.channel, position=position)
