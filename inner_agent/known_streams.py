"""Which streams are read: the first one of a sender is pinned, others wait for an operator.

A sender that begins another stream was installed anew, restored, or is not the sender any more; so
its new stream is refused until an operator accepts it. The old one is then read to its end and
retired: what it still had on the medium is taken before, or was given up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ferry_format import reasons
from ferry_format.container import GENESIS_DIGEST
from ferry_format.reasons import Refused
from inner_agent.file_opening import Opened
from inner_agent.journal import StreamRecord
from inner_agent.stream_intake import StreamIntake
from inner_agent.stream_orders import Answer
from inner_agent.workplace import Workplace

STREAMS_EXAMINED_MAX: Final = 16
"""Unknown directories that one look opens files of; whoever writes the medium can make many."""

FILES_TRIED_MAX: Final = 4
REFUSED_KEPT_MAX: Final = 256
"""Refused streams on record; the holder of a trusted key can begin any number. An operator may
accept one beyond them all the same."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stream that is not on record yet, by its first file that was verified."""

    stream_id: bytes
    sender: str
    sealed_at_ms: int


def pin(candidates: Iterable[Candidate], senders_on_record: frozenset[str]) -> dict[bytes, bool]:
    """Which candidates are pinned: of each sender that has no stream yet, the newest one."""
    newest: dict[str, Candidate] = {}
    candidates = sorted(candidates, key=lambda one: (one.sealed_at_ms, one.stream_id))
    for candidate in candidates:
        if candidate.sender not in senders_on_record:
            newest[candidate.sender] = candidate
    return {one.stream_id: newest.get(one.sender) == one for one in candidates}


class KnownStreams:
    """The streams of the journal, and those that appear on the medium."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace
        self._records = {one.stream_id: one for one in workplace.journal.streams()}
        self._intakes = {
            one.stream_id: StreamIntake(one, workplace)
            for one in self._records.values()
            if one.state == "trusted"
        }
        self._turn = 0

    @property
    def trusted(self) -> list[StreamIntake]:
        """The streams that are read."""
        return list(self._intakes.values())

    def records(self) -> list[StreamRecord]:
        """Every stream as it stands."""
        current = {one.record.stream_id: one.record for one in self._intakes.values()}
        return [current.get(one.stream_id, one) for one in self._records.values()]

    def refused(self) -> int:
        """How many streams wait for an operator."""
        return sum(one.state == "refused" for one in self._records.values())

    def look(self) -> bool:
        """Search the medium for streams that are not on record; whether one was pinned.

        Raises Unavailable and StorageFault.
        """
        unknown = [one for one in self._at.medium.streams() if one not in self._records]
        if not unknown:
            return False
        first = self._turn % len(unknown)
        self._turn = first + STREAMS_EXAMINED_MAX
        examined = (unknown[first:] + unknown[:first])[:STREAMS_EXAMINED_MAX]
        found = {one: self._first_file(one) for one in examined}
        candidates = [
            Candidate(stream_id, opened.file.sender, opened.file.content.sealed_at_ms)
            for stream_id, opened in found.items()
            if opened is not None
        ]
        on_record = frozenset(one.sender for one in self._records.values())
        decisions = pin(candidates, on_record)
        for candidate in candidates:
            opened = found[candidate.stream_id]
            if decisions[candidate.stream_id]:
                self._pin(candidate)
            elif opened is not None:
                self._refuse(candidate, opened)
        return any(decisions.values())

    def accept(self, stream_id: bytes, operator: str) -> Answer:
        """Read this stream from now on, in place of its sender's present one."""
        record = self._records.get(stream_id) or self._off_record(stream_id)
        if record is None:
            return Answer(done=False, detail="no such stream on record, nor on the medium")
        if record.state != "refused":
            return Answer(done=False, detail=f"the stream is {record.state}, not refused")
        before = [one for one in self._intakes.values() if one.record.sender == record.sender]
        if not all(one.finish(operator) for one in before):
            return Answer(
                done=False,
                detail="the present stream still waits for missing files: have them resent, "
                "or give the gap up first",
            )
        retired = [one.retire() for one in before]
        accepted = _new_record(record.stream_id, record.sender, "trusted", record.first_seen_at_ms)
        self._at.journal.set_streams([*retired, accepted])
        for one in retired:
            del self._intakes[one.stream_id]
            self._records[one.stream_id] = one
            self._at.reports.stream_changed("stream_retired", one, operator)
        self._records[stream_id] = accepted
        self._at.files.forget()
        self._intakes[stream_id] = StreamIntake(accepted, self._at)
        self._at.reports.stream_changed("stream_accepted", accepted, operator)
        return Answer(done=True, detail=f"stream of {record.sender} accepted")

    def give_up(self, stream_id: bytes, operator: str) -> Answer:
        """Go on after what is missing now."""
        intake = self._intakes.get(stream_id)
        if intake is None:
            return Answer(done=False, detail="no such stream is read")
        gap = intake.give_up(operator)
        if gap is None:
            return Answer(done=False, detail="nothing waits for a missing file")
        return Answer(done=True, detail=f"gave up files {gap.first} to {gap.last}")

    def _off_record(self, stream_id: bytes) -> StreamRecord | None:
        """A refused stream that came when no more were put on record, as its first file tells."""
        self._at.files.forget()
        opened = self._first_file(stream_id)
        if opened is None:
            return None
        now_ms = self._at.clock_ms()
        return _new_record(stream_id, opened.file.sender, "refused", now_ms)

    def _first_file(self, stream_id: bytes) -> Opened | None:
        names = self._at.medium.available(stream_id, 1)
        for sequence in itertools.islice(names, FILES_TRIED_MAX):
            try:
                opened = self._at.files.open(stream_id, sequence)
            except Refused:
                continue
            if opened is not None:
                return opened
        return None

    def _pin(self, candidate: Candidate) -> None:
        now_ms = self._at.clock_ms()
        record = _new_record(candidate.stream_id, candidate.sender, "trusted", now_ms)
        self._at.journal.set_streams([record])
        self._records[record.stream_id] = record
        self._intakes[record.stream_id] = StreamIntake(record, self._at)
        self._at.reports.stream_changed("stream_pinned", record, "first stream of its sender")

    def _refuse(self, candidate: Candidate, opened: Opened) -> None:
        self._at.files.refuse(opened, Refused(reasons.UNKNOWN_STREAM, candidate.sender))
        if self.refused() >= REFUSED_KEPT_MAX:
            return
        now_ms = self._at.clock_ms()
        record = _new_record(candidate.stream_id, candidate.sender, "refused", now_ms)
        self._at.journal.set_streams([record])
        self._records[record.stream_id] = record
        self._at.reports.stream_changed("stream_refused", record, "policy")


def _new_record(stream_id: bytes, sender: str, state: str, seen_at_ms: int) -> StreamRecord:
    return StreamRecord(stream_id, sender, state, 1, GENESIS_DIGEST, seen_at_ms, seen_at_ms, 0)
