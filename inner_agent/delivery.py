"""What becomes of a message on its way to the sink: the rules, and nothing that waits or writes.

Everything that changes a delivery's state is decided here; time and chance are passed in.

States. A journaled message without a row is `waiting`. TRANSITIONS below is the whole table.

    waiting ──► delivering ──► delivered
                 │  ▲  │
                 │  │  └─────► dead ──► requeued ──► delivering …
                 │  └ retry     │          │
                 └──────────────┴──────────┴──► discarded          (an operator's order)

Order. A channel's messages are delivered one after another in the order of their journal
positions. While one is being retried because its sink refuses *it*, messages with the same order
key wait: all of the channel's, unless its policy names a key (order_by). While the sink takes
nothing at all, the whole channel waits. A requeued dead letter lost its place when it died; it goes
before what waits.

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
from bisect import insort
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

SINK_TAKES_NOTHING: Final = frozenset({reasons.SINK_UNREACHABLE, reasons.SINK_BUSY})
"""The reasons that say nothing of the message: trying another one would be no use."""

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

Key = bytes | None
"""What orders messages among each other; None is a key of its own."""


@dataclass(slots=True)
class ChannelQueue:
    """Which of one channel's messages is next. Filled from delivery.db at start. Times are seconds
    of one monotonic clock.

    Messages are taken from the journal in its order, and then stand in line by key: the first of a
    line that may be tried goes next, the oldest line first. What is tried again later holds up its
    line, or the whole channel where its sink takes nothing.

    `cursor`: every position at or below it is settled or requeued. `settled_ahead`: settled
    positions above it, not taken yet. `unfinished`: progress of messages that are being retried.
    """  # noqa: D205

    channel: str
    cursor: int = 0
    settled_ahead: set[int] = field(default_factory=set)
    unfinished: dict[int, Progress] = field(default_factory=dict)
    taken_up_to: int = 0
    _window: deque[int] = field(default_factory=deque)
    _settled: set[int] = field(default_factory=set)
    _lines: dict[Key, list[int]] = field(default_factory=dict)
    _key_of: dict[int, Key] = field(default_factory=dict)
    _line_waits_until_s: dict[Key, float] = field(default_factory=dict)
    _channel_waits: tuple[int, float] | None = None
    _requeued: set[int] = field(default_factory=set)
    _attempts_known: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin taking after the cursor."""
        self.taken_up_to = self.cursor

    def take(self, position: int, key: Key) -> None:
        """Take the journal's next message; settled before, it only moves the cursor."""
        self.taken_up_to = position
        self._window.append(position)
        if position in self.settled_ahead:
            self.settled_ahead.discard(position)
            self._settled.add(position)
            self._advance()
        else:
            self._stand_in_line(position, key)

    def requeue(self, requeued: Iterable[tuple[Requeued, Key]]) -> None:
        """Take an operator's orders; a requeued message goes before what waits in its line.

        The orders are read from the database, which may be behind what this process knows: a row
        with fewer attempts than we made is one whose newer outcome is not written yet.
        """
        for (position, progress), key in requeued:
            if progress.attempts < self._attempts_known.get(position, 0):
                continue
            self.settled_ahead.discard(position)
            if position in self._key_of:
                continue
            self.unfinished[position] = progress
            if position > self.taken_up_to:
                continue  # it comes by the journal
            self._settled.discard(position)
            self._requeued.add(position)
            self._stand_in_line(position, key)

    def next(self, now_s: float) -> int | None:
        """The position to try now, or None if there is none."""
        if self.is_held(now_s):
            return None
        self._channel_waits = None
        waits = self._line_waits_until_s
        heads = (line[0] for key, line in self._lines.items() if waits.get(key, 0.0) <= now_s)
        return min(heads, default=None)

    def wakes_at_s(self) -> float | None:
        """When the next retry is due, after `next` returned None; None if nothing is retried."""
        if self._channel_waits is not None:
            return self._channel_waits[1]
        return min(self._line_waits_until_s.values(), default=None)

    def is_held(self, now_s: float) -> bool:
        """Whether the sink takes nothing for now."""
        return self._channel_waits is not None and now_s < self._channel_waits[1]

    @property
    def taken(self) -> int:
        """How many messages above the cursor are in hand, the settled ones among them included."""
        return len(self._window)

    @property
    def requeued(self) -> int:
        """How many requeued messages wait."""
        return len(self._requeued)

    @property
    def settled_above_cursor(self) -> int:
        """How many messages above the cursor are settled."""
        return len(self._settled) + len(self.settled_ahead)

    @property
    def lines_held_up(self) -> int:
        """How many keys wait for the retry of a message."""
        return len(self._line_waits_until_s)

    def progress(self, position: int) -> Progress:
        """Return what was tried for `position` so far."""
        return self.unfinished.get(position, Progress())

    def retry(self, position: int, progress: Progress, at_s: float, *, holds_channel: bool) -> None:
        """Remember an attempt that did not settle the message, and when to try it again."""
        self.unfinished[position] = progress
        if position in self._requeued:
            self._attempts_known[position] = progress.attempts
        if holds_channel:
            self._channel_waits = (position, at_s)
        else:
            self._channel_waits = None
            self._line_waits_until_s[self._key_of[position]] = at_s

    def settle(self, position: int, progress: Progress) -> None:
        """Move past `position`."""
        self.unfinished.pop(position, None)
        if self._channel_waits is not None and self._channel_waits[0] == position:
            self._channel_waits = None
        self._leave_line(position)
        if position in self._requeued:
            self._requeued.discard(position)
            self._attempts_known[position] = progress.attempts
        if position > self.cursor:
            self._settled.add(position)
            self._advance()

    def _stand_in_line(self, position: int, key: Key) -> None:
        self._key_of[position] = key
        insort(self._lines.setdefault(key, []), position)

    def _leave_line(self, position: int) -> None:
        if position not in self._key_of:
            return
        key = self._key_of.pop(position)
        line = self._lines[key]
        if line[0] == position:
            self._line_waits_until_s.pop(key, None)
        line.remove(position)
        if not line:
            del self._lines[key]

    def _advance(self) -> None:
        while self._window and self._window[0] in self._settled:
            self.cursor = self._window.popleft()
            self._settled.discard(self.cursor)
