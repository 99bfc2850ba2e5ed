"""What becomes of a message on its way to the sink: the rules, and nothing that waits or writes.

Everything that changes a delivery's state is decided here; time and chance are passed in.

States. A journaled message without a row is `waiting`. TRANSITIONS below is the whole table.

    waiting ──► delivering ──► delivered
                 │  ▲  │
                 │  │  └─────► dead ──► requeued ──► delivering …
                 │  └ retry     │          │
                 └──────────────┴──────────┴──► discarded          (an operator's order)

Order. A channel's messages are delivered one after another in the order of their journal
positions; the next one starts when the one before is settled (delivered, dead or discarded).
A requeued dead letter lost its place when it died; it goes before what waits.

Repeats. Nothing is marked before it is sent: a crash between sending and recording the outcome
leads to a repeat with the same id, and so does every retry. That is the promise ("at least once,
exactly once as far as the sink can tell"); a mark before sending would cost a durable commit on
the way of each message and could only turn the repeat into a loss.

What counts against `attempts_max`. Only an answer in which the sink refuses this very message for
now (HL7 AE or CE, HTTP 500: SINK_FAILED), or that our own adapter failed on it
(DELIVERY_FAULT). A sink that cannot be reached, does not answer, answers garbage, or says "not
now" (HTTP 408, 425, 429, 502, 503, 504: SINK_BUSY) says nothing about the message: were that
counted, a sink that is down for a day would turn the whole queue into dead letters. Such a message
holds its channel until the sink is mended or an operator discards it.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ferry_format import reasons
from inner_agent.sinks.base import Delivered, Failed, SinkResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ferry_format.reasons import Reason


class State(enum.StrEnum):
    """Where a message stands; the values are those of delivery.db."""

    WAITING = "waiting"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    DEAD = "dead"
    REQUEUED = "requeued"
    DISCARDED = "discarded"


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.WAITING: frozenset({State.DELIVERING, State.DELIVERED, State.DEAD}),
    State.DELIVERING: frozenset(
        {State.DELIVERING, State.DELIVERED, State.DEAD, State.DISCARDED},
    ),
    State.DELIVERED: frozenset(),
    State.DEAD: frozenset({State.REQUEUED, State.DISCARDED}),
    State.REQUEUED: frozenset(
        {State.DELIVERING, State.DELIVERED, State.DEAD, State.DISCARDED},
    ),
    # An order to discard can cross the sink's acknowledgement; what happened wins.
    State.DISCARDED: frozenset({State.DELIVERED}),
}
SETTLED: Final = frozenset({State.DELIVERED, State.DEAD, State.DISCARDED})

REFUSALS: Final = frozenset({reasons.SINK_FAILED, reasons.DELIVERY_FAULT})
"""The reasons that count against `attempts_max`."""

RETRY_S_MIN: Final = 0.01
"""No retry sooner: full jitter may draw zero, and a refusing sink must not be spun on."""

_DOUBLINGS_MAX: Final = 62


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How a channel retries. `attempts_max` 0 means for ever."""

    attempts_max: int = 10
    retry_first_s: float = 1.0
    retry_most_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What was tried so far. `refusals` are the attempts that count against the limit."""

    attempts: int = 0
    refusals: int = 0
    first_attempt_at_ms: int | None = None

    def after(self, result: SinkResult, at_ms: int) -> Progress:
        """Return the progress with one more attempt, which began at `at_ms`."""
        refused = isinstance(result, Failed) and result.reason in REFUSALS
        first = at_ms if self.first_attempt_at_ms is None else self.first_attempt_at_ms
        return Progress(self.attempts + 1, self.refusals + refused, first)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again, with the same id, in `seconds`."""

    seconds: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter: an operator requeues or discards it."""

    reason: Reason


Decision = Delivered | RetryAfter | Dead


def decide(
    result: SinkResult, progress: Progress, policy: DeliveryPolicy, chance: float
) -> Decision:
    """Decide what follows from `result`; `progress` includes it, `chance` is from [0, 1)."""
    if isinstance(result, Delivered):
        return result
    if result.permanent:
        return Dead(result.reason)
    if (
        result.reason in REFUSALS
        and policy.attempts_max
        and progress.refusals >= policy.attempts_max
    ):
        return Dead(reasons.ATTEMPTS_EXHAUSTED)
    seconds = backoff_s(progress.attempts, policy, chance)
    if result.retry_after_s is not None:
        seconds = max(seconds, min(result.retry_after_s, policy.retry_most_s))
    return RetryAfter(seconds, result.reason)


def backoff_s(attempts: int, policy: DeliveryPolicy, chance: float) -> float:
    """Return the pause after `attempts` failures: full jitter below a doubling, bounded bound."""
    doublings = min(max(attempts - 1, 0), _DOUBLINGS_MAX)
    bound = min(policy.retry_first_s * 2.0**doublings, policy.retry_most_s)
    return max(RETRY_S_MIN, bound * chance)


Requeued = tuple[int, Progress]
"""A position that an operator requeued, and what was tried for it."""


@dataclass(slots=True)
class ChannelQueue:
    """Which of one channel's messages is next. Filled from delivery.db at start.

    `cursor`: every position at or below it is settled or requeued. `settled_ahead`: settled
    positions above it. `unfinished`: progress of messages that were being retried.
    """

    channel: str
    cursor: int = 0
    settled_ahead: set[int] = field(default_factory=set)
    unfinished: dict[int, Progress] = field(default_factory=dict)
    _requeued: deque[int] = field(default_factory=deque)
    _attempts_known: dict[int, int] = field(default_factory=dict)

    def requeue(self, requeued: Iterable[Requeued]) -> None:
        """Take an operator's orders (position, progress), oldest first.

        The orders are read from the database, which may be behind what this process knows: a row
        with fewer attempts than we made is one whose newer outcome is not written yet.
        """
        for position, progress in requeued:
            if progress.attempts < self._attempts_known.get(position, 0):
                continue
            if position not in self._requeued:
                self._requeued.append(position)
                self.unfinished[position] = progress

    def next_requeued(self) -> int | None:
        """Return the requeued position to deliver now, if there is one."""
        return self._requeued[0] if self._requeued else None

    @property
    def requeued(self) -> int:
        """How many requeued messages wait."""
        return len(self._requeued)

    def progress(self, position: int) -> Progress:
        """Return what was tried for `position` so far."""
        return self.unfinished.get(position, Progress())

    def tried(self, position: int, progress: Progress) -> None:
        """Remember an attempt that did not settle the message."""
        self.unfinished[position] = progress
        if position <= self.cursor:
            self._attempts_known[position] = progress.attempts

    def settle(self, position: int, progress: Progress) -> None:
        """Move past `position`."""
        self.unfinished.pop(position, None)
        if position in self._requeued:
            self._requeued.remove(position)
            self._attempts_known[position] = progress.attempts
        if position > self.cursor:
            self.cursor = position
            self.settled_ahead.discard(position)

    def is_settled(self, position: int) -> bool:
        """Tell whether `position`, read from the journal after the cursor, was settled before."""
        return position in self.settled_ahead
