"""Check an audit trail with nothing but its files and the public key. Changes nothing.

What is seen from the files alone: any edit, insertion, removal or reordering of records, anywhere
before the last checkpoint, whether or not the chain was computed anew behind it; and any of these
after the last checkpoint unless the chain was computed anew (`unsigned_records` says how many
records that concerns).

What is not: a trail cut off at the end. The shorter trail is whole in itself if its end is cut at a
line. It is seen against a checkpoint noted elsewhere (the agent's log has each one): give it as
`expected`, and the trail must hold exactly that record. A trail that was not ended by a close says
so (`was_closed`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ferry_format.keys import PublicKey
from ferry_runtime import audit_format
from ferry_runtime.audit_end import trail_files
from ferry_runtime.audit_format import Record, day_in_name

PROBLEMS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A record known by its number and hash."""

    n: int
    digest: str


@dataclass(frozen=True, slots=True)
class TrailProblem:
    """One thing wrong with the trail. `line` counts from 1 in `file`."""

    file: str
    line: int | None
    problem: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line} {self.problem}"
            if self.line
            else f"{self.file} {self.problem}"
        )


@dataclass(frozen=True, slots=True)
class TrailReport:
    """What a trail holds and whether it is whole."""

    files: int
    records: int
    first_n: int
    last_n: int
    checkpoints: int
    last_checkpoint: Checkpoint | None
    unsigned_records: int
    was_closed: bool
    problems: tuple[TrailProblem, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(slots=True)
class _Walk:
    key: PublicKey
    expected: Checkpoint | None
    records: int = 0
    checkpoints: int = 0
    unsigned: int = 0
    first: Record | None = None
    last: Record | None = None
    event_before_last: str = ""
    last_checkpoint: Checkpoint | None = None
    unsigned_expiries: list[Checkpoint] = field(default_factory=list)
    expiries: list[Checkpoint] = field(default_factory=list)
    found_expected: bool = False
    problems: list[TrailProblem] = field(default_factory=list)

    def report(self, file: str, line: int | None, problem: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(TrailProblem(file, line, problem))

    def take(self, record: Record, file: str, line: int) -> None:
        if self.last is None:
            self.first = record
        elif record.n != self.last.n + 1:
            self.report(file, line, f"is record {record.n} where {self.last.n + 1} must follow")
        elif record.prev != self.last.digest:
            self.report(file, line, f"does not follow record {self.last.n} as that stands")
        self._checkpoint(record, file, line)
        if record.event == audit_format.EXPIRED:
            self._expiry(record)
        if self.expected is not None and record.n == self.expected.n:
            self.found_expected = record.digest == self.expected.digest
        self.event_before_last = self.last.event if self.last is not None else ""
        self.last = record
        self.records += 1

    def _expiry(self, record: Record) -> None:
        n, digest = record.fields.get("last_n"), record.fields.get("last_digest")
        if isinstance(n, int) and isinstance(digest, str):
            self.unsigned_expiries.append(Checkpoint(n, digest))

    def _checkpoint(self, record: Record, file: str, line: int) -> None:
        if not record.is_checkpoint:
            self.unsigned += 1
            return
        try:
            audit_format.verify_checkpoint(record, self.key)
        except ValueError as error:
            self.unsigned += 1
            self.report(file, line, str(error))
        else:
            self.unsigned = 0
            self.expiries += self.unsigned_expiries
            self.unsigned_expiries.clear()
            self.checkpoints += 1
            self.last_checkpoint = Checkpoint(record.n, record.digest)


def verify_trail(
    folder: Path,
    public_key: PublicKey,
    expected: Checkpoint | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> TrailReport:
    """Check the whole trail in `folder`; `advance` is told of each record's bytes.

    Raises OSError if it cannot be read.
    """
    walk = _Walk(public_key, expected)
    files = trail_files(folder)
    for path in files:
        for number, (line, is_whole) in enumerate(_lines(path), 1):
            advance(len(line) + is_whole)
            try:
                record = audit_format.parse_line(line) if is_whole else None
            except ValueError as error:
                walk.report(path.name, number, str(error))
                continue
            if record is None:
                walk.report(path.name, number, "has no line end, or is too long for a record")
            else:
                walk.take(record, path.name, number)
    _check_ends(walk, folder, [path.name for path in files])
    return TrailReport(
        len(files),
        walk.records,
        walk.first.n if walk.first else 0,
        walk.last.n if walk.last else 0,
        walk.checkpoints,
        walk.last_checkpoint,
        walk.unsigned,
        _was_closed(walk),
        tuple(walk.problems),
    )


def _was_closed(walk: _Walk) -> bool:
    return (
        walk.last is not None
        and walk.last.is_checkpoint
        and walk.event_before_last == audit_format.CLOSED
    )


def _check_ends(walk: _Walk, folder: Path, files: list[str]) -> None:
    if walk.first is None or walk.last is None:
        walk.report(str(folder), None, f"holds no audit record{_trails_below(folder)}")
    elif not _begins_well(walk.first, walk.expiries):
        walk.report(
            files[0], 1, f"begins at record {walk.first.n}, and nothing says where the rest went"
        )
    elif walk.last_checkpoint is None:
        walk.report(files[-1], None, "holds no checkpoint that the key signed")
    if walk.expected is not None and not walk.found_expected:
        walk.report(
            str(folder),
            None,
            f"does not hold the expected record {walk.expected.n}: cut or changed",
        )


def _trails_below(folder: Path) -> str:
    """Names the folders of the inner's trails where the one above them was given."""
    names = sorted({path.parent.name for path in folder.glob("*/*") if day_in_name(path.name)})
    return f"; trails lie in {', '.join(names)} below it: verify each" if names else ""


def _begins_well(first: Record, expiries: list[Checkpoint]) -> bool:
    """The beginning is record 1, or a checkpoint covers the record of what was deleted before it.

    A crash between that record and the last deletion leaves a beginning that lies further back.
    """
    if first.n == 1:
        return first.prev == audit_format.NO_RECORD
    return any(
        (first.n - 1, first.prev) == (expiry.n, expiry.digest) or first.n <= expiry.n
        for expiry in expiries
    )


def readable_records(folder: Path) -> Iterator[Record]:
    """Every record in `folder`, in order, without what a crash tore. Checks no chain.

    Raises OSError if the trail cannot be read.
    """
    for path in trail_files(folder):
        for line, is_whole in _lines(path):
            with suppress(ValueError):
                if is_whole:
                    yield audit_format.parse_line(line)


def _lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Each line without its end, and whether it had one and is not too long."""
    limit = audit_format.LINE_BYTES_MAX + 1
    with path.open("rb") as file:
        while line := file.readline(limit):
            yield line.removesuffix(b"\n"), line.endswith(b"\n")
