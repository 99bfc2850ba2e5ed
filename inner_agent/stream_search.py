"""Looking around a stream that does not move: what is missing, what came late, what was changed.

Only names and untrusted bytes are looked at here until a file is opened; a directory listing is
never evidence. A gap is one only if a later file was verified as the trusted sender's.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Final

from ferry_format.reasons import Refused
from ferry_format.stream import Gap, StreamState
from ferry_format.suites.ed25519_hybrid import SIGNATURE_BYTES, digest
from inner_agent.gap_watch import Missing
from inner_agent.intake_decisions import Standing
from inner_agent.workplace import Workplace

LATER_TRIED_MAX: Final = 8
"""Bad files that are looked past, in one look, in search of a good later one."""

RECHECKED_MAX: Final = 16
"""Received files that one look compares with what was received, while the sender is silent."""

GAPS_LOOKED_AT_MAX: Final = 16
"""Gaps in which one look searches for late files; the next look goes on with the others."""


class StreamSearch:
    """Searches the medium for one stream. Bounded work a call; raises Unavailable."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace
        self._later: int | None = None
        self._later_from = 0
        self._gap_turn = 0
        self._recheck_from = 1
        self.next_is_refused = False
        """Whether the last call of `missing` found a refused file in the next one's place."""

    def missing(self, standing: Standing, *, thorough: bool = False) -> Missing | None:
        """What keeps the stream from moving; None if nothing does.

        `thorough`: look at every later file now, and not at a few in each call.
        """
        state = standing.state
        following = state.next_sequence
        self.next_is_refused = False
        try:
            opened = self._at.files.open(state.stream_id, following)
            if opened is not None and self._at.place(standing, opened) is not None:
                return None  # it came just now
        except Refused:
            self.next_is_refused = True
        later, is_any = self._first_later(standing, None if thorough else LATER_TRIED_MAX)
        if later is not None:
            return Missing(Gap(following, later - 1), can_continue=True)
        if self.next_is_refused or is_any:
            return Missing(Gap(following, following), can_continue=False)
        return None

    def late_candidates(self, state: StreamState) -> list[int]:
        """Names in gaps that were given up; a few gaps a call, in turn."""
        if not state.gaps:
            return []
        first = self._gap_turn % len(state.gaps)
        self._gap_turn = first + GAPS_LOOKED_AT_MAX
        found: list[int] = []
        for gap in (state.gaps[first:] + state.gaps[:first])[:GAPS_LOOKED_AT_MAX]:
            names = self._at.medium.available(state.stream_id, gap.first)
            room = self._at.limits.files_max - len(found)
            found += itertools.islice(_up_to(gap.last, names), room)
        return found

    def recheck(self, standing: Standing) -> None:
        """See whether a sender that is silent for us has gone back to sequences of its past.

        An outer restored from an old backup publishes below what we wait for, where nobody reads,
        and acknowledges messages that would be missed in silence.
        """
        state = standing.state
        names = self._at.medium.available(state.stream_id, self._recheck_from)
        below = _up_to(state.next_sequence - 1, names)
        rechecked = list(itertools.islice(below, RECHECKED_MAX))
        self._recheck_from = rechecked[-1] + 1 if len(rechecked) == RECHECKED_MAX else 1
        for sequence in rechecked:
            with contextlib.suppress(Refused):
                if self._is_other(state.stream_id, sequence):
                    opened = self._at.files.open(state.stream_id, sequence)
                    if opened is not None:
                        self._at.place(standing, opened)

    def _is_other(self, stream_id: bytes, sequence: int) -> bool:
        """Whether a received sequence's name now holds other bytes; no trust is needed for that."""
        link = self._at.journal.link(stream_id, sequence)
        untrusted = self._at.medium.read(stream_id, sequence)
        if link is None or untrusted is None:
            return False
        return digest(memoryview(untrusted.data)[:-SIGNATURE_BYTES]) != link.digest

    def _first_later(self, standing: Standing, tried_max: int | None) -> tuple[int | None, bool]:
        """The lowest later sequence whose file is the trusted sender's, and if there is any name.

        At most `tried_max` bad files are looked past in one call; the next one goes on after them,
        and the one after the last begins anew, as lower names may have come.
        """
        first = standing.state.next_sequence + 1
        begin = first if tried_max is None else max(first, self._later_from)
        known = self._later
        if known is not None and (known < first or not self._is_lawful(standing, known)):
            known = None
        found, self._later_from, is_any = known, 0, begin > first or known is not None
        for tried, sequence in enumerate(
            self._at.medium.available(standing.state.stream_id, begin)
        ):
            is_any = True
            if known is not None and sequence >= known:
                break
            if tried == tried_max:
                self._later_from = sequence
                break
            if self._is_lawful(standing, sequence):
                found = sequence
                break
        self._later = found
        return found, is_any

    def _is_lawful(self, standing: Standing, sequence: int) -> bool:
        try:
            opened = self._at.files.open(standing.state.stream_id, sequence)
            if opened is not None:
                self._at.place(standing, opened)
        except Refused:
            return False
        return opened is not None


def _up_to(last: int, names: Iterator[int]) -> Iterator[int]:
    return itertools.takewhile(lambda name: name <= last, names)
