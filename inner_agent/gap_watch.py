"""How long a missing file is waited for, and when a gap is told: once on entry, once on recovery.

Pure decisions; time is passed in. A missing stretch is first waited for in silence (`gap_wait_s`).
Then it is reported, and the verifier goes on after it if a later file of the stream has been
verified: a bad file on the medium alone makes no gap be passed. What that means for each channel,
channel_gaps.py decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ferry_format.stream import Gap, StreamState
from inner_agent.journal import GapRecord


@dataclass(frozen=True, slots=True)
class Missing:
    """What keeps the stream from moving now; `can_continue`: a later file was verified."""

    gap: Gap
    can_continue: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """A stretch that is waited for: since when (monotonic seconds), and whether it was told."""

    gap: Gap
    since_s: float
    reported: bool = False

    def told(self, gap: Gap) -> bool:
        """Whether all of `gap` was reported."""
        return self.reported and self.gap.first <= gap.first and gap.last <= self.gap.last


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do but wait."""


@dataclass(frozen=True, slots=True)
class Report:
    """Record the gap and tell it."""

    gap: Gap


@dataclass(frozen=True, slots=True)
class GoOn:
    """Record the gap, tell it, and go on after it."""

    gap: Gap


Step = Wait | Report | GoOn


def look(
    watch: Watch | None, missing: Missing | None, now_s: float, gap_wait_s: float
) -> tuple[Watch | None, Step]:
    """Decide at one look; the watch returned is what the next look is to be given.

    Where the stretch's beginning moved, something came, so the wait begins anew. What is left of a
    stretch that was told is not told again; one that became longer is.
    """
    if missing is None:
        return None, Wait()
    if watch is None:
        watch = Watch(missing.gap, now_s)
    elif watch.gap.first != missing.gap.first:
        told = watch.reported and watch.gap.first < missing.gap.first <= watch.gap.last
        watch = replace(watch, since_s=now_s, reported=told)
    grew = missing.gap.last > watch.gap.last
    watch = replace(watch, gap=missing.gap)
    if now_s - watch.since_s < gap_wait_s:
        return watch, Wait()
    if missing.can_continue:
        return watch, GoOn(missing.gap)
    if watch.reported and not grew:
        return watch, Wait()
    return replace(watch, reported=True), Report(missing.gap)


def records(
    state: StreamState,
    awaited: Gap | None,
    known: Iterable[GapRecord],
    now_ms: int,
    *,
    channels_wait: bool,
) -> tuple[GapRecord, ...]:
    """Every missing stretch as the journal keeps it: those passed, and the one that stops us.

    What is left of a known gap keeps the time when it was opened, and stays given up.
    """
    known = tuple(known)
    found = [_record(state, gap, known, now_ms, given_up=not channels_wait) for gap in state.gaps]
    left = still_awaited(state, awaited)
    if left is not None:
        found.append(replace(_record(state, left, known, now_ms), given_up=False))
    return tuple(found)


def still_awaited(state: StreamState, awaited: Gap | None) -> Gap | None:
    """What is left of the stretch that stops the stream, now that it stands as `state`."""
    if awaited is None or awaited.last < state.next_sequence:
        return None
    return Gap(max(awaited.first, state.next_sequence), awaited.last)


def closed(before: Iterable[GapRecord], after: Iterable[GapRecord]) -> tuple[GapRecord, ...]:
    """The gaps of which nothing is missing any more."""
    after = tuple(after)
    return tuple(gap for gap in before if not any(_overlap(gap, other) for other in after))


def _record(
    state: StreamState,
    gap: Gap,
    known: tuple[GapRecord, ...],
    now_ms: int,
    *,
    given_up: bool = False,
) -> GapRecord:
    record = GapRecord(state.stream_id, gap.first, gap.last, now_ms, given_up)
    before = [old for old in known if _overlap(old, record)]
    return replace(
        record,
        opened_at_ms=min((old.opened_at_ms for old in before), default=now_ms),
        given_up=given_up or any(old.given_up for old in before),
    )


def _overlap(one: GapRecord, other: GapRecord) -> bool:
    return one.first_sequence <= other.last_sequence and other.first_sequence <= one.last_sequence
