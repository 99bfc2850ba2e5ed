"""Makes outcomes durable beside the deliveries, not between them.

The pipelines add an outcome and go on with the next message at once; one thread commits whatever
has been added since its last commit. An outcome that comes after a quiet moment is committed at
once; under load a commit waits until GATHER_S have passed since the one before, or half of
UNDURABLE_MAX wait, so that it carries several. What a power cut can still make the ferry repeat is
bounded: at UNDURABLE_MAX outcomes the pipelines wait. While the disk fails or is full, the same
outcomes are tried again each second, so the pipelines stop there and the inner holds its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from ferry_format.reasons import Unavailable
from ferry_runtime import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from inner_agent.delivery_store import DeliveryStore, Outcome

UNDURABLE_MAX: Final = 64
RETRY_S: Final = 1.0
STUCK_S: Final = 30.0
GATHER_S: Final = 0.02
"""Between two commits. Each costs about as much as a delivery, whatever it carries."""

_log = logging.getLogger("ferry.inner.replayer")
T = TypeVar("T")


class OutcomeWriter:
    """Owns the thread that works on the store; everything after `load` goes through it."""

    def __init__(
        self,
        store: DeliveryStore,
        undurable_max: int = UNDURABLE_MAX,
        on_durable: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """`on_durable` is told each outcome, in order, once it is durable.

        It may raise Unavailable; it is then told again.
        """
        self._store = store
        self._on_durable = on_durable
        self._undurable_max = undurable_max
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outcomes")
        self._added: list[Outcome] = []
        self._committing: list[Outcome] = []
        self._work = asyncio.Event()
        self._half_full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._begun_s: list[float] = []
        self._committed_at_s = float("-inf")
        self.failing = False
        self.held = False

    @property
    def is_moving(self) -> bool:
        """Whether the store's thread has not been busy with one piece of work for too long."""
        return not self._begun_s or time.monotonic() - self._begun_s[0] < STUCK_S

    @property
    def undurable(self) -> int:
        """How many outcomes a power cut would make the ferry repeat."""
        return len(self._added) + len(self._committing)

    def add(self, outcome: Outcome) -> None:
        """Take an outcome; it is durable some milliseconds later."""
        self._added.append(outcome)
        self._empty.clear()
        self._see_to_room()
        self._work.set()
        if 2 * len(self._added) >= self._undurable_max:
            self._half_full.set()

    def hold(self, *, held: bool) -> None:
        """Let no further message be sent; or let them be sent again."""
        self.held = held
        self._see_to_room()

    def _see_to_room(self) -> None:
        if self.held or self.undurable >= self._undurable_max:
            self._room.clear()
        else:
            self._room.set()

    async def room(self) -> None:
        """Wait until another message may be sent."""
        await self._room.wait()

    async def durable(self) -> None:
        """Wait until every outcome added so far, and any added meanwhile, is durable."""
        await self._empty.wait()

    async def on_store(self, job: Callable[[], T]) -> T:
        """Run `job` on the store's thread, between two commits."""
        begun_s = time.monotonic()
        self._begun_s.append(begun_s)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        finally:
            self._begun_s.remove(begun_s)

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._work.wait()
            await self._gather()
            self._work.clear()
            self._half_full.clear()
            self._committing, self._added = self._added, []
            await self._commit()
            for outcome in self._committing:
                await self._tell(outcome)
            self._committing = []
            self._see_to_room()
            if not self._added:
                self._empty.set()

    async def _gather(self) -> None:
        """Let more outcomes come, if the last commit was only just now."""
        passed_s = time.monotonic() - self._committed_at_s
        if passed_s < GATHER_S:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._half_full.wait(), GATHER_S - passed_s)

    async def _tell(self, outcome: Outcome) -> None:
        """Tell an outcome; while that is not possible, nothing more becomes durable."""
        while True:
            try:
                self._on_durable(outcome)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _commit(self) -> None:
        while True:
            try:
                await self.on_store(lambda: self._store.commit(self._committing))
            except sqlite3.Error as error:
                if not self.failing:
                    logs.event(
                        _log,
                        "delivery_store_failed",
                        level=logging.ERROR,
                        error=error,
                        sqlite=getattr(error, "sqlite_errorname", ""),
                    )
                self.failing = True
                await asyncio.sleep(RETRY_S)
            else:
                if self.failing:
                    logs.event(_log, "delivery_store_recovered", level=logging.WARNING)
                self.failing = False
                self._committed_at_s = time.monotonic()
                return

    async def close(self, deadline_s: float) -> bool:
        """Commit what is left within `deadline_s` and end the thread; tell whether all is durable.

        `run` must still be running.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.durable(), deadline_s)
        self._thread.shutdown(wait=True)
        return not self.undurable
