"""The replayer's shell: pipelines, sinks, operators' orders and the hint, on one event loop.

    hint FIFO ─┐                 ┌► pipeline adt ──► sink his-adt ─┐
               ├► wake all ──────┤                                 ├► outcome writer ► delivery.db
    1 s look ──┘  (+ orders)     └► pipeline lab ──► sink lis ─────┘

The hint only speeds things up; the look each second finds everything without it. A channel whose
sink is down waits in its own pipeline. Whatever fails in here is either retried in place (journal
busy, disk full, sink down) or ends `wait`, so that the service stops and is started again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ferry_format import reasons
from ferry_format.reasons import StorageFault, Unavailable
from ferry_runtime import logs
from inner_agent.channel_pipeline import ChannelPipeline
from inner_agent.outcome_writer import OutcomeWriter
from inner_agent.sink_reach import SinkReach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from inner_agent.channel_pipeline import Journal, Route
    from inner_agent.delivery_store import DeliveryStore, Orders, Outcome
    from inner_agent.replayer_metrics import ReplayerMetrics
    from inner_agent.sinks.base import Sink

LOOK_S: Final = 1.0
PROBE_S: Final = 15.0
STOP_S: Final = 10.0
COUNT_PAUSE_TIMES: Final = 100
FORGET_EVERY_S: Final = 60.0
FORGET_ROWS_MAX: Final = 2_000
"""Rows deleted in one transaction: some milliseconds, so that outcomes do not wait behind it."""

_log = logging.getLogger("ferry.inner.replayer")


class Hint(Protocol):
    """What the replayer needs of inner_agent.hint.HintReader."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there may be something new."""

    def drain(self) -> None:
        """Read the hints away."""


@dataclass(frozen=True, slots=True)
class ReplayerTimes:
    """How often the replayer looks, probes idle sinks, and how long it remembers. Seconds.

    `keep_delivered_s` must be at least the journal's retention; None keeps every row.
    """

    look_s: float = LOOK_S
    probe_s: float = PROBE_S
    keep_delivered_s: float | None = None


class Replayer:
    """Delivers journaled messages to their sinks. Not to be started twice."""

    def __init__(
        self,
        routes: Sequence[Route],
        sinks: Mapping[str, Sink],
        *,
        journal: Journal,
        store: DeliveryStore,
        metrics: ReplayerMetrics,
        hint: Hint | None = None,
        times: ReplayerTimes | None = None,
        on_durable: Callable[[Outcome], None] = lambda _: None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._sinks = sinks
        self._journal = journal
        self._store = store
        self._metrics = metrics
        self._hint = hint
        self._times = times or ReplayerTimes()
        self._clock_ms = clock_ms
        self._writer = OutcomeWriter(store, on_durable=on_durable)
        self._reach = {name: SinkReach(sink.name, metrics) for name, sink in sinks.items()}
        self._pipelines = {
            route.channel: ChannelPipeline(
                route,
                sink=sinks[route.sink],
                reach=self._reach[route.sink],
                journal=journal,
                queue=store.load(route.channel),
                writer=self._writer,
                metrics=metrics,
                clock_ms=clock_ms,
                chance=chance,
            )
            for route in routes
        }
        for channel, pipeline in self._pipelines.items():
            pipeline.order(store.requeued(channel, pipeline.cursor), frozenset())
        self._tasks: list[asyncio.Task[None]] = []
        self._pipeline_tasks: list[asyncio.Task[None]] = []
        self._forgot_at_s = float("-inf")
        self._count_again_at_s = float("-inf")

    async def start(self) -> None:
        """Begin delivering. Raises StorageFault if journal.db is not the one delivery.db knows."""
        self._check_same_journal()
        self._take_orders(await self._writer.on_store(lambda: self._store.orders(())))
        if self._hint is not None:
            asyncio.get_running_loop().add_reader(self._hint.fileno(), self._hinted)
        self._tasks = [
            asyncio.create_task(self._writer.run(), name="outcomes"),
            asyncio.create_task(self._look(), name="look"),
            *(
                asyncio.create_task(self._watch(sink, self._reach[name]), name=f"probe {name}")
                for name, sink in self._sinks.items()
            ),
        ]
        self._pipeline_tasks = [
            asyncio.create_task(pipeline.run(), name=f"channel {channel}")
            for channel, pipeline in self._pipelines.items()
        ]

    async def wait(self) -> None:
        """Return once stopped; raise what ended one of the tasks early."""
        tasks = [*self._pipeline_tasks, *self._tasks]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled():
                task.result()

    def hold(self, failure: Unavailable | None) -> None:
        """Deliver nothing more for now; None: go on."""
        if failure is not None and not self._writer.held:
            logs.event(
                _log,
                "replayer_holds",
                level=logging.ERROR,
                reason=failure.reason.code,
                where=failure.where,
                action=failure.reason.action,
            )
        elif failure is None and self._writer.held:
            logs.event(_log, "replayer_goes_on", level=logging.WARNING)
        self._writer.hold(held=failure is not None)

    @property
    def is_moving(self) -> bool:
        """Whether outcomes still become durable, or fail; False if their thread is stuck."""
        return self._writer.is_moving

    def ready(self) -> tuple[bool, str]:
        """Tell readiness: running, and outcomes become durable."""
        if not self._tasks or any(task.done() for task in (*self._tasks, *self._pipeline_tasks)):
            return False, "the replayer is not running"
        if self._writer.failing:
            return False, "delivery.db cannot be written"
        if self._writer.held:
            return False, "the audit trail has no room"
        for channel, pipeline in self._pipelines.items():
            if pipeline.journal_failing:
                return False, f"the journal cannot be read (channel {channel})"
        return True, "delivering"

    async def stop(self, deadline_s: float = STOP_S) -> None:
        """Let attempts under way end within `deadline_s`, write their outcomes, close the sinks.

        An attempt that has no outcome by then is broken off; the next run repeats it.
        """
        if self._hint is not None:
            asyncio.get_running_loop().remove_reader(self._hint.fileno())
        for pipeline in self._pipelines.values():
            pipeline.stop()
        if self._pipeline_tasks:
            _, late = await asyncio.wait(self._pipeline_tasks, timeout=deadline_s)
            await _cancel(late)
        durable = await self._writer.close(deadline_s)
        if not durable:
            logs.event(
                _log, "outcomes_not_durable", level=logging.ERROR, number=self._writer.undurable
            )
        await _cancel(self._tasks)
        for sink in self._sinks.values():
            await sink.close()

    def _hinted(self) -> None:
        if self._hint is not None:
            self._hint.drain()
        for pipeline in self._pipelines.values():
            pipeline.wake()

    def _check_same_journal(self) -> None:
        """Refuse a journal that is behind: its new messages would pass for settled ones."""
        highest = self._journal.highest_position()
        for channel, pipeline in self._pipelines.items():
            if pipeline.cursor > highest:
                raise StorageFault(
                    reasons.STORAGE_FAILED,
                    f"journal.db ends at position {highest}, but channel {channel} was delivered "
                    f"up to {pipeline.cursor}: restore both databases from the same backup",
                )

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._times.look_s)
            for pipeline in self._pipelines.values():
                pipeline.wake()
            try:
                await self._look_at_store()
                self._count_waiting()
            except (sqlite3.Error, StorageFault) as error:
                logs.event(_log, "look_failed", level=logging.WARNING, error=error)

    async def _look_at_store(self) -> None:
        asked = [
            position
            for pipeline in self._pipelines.values()
            for position in pipeline.open_positions()
        ]
        self._take_orders(await self._writer.on_store(lambda: self._store.orders(asked)))
        dead = await self._writer.on_store(self._store.dead_letters)
        for channel in self._pipelines:
            self._metrics.dead_letters.labels(channel).set(dead.get(channel, 0))
        self._metrics.undurable.set(self._writer.undurable)
        await self._forget()

    async def _forget(self) -> None:
        """Forget what was settled long ago, by the journal's clock of deletion."""
        keep_s = self._times.keep_delivered_s
        now_s = time.monotonic()
        if keep_s is None or now_s - self._forgot_at_s < FORGET_EVERY_S:
            return
        clock_ms = self._journal.retention_at_ms()
        if clock_ms is None:
            return
        before_ms = clock_ms - int(keep_s * 1000)
        forgotten = await self._writer.on_store(
            lambda: self._store.forget_delivered(before_ms, FORGET_ROWS_MAX)
        )
        if not forgotten:
            self._forgot_at_s = now_s

    def _take_orders(self, orders: Orders | None) -> None:
        if orders is None:
            return
        for channel, pipeline in self._pipelines.items():
            pipeline.order(orders.requeued.get(channel, []), orders.discarded)

    def _count_waiting(self) -> None:
        """Count what waits, in at most about a hundredth of the time: a long queue takes long."""
        began_s = time.monotonic()
        if began_s < self._count_again_at_s:
            return
        for channel, pipeline in self._pipelines.items():
            waiting = self._journal.waiting_count(channel, pipeline.cursor)
            self._metrics.waiting.labels(channel).set(waiting + pipeline.waiting_beside_cursor)
        took_s = time.monotonic() - began_s
        self._count_again_at_s = began_s + COUNT_PAUSE_TIMES * took_s

    async def _watch(self, sink: Sink, reach: SinkReach) -> None:
        """Probe the sink now and then, so that an idle channel's dead sink is known in time.

        While a message is being retried, its attempts tell more: a sink may let us connect and yet
        take nothing.
        """
        pipelines = [each for each in self._pipelines.values() if each.sink is sink]
        while True:
            if not any(pipeline.open_positions() for pipeline in pipelines):
                reason = await sink.probe()
                if reason is None:
                    reach.up()
                else:
                    reach.down(reason)
            await asyncio.sleep(self._times.probe_s)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
