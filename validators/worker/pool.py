"""The pool: which message lies on which worker's desk, and what becomes of it when a worker ends.

Every rule is in this file; `process` moves bytes, `wire` gives them their shape.
- Whatever waits when a worker becomes free goes to it as one batch; nothing waits for a timer.
- A batch whose worker ends is tried again one message at a time. A message is condemned
  (WORKER_DIED) when a worker with nothing else on its desk passed the deadline on it, or ended on
  it twice: once can be the kernel's or an operator's doing.
- Past the deadline is who used that much processor time, or hung for ten deadlines. While nobody
  looks at the pool its clock stands still: a stall of our own is held against no message.
- A worker is replaced after `messages_per_process` messages, by one that is ready before it goes.
- When workers cannot even start, callers get Unavailable, and starting is tried again later.

One epoll object watches all pipes. It is waited on by the blocking call, or watched by an event
loop through its own descriptor: both drive the same steps. Not for several threads at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from ferry_format.reasons import (
    LIMIT_EXCEEDED,
    SANDBOX_MISSING,
    VALIDATOR_UNAVAILABLE,
    WORKER_DIED,
    Refused,
    Unavailable,
)
from validators.policy import PAYLOAD_BYTES_MAX
from validators.verdict import Rejected, Verdict
from validators.worker import wire
from validators.worker.process import WorkerEndedError, WorkerProcess
from validators.worker.sandbox import Limits, is_complete

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from validators.registry import ContentSpec

BATCH_BYTES_MAX: Final = 1024 * 1024
START_S_MAX: Final = 30.0
START_FAILURES_MAX: Final = 3
START_AGAIN_S: Final = 5.0
_LOOK_S: Final = 0.1
"""How often deadlines are looked at while something is on a desk."""
_LOOKS_APART_S_MAX: Final = 2 * _LOOK_S
"""What lies between two looks counts as no longer than this: the rest was a stall of our own."""
_HUNG_DEADLINES: Final = 10


@dataclass(slots=True, eq=False)
class _Job:
    channel: str
    payload: bytes
    settle: Callable[[Verdict | Unavailable], None]
    alone: bool = False
    ended_workers: int = 0


@dataclass(slots=True, eq=False)
class _Desk:
    process: WorkerProcess | None = None
    successor: WorkerProcess | None = None
    jobs: list[_Job] = field(default_factory=list)
    deadline: float = 0.0  # of the start, or of what is on the desk (the pool's clock)
    cpu_s_max: float = 0.0  # the process's time at which what is on the desk has had enough of it
    hung_after: float = 0.0

    @property
    def idle(self) -> bool:
        return self.process is not None and self.process.sandbox is not None and not self.jobs

    def is_late(self, now: float) -> bool:
        if self.process is None or self.idle or now <= self.deadline:
            return False
        return not self.jobs or now > self.hung_after or self.process.cpu_s > self.cpu_s_max


class WorkerPool:
    """Workers for the channels in `specs`, started and locked down when the constructor returns.

    `deadline_s` of processor time is for one message or batch up to 1 MiB, and as much more as a
    message is larger.
    `on_progress` is called when `validate_many` has some verdicts more and others still to come.
    With `sandbox_required`, a worker that could not give everything up gets no message.
    Raises Refused(SANDBOX_MISSING) if that is so for all, and
    Unavailable(VALIDATOR_UNAVAILABLE) if no worker starts; a specification that cannot be
    built shows on the worker's standard error (build it with `registry.build` first).
    """

    def __init__(
        self,
        specs: Mapping[str, ContentSpec],
        processes: int = 1,
        *,
        deadline_s: float = 2.0,
        limits: Limits | None = None,
        messages_per_process: int = 50_000,
        sandbox_required: bool = False,
        on_progress: Callable[[], object] | None = None,
    ) -> None:
        self._channels = frozenset(specs)
        self._start_frame = wire.pack_start(specs, limits or Limits())
        self._deadline_s = deadline_s
        self._messages_per_process = messages_per_process
        self._sandbox_required = sandbox_required
        self._lacking = ""
        self._on_progress = on_progress
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[_Desk, WorkerProcess]] = {}
        self._waiting: deque[_Job] = deque()
        self._clock_s = 0.0
        self._looked_at = time.monotonic()
        self._start_failures = 0
        self._start_not_before = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look: asyncio.TimerHandle | None = None
        self._sandbox = ""
        self.workers_ended = 0
        self._desks = [_Desk() for _ in range(processes)]
        while not all(desk.idle for desk in self._desks):
            self._step(_LOOK_S)
            if self._start_failures >= START_FAILURES_MAX:
                self.close()
                if self._lacking:
                    raise Refused(SANDBOX_MISSING, self._lacking)
                raise Unavailable(VALIDATOR_UNAVAILABLE, "workers do not start")

    @property
    def sandbox(self) -> str:
        """In words: what the workers gave up. To be logged by the agent."""
        return self._sandbox

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The workers' process ids now."""
        return tuple(desk.process.pid for desk in self._desks if desk.process is not None)

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pool."""
        self.close()

    def validate_many(self, items: Sequence[tuple[str, bytes]]) -> list[Verdict]:
        """Return the verdicts on (channel, payload) pairs, in their order. Blocks.

        Raises Unavailable(VALIDATOR_UNAVAILABLE): then none of the verdicts is known.
        """
        outcomes: list[Verdict | Unavailable | None] = [None] * len(items)
        open_items = len(items)

        def settling(index: int) -> Callable[[Verdict | Unavailable], None]:
            def settle(outcome: Verdict | Unavailable) -> None:
                nonlocal open_items
                open_items -= 1
                outcomes[index] = outcome

            return settle

        for index, (channel, payload) in enumerate(items):
            self._submit(channel, payload, settling(index))
        self._dispatch()
        while open_items:
            before = open_items
            self._step(_LOOK_S)
            if self._on_progress is not None and 0 < open_items < before:
                self._on_progress()
        verdicts: list[Verdict] = []
        for outcome in outcomes:
            if isinstance(outcome, Unavailable):
                raise outcome
            if outcome is not None:
                verdicts.append(outcome)
        return verdicts

    def validate(self, channel: str, payload: bytes) -> asyncio.Future[Verdict]:
        """Send one payload on its way to a worker; return its verdict to come.

        The verdict, or Unavailable(VALIDATOR_UNAVAILABLE).
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._attach(loop)
        future: asyncio.Future[Verdict] = loop.create_future()

        def settle(outcome: Verdict | Unavailable) -> None:
            if future.done():
                return
            if isinstance(outcome, Unavailable):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self._submit(channel, payload, settle)
        self._dispatch()
        self._look_later()
        return future

    def close(self) -> None:
        """End every worker; whoever still waits gets Unavailable."""
        self._detach()
        for desk in self._desks:
            for process in (desk.process, desk.successor):
                if process is not None:
                    self._end(process)
            self._waiting.extend(desk.jobs)
            desk.process, desk.successor, desk.jobs = None, None, []
        self._start_not_before = float("inf")
        self._fail_waiting("closed")
        self._epoll.close()

    # --- the event loop's side

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._detach()
        self._loop = loop
        loop.add_reader(self._epoll.fileno(), self._on_events)

    def _detach(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._epoll.fileno())
        self._loop = None

    def _on_events(self) -> None:
        self._step(0)
        self._look_later()

    def _look_later(self) -> None:
        busy = self._waiting or not all(desk.idle for desk in self._desks)
        if self._look is None and busy and self._loop is not None:
            self._look = self._loop.call_later(_LOOK_S, self._on_look)

    def _on_look(self) -> None:
        self._look = None
        self._step(0)
        self._look_later()

    # --- steps

    def _submit(
        self, channel: str, payload: bytes, settle: Callable[[Verdict | Unavailable], None]
    ) -> None:
        if channel not in self._channels:
            raise KeyError(channel)
        if len(payload) > PAYLOAD_BYTES_MAX:
            settle(Rejected(LIMIT_EXCEEDED, f"more than {PAYLOAD_BYTES_MAX} bytes"))
            return
        self._waiting.append(_Job(channel, payload, settle))

    def _step(self, wait_s: float) -> None:
        """Wait for pipes at most `wait_s`; take what came, look at deadlines, hand out."""
        for descriptor, _ in self._epoll.poll(wait_s):
            watched = self._watched.get(descriptor)
            if watched is not None:
                self._serve(*watched)
        now = time.monotonic()
        self._clock_s += min(now - self._looked_at, _LOOKS_APART_S_MAX)
        self._looked_at = now
        for desk in self._desks:
            if desk.process is not None and desk.is_late(self._clock_s):
                self._ended(desk, desk.process, late=True)
        self._dispatch()

    def _serve(self, desk: _Desk, process: WorkerProcess) -> None:
        try:
            if process.unsent and process.flush():
                self._epoll.modify(process.request_fd, 0)
            body = process.receive()
            if body is None:
                return
            if process.sandbox is None:
                process.greet(body)
                self._greeted(desk, process)
            else:
                # Nobody asked a successor anything: what it says can only be wrong.
                asked = len(desk.jobs) if process is desk.process else -1
                self._answered(desk, process, wire.unpack_verdicts(body, asked))
        except (WorkerEndedError, wire.WireError):
            self._ended(desk, process, late=False)

    def _greeted(self, desk: _Desk, process: WorkerProcess) -> None:
        if self._sandbox_required and not is_complete(process.sandbox or ""):
            self._lacking, process.sandbox = process.sandbox or "", None
            raise WorkerEndedError
        self._start_failures = 0
        self._sandbox = process.sandbox or ""
        if process is desk.successor and desk.idle:
            self._succeed(desk)

    def _answered(self, desk: _Desk, process: WorkerProcess, verdicts: list[Verdict]) -> None:
        jobs, desk.jobs = desk.jobs, []
        process.items_done += len(jobs)
        if desk.successor is not None and desk.successor.sandbox is not None:
            self._succeed(desk)
        elif desk.successor is None and process.items_done >= self._messages_per_process:
            desk.successor = self._start(desk)
        for job, verdict in zip(jobs, verdicts, strict=True):
            job.settle(verdict)

    def _succeed(self, desk: _Desk) -> None:
        if desk.process is not None:
            self._end(desk.process)
        desk.process, desk.successor = desk.successor, None

    def _ended(self, desk: _Desk, process: WorkerProcess, *, late: bool) -> None:
        self.workers_ended += 1
        if process.sandbox is None:
            self._start_failures += 1
            self._start_not_before = time.monotonic() + START_AGAIN_S * (
                self._start_failures >= START_FAILURES_MAX
            )
        self._end(process)
        if process is desk.successor:
            desk.successor = None
            if desk.process is not None:
                desk.process.items_done = 0  # try again a whole turn later
            return
        desk.process, desk.successor = desk.successor, None
        desk.deadline = self._clock_s + START_S_MAX
        jobs, desk.jobs = desk.jobs, []
        for job in reversed(jobs):
            job.ended_workers += len(jobs) == 1
            if len(jobs) == 1 and (late or job.ended_workers > 1):
                job.settle(Rejected(WORKER_DIED, "past the deadline" if late else "ended"))
            else:
                job.alone = True
                self._waiting.appendleft(job)

    def _dispatch(self) -> None:
        now = time.monotonic()
        for desk in self._desks:
            if desk.process is None and now >= self._start_not_before:
                desk.process = self._start(desk)
                desk.deadline = self._clock_s + START_S_MAX
        if self._waiting and all(desk.process is None for desk in self._desks):
            self._fail_waiting("workers do not start")
        idle = [desk for desk in self._desks if desk.idle]
        for position, desk in enumerate(idle):
            if not self._waiting:
                return
            share = -(-len(self._waiting) // (len(idle) - position))
            self._hand_out(desk, min(share, wire.BATCH_ITEMS_MAX))

    def _hand_out(self, desk: _Desk, items_max: int) -> None:
        process = desk.process
        assert process is not None
        jobs = [self._waiting.popleft()]
        total = len(jobs[0].payload)
        while self._waiting and not jobs[0].alone and len(jobs) < items_max:
            total += len(self._waiting[0].payload)
            if self._waiting[0].alone or total > BATCH_BYTES_MAX:
                break
            jobs.append(self._waiting.popleft())
        desk.jobs = jobs
        allowed_s = self._deadline_s * max(1.0, len(jobs[0].payload) / BATCH_BYTES_MAX)
        desk.deadline = self._clock_s + allowed_s
        desk.cpu_s_max = process.cpu_s + allowed_s
        desk.hung_after = desk.deadline + (_HUNG_DEADLINES - 1) * self._deadline_s
        try:
            process.send([(job.channel, job.payload) for job in jobs])
        except WorkerEndedError:
            self._ended(desk, process, late=False)
            return
        if process.unsent:
            self._epoll.modify(process.request_fd, select.EPOLLOUT)

    # --- processes

    def _start(self, desk: _Desk) -> WorkerProcess:
        process = WorkerProcess(self._start_frame)
        self._watched[process.reply_fd] = (desk, process)
        self._watched[process.request_fd] = (desk, process)
        self._epoll.register(process.reply_fd, select.EPOLLIN)
        self._epoll.register(process.request_fd, select.EPOLLOUT)
        return process

    def _end(self, process: WorkerProcess) -> None:
        for descriptor in (process.reply_fd, process.request_fd):
            if self._watched.pop(descriptor, None) is not None:
                with contextlib.suppress(OSError):
                    self._epoll.unregister(descriptor)
        process.end()

    def _fail_waiting(self, why: str) -> None:
        while self._waiting:
            self._waiting.popleft().settle(Unavailable(VALIDATOR_UNAVAILABLE, why))
