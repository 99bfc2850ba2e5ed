"""One trusted stream on its way into the journal: the next files, late ones, and what is missing.

A thin shell: stream rules, message rules and gap rules are decided elsewhere, in pure functions.
State in memory changes only after the journal has committed it, so whatever is raised on the way
(validators or medium unavailable, a storage fault) leaves the stream where it was.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ferry_format.envelope import Tombstone
from ferry_format.reasons import Refused
from ferry_format.stream import Gap, Link, StreamState, skip_to
from inner_agent import channel_gaps, gap_watch
from inner_agent.file_opening import Opened
from inner_agent.gap_watch import GoOn, Report, Watch
from inner_agent.intake_decisions import (
    Standing,
    Take,
    refused_message,
    screen,
    settle,
    to_judge,
)
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.journal_batch import Batch, NewMessage, Taken, TakenFile
from inner_agent.object_table import NewPart
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
        state = StreamState(
            record.stream_id,
            record.next_sequence,
            record.last_digest,
            tuple(_gap(one) for one in self._gaps if one.last_sequence < record.next_sequence),
        )
        self._standing = Standing(state, record.sender, journal.progress(record.stream_id))
        self._missing = channel_gaps.of_policy(journal.missing(record.stream_id), self._holds)
        self._held = journal.held(record.stream_id)
        self._awaited = _awaited(self._gaps, state)
        self._watch = (
            None
            if self._awaited is None
            else Watch(self._awaited, workplace.clock_s(), reported=True)
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
        taken = self._take_late() + self._release()
        if self._moved:
            # A stream that moved since the last look misses nothing; spare it the listing.
            self._moved = False
            return taken
        missing = self._search.missing(self._standing)
        if missing is None and self._silent_s() >= self._at.gap_wait_s:
            self._search.recheck(self._standing)
        if missing is None and self._awaited is not None:
            return taken
        watch, step = gap_watch.look(self._watch, missing, self._at.clock_s(), self._at.gap_wait_s)
        match step:
            case Report(gap):
                self._await(gap)
                self._at.reports.gap_opened(self.record, gap, refused=self._search.next_is_refused)
            case GoOn(gap):
                taken += self._go_past(gap, None)
                return taken
            case _ if watch is not None and watch.reported and watch.gap != self._awaited:
                self._await(watch.gap)
        self._watch = watch
        return taken

    def give_up(self, operator: str) -> Gap | None:
        """Wait for nothing that is missing now, by an operator's order.

        From the first to the last missing file; None if nothing is missing, or where no later file
        of the stream has been verified. Raises as `take_next`.
        """
        missing = self._search.missing(self._standing, thorough=True)
        given_up: list[Gap] = []
        if missing is not None and missing.can_continue and self._go_past(missing.gap, operator):
            given_up.append(missing.gap)
        waiting = [one for one in self._gaps if not one.given_up and _gap(one) != self._awaited]
        if waiting:
            self._give_up_passed(waiting, operator)
            given_up += map(_gap, waiting)
        if not given_up:
            return None
        return Gap(min(one.first for one in given_up), max(one.last for one in given_up))

    def finish(self, operator: str) -> bool:
        """Take all that can be taken, so that the stream can be retired; raises as `take_next`.

        False if a channel waits for missing messages, or files are missing before a later one that
        was verified. What stands in the next place and was refused, with nothing lawful after it,
        keeps nobody waiting: it is given up in the operator's name.
        """
        while self.take_next():
            pass
        missing = self._search.missing(self._standing, thorough=True)
        if channel_gaps.waiting_channels(self._missing) or (missing and missing.can_continue):
            return False
        while self._release():
            pass
        if missing is not None:
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

    def _release(self) -> int:
        """Give some more of what is held and waits for nothing its place; how many, roughly."""
        if not self._held:
            return 0
        stream_id = self.state.stream_id
        releases = self._releases(self._missing, frozenset(self._held))
        released = self._at.journal.release(stream_id, releases)
        if released:
            self._held = self._at.journal.held(stream_id)
            self._at.reports.held(self._held)
            self._at.poke()
        return released

    def _take(
        self, sequences: Iterable[int], *, in_order: bool, after: _PassedGap | None = None
    ) -> int:
        """Take files in one commit; the first ones after a gap, if `after` says so."""
        standing, links, size = self._standing, dict[int, Link](), 0
        if after is not None:
            standing = replace(standing, state=skip_to(standing.state, after.gap.last + 1))
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
            self._commit(collected, standing, after)
        return len(collected)

    def _commit(
        self, collected: list[tuple[Opened, Take]], standing: Standing, after: _PassedGap | None
    ) -> None:
        files = self._settled(collected)
        now_ms = self._at.clock_ms()
        missing = self._missing_after(collected, after)
        waiting = channel_gaps.waiting_channels(missing)
        held = channel_gaps.waiting_channels(self._missing) | waiting | frozenset(self._held)
        awaited = None if after is not None else self._awaited
        gaps = gap_watch.records(
            standing.state, awaited, self._gaps, now_ms, channels_wait=bool(waiting)
        )
        record = replace(
            self.record,
            next_sequence=standing.state.next_sequence,
            last_digest=standing.state.last_digest,
            last_file_at_ms=now_ms,
            last_sealed_at_ms=max(opened.file.content.sealed_at_ms for opened, _ in collected),
        )
        batch = Batch(
            now_ms,
            record,
            files,
            standing.progress,
            gaps if gaps != self._gaps else None,
            missing if missing != self._missing else None,
            held,
            self._releases(missing, held),
        )
        began = time.perf_counter()
        taken = self._at.journal.take(batch)
        seconds = time.perf_counter() - began
        # Before anything is told: the message should be on its way to the sink by then.
        self._at.poke()
        self._at.reports.metrics.commit_seconds.observe(seconds)
        self._standing, self.record = standing, record
        if held:
            self._held = self._at.journal.held(record.stream_id)
            self._at.reports.held(self._held)
        if after is not None:
            self._tell_passed(after, gaps)
        if batch.gaps is not None:
            self._gaps_are(gaps)
        before, self._missing = self._missing, missing
        self._tell(collected, files, taken, now_ms, after_gap=after is not None)
        self._at.reports.channels_wait(record, before, missing)

    def _missing_after(
        self, collected: list[tuple[Opened, Take]], after: _PassedGap | None
    ) -> channel_gaps.Missing:
        """What is missing of each channel once these files are taken."""
        missing = self._missing
        for index, (opened, take) in enumerate(collected):
            if take.late:
                missing = channel_gaps.filled(missing, opened.file.content.entries)
            elif after is not None and index == 0:
                is_given_up = after.given_up_by is not None
                holds = _never if is_given_up else self._holds
                missing = channel_gaps.added(missing, take.shortfalls, holds)
        return missing

    def _releases(
        self, missing: channel_gaps.Missing, held: frozenset[str]
    ) -> dict[str, int | None]:
        return {channel: channel_gaps.released_before(missing, channel) for channel in held}

    def _holds(self, channel: str) -> bool:
        rule = self._at.rules.get(channel)
        return rule is not None and rule.holds_on_gap

    def _tell(
        self,
        collected: list[tuple[Opened, Take]],
        files: tuple[TakenFile, ...],
        taken: Taken,
        now_ms: int,
        *,
        after_gap: bool,
    ) -> None:
        reports = self._at.reports
        for (_, take), file in zip(collected, files, strict=True):
            reports.file_taken(self.record, file, taken, now_ms)
            for shortfall in take.shortfalls:
                reports.shortfall(self.record, file.sequence, shortfall, after_gap=after_gap)
            after_gap = False
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
            if not isinstance(entry, Tombstone)
        ]
        screened = [screen(envelope, rules) or to_judge(envelope, rules) for envelope in envelopes]
        items = [
            (envelope.channel, payload)
            for envelope, payload in zip(envelopes, screened, strict=True)
            if isinstance(payload, bytes)
        ]
        verdicts = iter(self._at.validators.validate_many(items) if items else ())
        settled = iter(
            [
                settle(envelope, next(verdicts) if isinstance(one, bytes) else one, rules)
                for envelope, one in zip(envelopes, screened, strict=True)
            ]
        )
        return tuple(_taken_file(opened, take, settled) for opened, take in collected)

    def _silent_s(self) -> float:
        return self._at.clock_s() - self._moved_at_s

    def _await(self, gap: Gap) -> None:
        """Record what stops the stream."""
        records = self._records(self.state, gap)
        self._at.journal.set_streams([self.record], {self.state.stream_id: records})
        self._gaps_are(records)
        self._awaited = gap

    def _go_past(self, gap: Gap, operator: str | None) -> int:
        """Go on after a gap, together with the file after it; returns how many files were taken."""
        # What did not fit the chain may fit it after the gap.
        self._at.files.forget()
        return self._take(
            itertools.count(gap.last + 1), in_order=True, after=_PassedGap(gap, operator)
        )

    def _tell_passed(self, after: _PassedGap, gaps: tuple[GapRecord, ...]) -> None:
        self._moved, self._moved_at_s = True, self._at.clock_s()
        if self._watch is None or not self._watch.told(after.gap):
            refused = self._search.next_is_refused
            self._at.reports.gap_opened(self.record, after.gap, refused=refused)
        self._watch = None
        is_given_up = any(one.given_up and _gap(one).last == after.gap.last for one in gaps)
        if is_given_up:
            by = after.given_up_by or "policy"
            self._at.reports.gap_given_up(self.record, after.gap, by)

    def _give_up_passed(self, waiting: list[GapRecord], operator: str) -> None:
        """Release what waits for gaps that were passed."""
        missing = channel_gaps.given_up(self._missing)
        records = tuple(
            replace(one, given_up=True) if one in waiting else one for one in self._gaps
        )
        stream_id = self.state.stream_id
        self._at.journal.set_streams([self.record], {stream_id: records}, {stream_id: missing})
        before, self._missing = self._missing, missing
        self._gaps_are(records)
        for one in waiting:
            self._at.reports.gap_given_up(self.record, _gap(one), operator)
        self._at.reports.channels_wait(self.record, before, missing)
        self._release()

    def _records(self, state: StreamState, awaited: Gap | None) -> tuple[GapRecord, ...]:
        waits = bool(channel_gaps.waiting_channels(self._missing))
        now_ms = self._at.clock_ms()
        return gap_watch.records(state, awaited, self._gaps, now_ms, channels_wait=waits)

    def _gaps_are(self, gaps: tuple[GapRecord, ...]) -> None:
        closed = gap_watch.closed(self._gaps, gaps)
        self._gaps = gaps
        self._awaited = _awaited(gaps, self.state)
        self._at.reports.gaps_closed(self.record, closed)


@dataclass(frozen=True, slots=True)
class _PassedGap:
    """A gap that is passed, by an operator's order or (None) after the wait."""

    gap: Gap
    given_up_by: str | None


def _gap(record: GapRecord) -> Gap:
    return Gap(record.first_sequence, record.last_sequence)


def _awaited(gaps: Iterable[GapRecord], state: StreamState) -> Gap | None:
    """The stretch that stops the stream, if one was recorded."""
    found = (_gap(one) for one in gaps if one.first_sequence >= state.next_sequence)
    return next(found, None)


def _never(_channel: str) -> bool:
    return False


def _taken_file(
    opened: Opened, take: Take, settled: Iterator[NewMessage | NewPart | Rejected]
) -> TakenFile:
    file = opened.file
    messages: list[NewMessage] = []
    parts: list[NewPart] = []
    refused: list[RefusedThing] = []
    tombstones: list[Tombstone] = []
    for entry in file.content.entries:
        if isinstance(entry, Tombstone):
            tombstones.append(entry)
            continue
        result = next(settled)
        if isinstance(result, Rejected):
            refused.append(refused_message(file.stream_id, file.sequence, entry, result))
        elif isinstance(result, NewPart):
            parts.append(result)
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
        tuple(parts),
    )
