"""The gapless sequence of one sender's files: which file may come next, and what is missing.

Pure decisions, SPEC.md chapter 7. The table:

| the file's sequence | and                                              | verdict              |
| ------------------- | ------------------------------------------------ | -------------------- |
| the next            | names the last file's digest                     | Next                 |
| the next            | names another digest                             | refused chain_broken |
| the next, after a gap | (its predecessor is missing)                   | Next                 |
| earlier, missing    | fits the neighbours that were received           | Late                 |
| earlier, missing    | does not fit them                                | refused chain_broken |
| earlier, received   | same digest                                      | Repeated             |
| earlier, received   | another digest                                   | refused sequence_reused |
| later than the next |                                                  | Ahead                |
| the largest there is | (none could follow it)                          | refused bad_frame    |

An `Ahead` file is not taken: the receiver waits for what is missing, or gives it up with `skip_to`,
which records the exact missing range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ferry_format import limits, reasons
from ferry_format.container import GENESIS_DIGEST
from ferry_format.reasons import Refused


@dataclass(frozen=True, slots=True)
class Gap:
    """A missing stretch of a stream: first and last sequence, inclusive."""

    first: int
    last: int

    @property
    def files(self) -> int:
        """How many files are missing."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a receiver knows of a stream.

    `next_sequence` is one above the highest received or given up; `last_digest` is the digest of
    the file before it, or None if that one is missing. `gaps` are disjoint and ascending.
    """

    stream_id: bytes
    next_sequence: int = 1
    last_digest: bytes | None = GENESIS_DIGEST
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A received file's place in the chain."""

    digest: bytes
    previous_digest: bytes


@dataclass(frozen=True, slots=True)
class Next:
    """The file is the one expected."""


@dataclass(frozen=True, slots=True)
class Late:
    """The file fills a gap that was given up."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The very file was received before: drop it."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Files are missing before this one."""

    missing: Gap


Acceptance = Next | Late | Repeated | Ahead


def judge(
    state: StreamState, sequence: int, link: Link, received: Callable[[int], Link | None]
) -> Acceptance:
    """Place a verified file of this stream in it.

    `received` looks up a received file's link by sequence, None if it was not received.
    Raises Refused: CHAIN_BROKEN, SEQUENCE_REUSED, or BAD_FRAME for the one sequence without a next.
    """
    if sequence >= limits.SEQUENCE_MAX:
        raise Refused(reasons.BAD_FRAME, "sequence")
    if sequence > state.next_sequence:
        return Ahead(Gap(state.next_sequence, sequence - 1))
    if sequence == state.next_sequence:
        if state.last_digest not in {None, link.previous_digest}:
            raise Refused(reasons.CHAIN_BROKEN, f"sequence {sequence}")
        return Next()
    known = received(sequence)
    if known is not None:
        if known.digest != link.digest:
            raise Refused(reasons.SEQUENCE_REUSED, f"sequence {sequence}")
        return Repeated()
    before = Link(GENESIS_DIGEST, b"") if sequence == 1 else received(sequence - 1)
    after = received(sequence + 1)
    fits_before = before is None or before.digest == link.previous_digest
    fits_after = after is None or after.previous_digest == link.digest
    if not (fits_before and fits_after):
        raise Refused(reasons.CHAIN_BROKEN, f"sequence {sequence}")
    return Late()


def advance(state: StreamState, digest: bytes) -> StreamState:
    """The state after the next file was taken."""
    return replace(state, next_sequence=state.next_sequence + 1, last_digest=digest)


def skip_to(state: StreamState, sequence: int) -> StreamState:
    """Give up every file before `sequence`; the missing range is recorded.

    Raises ValueError if nothing would be skipped.
    """
    if sequence <= state.next_sequence:
        raise ValueError("nothing to skip")
    gap = Gap(state.next_sequence, sequence - 1)
    gaps = state.gaps
    if gaps and gaps[-1].last == gap.first - 1:
        gap, gaps = Gap(gaps[-1].first, gap.last), gaps[:-1]
    return replace(state, next_sequence=sequence, last_digest=None, gaps=(*gaps, gap))


def fill(state: StreamState, sequence: int, digest: bytes) -> StreamState:
    """The state after a late file was taken: its gap shrinks, splits or closes.

    Raises ValueError if the sequence is in no gap.
    """
    gaps: list[Gap] = []
    found = False
    for gap in state.gaps:
        if not gap.first <= sequence <= gap.last:
            gaps.append(gap)
            continue
        found = True
        if gap.first < sequence:
            gaps.append(Gap(gap.first, sequence - 1))
        if sequence < gap.last:
            gaps.append(Gap(sequence + 1, gap.last))
    if not found:
        raise ValueError("the sequence is in no gap")
    last_digest = digest if sequence == state.next_sequence - 1 else state.last_digest
    return replace(state, gaps=tuple(gaps), last_digest=last_digest)


def missing_files(state: StreamState) -> int:
    """How many files were given up and have not come since."""
    return sum(gap.files for gap in state.gaps)
