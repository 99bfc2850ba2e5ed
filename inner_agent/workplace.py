"""What every stream of a verifier shares, and how a file is placed in its stream there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ferry_format.reasons import Refused
from ferry_format.stream import Link
from inner_agent.file_opening import FileOpening, Opened, UntrustedFiles
from inner_agent.intake_decisions import ChannelRule, Drop, Hold, Standing, Take, judge_file
from inner_agent.journal_writer import JournalWriter
from inner_agent.verifier_reports import Reports
from validators.verdict import Verdict


class Medium(UntrustedFiles, Protocol):
    """What the verifier needs of ferry_format.medium.reader.MediumReader."""

    def streams(self) -> list[bytes]:
        """The streams that have a directory."""

    def available(self, stream_id: bytes, from_sequence: int) -> Iterator[int]:
        """The sequences from one on whose names are there, ascending."""


class Validators(Protocol):
    """What the verifier needs of validators.worker.WorkerPool."""

    def validate_many(self, items: Sequence[tuple[str, bytes]]) -> list[Verdict]:
        """The verdicts in order; raises Unavailable, and then none of them is known."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one commit may carry: files, and bytes of ferry files (passed by at most one file)."""

    files_max: int = 64
    bytes_max: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every stream of a verifier shares.

    `clock_ms` tells unix milliseconds; `poke` hints that the journal has more.
    """

    medium: Medium
    files: FileOpening
    validators: Validators
    journal: JournalWriter
    reports: Reports
    rules: Mapping[str, ChannelRule]
    gap_wait_s: float
    limits: BatchLimits
    clock_ms: Callable[[], int]
    poke: Callable[[], None]
    clock_s: Callable[[], float] = time.monotonic

    def place(
        self, standing: Standing, opened: Opened, links: Mapping[int, Link] | None = None
    ) -> Take | None:
        """Place a file in its stream; None if there is nothing to take.

        `links` are those of files that are taken in the same commit. Raises Refused, and has the
        file in quarantine then.
        """
        before = links or {}

        def received(sequence: int) -> Link | None:
            return before.get(sequence) or self.journal.link(opened.file.stream_id, sequence)

        try:
            judgement = judge_file(standing, opened.file, received)
        except Refused as error:
            self.files.refuse(opened, error)
            raise
        match judgement:
            case Take():
                return judgement
            case Drop():
                self.reports.file_repeated(opened.file.stream_id, opened.file.sequence)
            case Hold():
                pass
        return None
