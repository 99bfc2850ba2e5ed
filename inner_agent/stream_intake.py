"""One trusted stream on its way into the journal: the next files, late ones, and what is missing.

A thin shell: stream rules, message rules and gap rules are decided elsewhere, in pure functions.
State in memory changes only after the journal has committed it, so whatever is raised on the way
(validators or medium unavailable, a storage fault) leaves the stream where it was.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from ferry_format.envelope import Envelope, Tombstone
from ferry_format.reasons import Refused
from ferry_format.stream import Gap, Link, StreamState, skip_to
from inner_agent import gap_watch
from inner_agent.file_opening import Opened
from inner_agent.gap_watch import GiveUp, Report, Watch
from inner_agent.intake_decisions import (
    Standing,
    Take,
    refused_message,
    screen,
    settle,
)
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.journal_writer import Batch, NewMessage, Repeat, TakenFile
from inner_agent.quarantine import RefusedThing
from inner_agent.stream_search import StreamSearch
from inner_agent.workplace import Workplace
from validators.verdict import Rejected

LATE_LOOK_S: Final = 5.0
"""Seconds between searches for late files while a stream moves."""


class StreamIntake:
    """Takes one stream's files. Its state is what the journal says, at every return."""

    def __init__(self, record: StreamRecord, workplace: Workplace) -> None:
        journal = workplace.journal
        self.record = record
        self._at = workplace
        self._gaps = journal.gaps(record.stream_id)
        held = [gap for gap in self._gaps if not gap.given_up]
        state = StreamState(
            record.stream_id,
            record.next_sequence,
            record.last_digest,
            tuple(Gap(g.first_sequence, g.last_sequence) for g in self._gaps if g.given_up),
        )
        self._standing = Standing(state, record.sender, journal.progress(record.stream_id))
        self._held = Gap(held[0].first_sequence, held[0].last_sequence) if held else None
        self._watch = (
            None if self._held is None else Watch(self._held, workplace.clock_s(), reported=True)
        )
        self._search = StreamSearch(workplace)
        self._moved = False
        self._moved_at_s = workplace.clock_s()
        self._late_looked_at_s = float("-inf")

    @property
    def state(self) -> StreamState:
        """How the stream stands."""
        return self._standing.state

    @property
    def gaps(self) -> tuple[GapRecord, ...]:
        """What was reported missing and has not come since."""
        return self._gaps

    def take_next(self) -> int:
        """Take what comes next, in one commit; returns how many files.

        Raises Unavailable (medium, validators) and StorageFault.
        """
        taken = self._take(itertools.count(self.state.next_sequence), in_order=True)
        if taken:
            self._moved = True
            self._moved_at_s = self._at.clock_s()
        return taken

    def look(self) -> int:
        """Search for late files, and see whether something is missing; returns files taken.

        To be called now and then. Raises as `take_next`.
        """
        taken = self._take_late()
        if self._moved:
            # A stream that moved since the last look misses nothing; spare it the listing.
            self._moved = False
            return taken
        missing = self._search.missing(self._standing)
        if missing is None and self._silent_s() >= self._at.gap_policy.gap_wait_s:
            self._search.recheck(self._standing)
        if missing is None and self._held is not None:
            return taken
        watch, step = gap_watch.look(self._watch, missing, self._at.clock_s(), self._at.gap_policy)
        match step:
            case Report(gap):
                self._hold(gap)
                self._at.reports.gap_opened(self.record, gap, refused=self._search.next_is_refused)
            case GiveUp(gap):
                self._go_past(gap, "policy")
            case _ if watch is not None and watch.reported and watch.gap != self._held:
                self._hold(watch.gap)
        self._watch = watch
        return taken

    def give_up(self, operator: str) -> Gap | None:
        """Go on after what is missing now, by an operator's order; the gap, or None if none is.

        Also None where no later file of the stream has been verified.
        """
        missing = self._search.missing(self._standing, thorough=True)
        if missing is None or not missing.can_continue:
            return None
        self._go_past(missing.gap, operator)
        self._watch = None
        return missing.gap

    def finish(self, operator: str) -> bool:
        """Take all that can be taken, so that the stream can be retired; raises as `take_next`.

        False if files are missing before a later one that was verified. What stands in the next
        place and was refused, with nothing lawful after it, keeps nobody waiting: it is given up
        in the operator's name.
        """
        while self.take_next():
            pass
        missing = self._search.missing(self._standing, thorough=True)
        if missing is None:
            return True
        if missing.can_continue:
            return False
        self._at.reports.gap_given_up(self.record, missing.gap, operator)
        return True

    def retire(self) -> StreamRecord:
        """The stream's record as one that is read no more."""
        return replace(self.record, state="retired")

    def _take_late(self) -> int:
        """Take what came of given-up gaps; rarely while the stream moves, for lists take time."""
        if not self.state.gaps:
            return 0
        now_s = self._at.clock_s()
        if self._moved and now_s - self._late_looked_at_s < LATE_LOOK_S:
            return 0
        self._late_looked_at_s = now_s
        return self._take(self._search.late_candidates(self.state), in_order=False)

    def _take(self, sequences: Iterable[int], *, in_order: bool) -> int:
        standing, links, size = self._standing, dict[int, Link](), 0
        collected: list[tuple[Opened, Take]] = []
        for sequence in sequences:
            if len(collected) >= self._at.limits.files_max or size >= self._at.limits.bytes_max:
                break
            try:
                opened = self._at.files.open(self.state.stream_id, sequence)
                take = None if opened is None else self._at.place(standing, opened, links)
            except Refused:
                if in_order:
                    break
                continue
            if opened is None or take is None:
                if in_order:
                    break
                continue
            collected.append((opened, take))
            standing, links[sequence] = take.standing, opened.file.link
            size += len(opened.untrusted.data)
        if collected:
            self._commit(collected, standing)
        return len(collected)

    def _commit(self, collected: list[tuple[Opened, Take]], standing: Standing) -> None:
        files = self._settled(collected)
        now_ms = self._at.clock_ms()
        gaps = gap_watch.records(standing.state, self._held, self._gaps, now_ms)
        changed = gaps != self._gaps
        record = replace(
            self._record_of(standing.state),
            last_file_at_ms=now_ms,
            last_sealed_at_ms=max(opened.file.content.sealed_at_ms for opened, _ in collected),
        )
        began = time.perf_counter()
        repeated = self._at.journal.take(
            Batch(now_ms, record, files, standing.progress, gaps if changed else None)
        )
        seconds = time.perf_counter() - began
        # Before anything is told: the message should be on its way to the sink by then.
        self._at.poke()
        self._at.reports.metrics.commit_seconds.observe(seconds)
        before, self._standing, self.record = self._standing, standing, record
        if changed:
            self._gaps_are(gaps)
        self._tell(collected, files, before.state, repeated, now_ms)

    def _tell(
        self,
        collected: list[tuple[Opened, Take]],
        files: tuple[TakenFile, ...],
        before: StreamState,
        repeated: frozenset[Repeat],
        now_ms: int,
    ) -> None:
        reports = self._at.reports
        after_gap = before.last_digest is None
        for (_, take), file in zip(collected, files, strict=True):
            reports.file_taken(self.record, file, repeated, now_ms)
            for shortfall in take.shortfalls:
                reports.shortfall(self.record, file.sequence, shortfall, after_gap=after_gap)
            after_gap = after_gap and file.late
        if any(not file.late for file in files):
            skew_ms = now_ms - self.record.last_sealed_at_ms
            reports.metrics.clock_skew_seconds.labels(self.record.sender).set(skew_ms / 1000)

    def _settled(self, collected: list[tuple[Opened, Take]]) -> tuple[TakenFile, ...]:
        """Screen and validate every envelope of the batch, all in one call."""
        rules = self._at.rules
        envelopes = [
            entry
            for opened, _ in collected
            for entry in opened.file.content.entries
            if isinstance(entry, Envelope)
        ]
        refusals = [screen(envelope, rules) for envelope in envelopes]
        asked = [e for e, refusal in zip(envelopes, refusals, strict=True) if refusal is None]
        items = [(envelope.channel, envelope.payload) for envelope in asked]
        verdicts = iter(self._at.validators.validate_many(items) if items else ())
        settled = iter(
            [
                settle(envelope, next(verdicts), rules) if refusal is None else refusal
                for envelope, refusal in zip(envelopes, refusals, strict=True)
            ]
        )
        return tuple(_taken_file(opened, take, settled) for opened, take in collected)

    def _silent_s(self) -> float:
        return self._at.clock_s() - self._moved_at_s

    def _hold(self, gap: Gap) -> None:
        """Record what is held for."""
        records = gap_watch.records(self.state, gap, self._gaps, self._at.clock_ms())
        self._at.journal.set_streams([self.record], {self.state.stream_id: records})
        self._held = gap
        self._gaps_are(records)

    def _go_past(self, gap: Gap, by: str) -> None:
        state = skip_to(self.state, gap.last + 1)
        records = gap_watch.records(state, None, self._gaps, self._at.clock_ms())
        record = self._record_of(state)
        self._at.journal.set_streams([record], {state.stream_id: records})
        told = self._watch is not None and self._watch.reported
        self._standing, self.record = replace(self._standing, state=state), record
        self._gaps_are(records)
        # What did not fit the chain may fit it after the gap.
        self._at.files.forget()
        if not told:
            self._at.reports.gap_opened(record, gap, refused=self._search.next_is_refused)
        self._at.reports.gap_given_up(record, gap, by)

    def _gaps_are(self, gaps: tuple[GapRecord, ...]) -> None:
        closed = gap_watch.closed(self._gaps, gaps)
        self._gaps = gaps
        held = [gap for gap in gaps if not gap.given_up]
        self._held = Gap(held[0].first_sequence, held[0].last_sequence) if held else None
        self._at.reports.gaps_closed(self.record, closed)

    def _record_of(self, state: StreamState) -> StreamRecord:
        return replace(
            self.record, next_sequence=state.next_sequence, last_digest=state.last_digest
        )


def _taken_file(opened: Opened, take: Take, settled: Iterator[NewMessage | Rejected]) -> TakenFile:
    file = opened.file
    messages: list[NewMessage] = []
    refused: list[RefusedThing] = []
    tombstones: list[Tombstone] = []
    for entry in file.content.entries:
        if isinstance(entry, Tombstone):
            tombstones.append(entry)
            continue
        result = next(settled)
        if isinstance(result, Rejected):
            refused.append(refused_message(file.stream_id, file.sequence, entry, result))
        else:
            messages.append(result)
    return TakenFile(
        file.sequence,
        file.link,
        len(file.content.entries),
        take.late,
        tuple(messages),
        tuple(tombstones),
        tuple(refused),
    )
