"""What an auditor sees of a changed trail, and what only a checkpoint noted elsewhere shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ferry_format.keys import KeyFile, KeyKind
from ferry_runtime import audit_format
from ferry_runtime.audit import AuditTrail
from ferry_runtime.audit_verify import Checkpoint, TrailReport, verify_trail
from tests.simulator.configured_site import make_key

DAY_MS = 86_400_000
START_MS = 1_795_420_800_000 - 12 * 3_600_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        self.now_ms += 1000
        return self.now_ms


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path, KeyKind.AUDIT, "audit")


@pytest.fixture
def folder(tmp_path: Path, key: KeyFile) -> Path:
    """Two days, a checkpoint each five records, closed."""
    clock = Clock()
    folder = tmp_path / "trail"
    trail = AuditTrail(folder, "front-1", key, checkpoint_records=5, now_ms=clock)
    for day in range(2):
        for number in range(12):
            trail.record("admitted", channel="adt", message_id=bytes([day, number]))
        clock.now_ms += DAY_MS
    trail.close()
    return folder


def check(folder: Path, key: KeyFile, expected: Checkpoint | None = None) -> TrailReport:
    assert key.public is not None
    return verify_trail(folder, key.public, expected)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("audit-*.jsonl"))


def read(folder: Path) -> list[tuple[Path, bytes]]:
    return [(path, line) for path in files(folder) for line in path.read_bytes().splitlines()]


def write(folder: Path, lines: list[tuple[Path, bytes]]) -> None:
    for path in files(folder):
        path.write_bytes(b"".join(line + b"\n" for owner, line in lines if owner == path))


def chained_anew(lines: list[tuple[Path, bytes]]) -> list[tuple[Path, bytes]]:
    """The records numbered and chained anew, as somebody without the key can; signatures kept."""
    found: list[tuple[Path, bytes]] = []
    previous = audit_format.NO_RECORD
    for n, (path, line) in enumerate(lines, 1):
        record = json.loads(line) | {"n": n, "prev": previous}
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = audit_format.line_digest(text.encode())
        found.append((path, text.encode()))
    return found


def test_the_untouched_trail_is_whole(folder: Path, key: KeyFile) -> None:
    report = check(folder, key)
    assert report.problems == ()
    assert (report.files, report.first_n, report.last_n) == (2, 1, report.records)
    assert report.was_closed
    assert report.unsigned_records == 0


def test_every_changed_byte_is_seen(folder: Path, key: KeyFile) -> None:
    path = files(folder)[0]
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert not check(folder, key).is_whole, place


def test_every_removed_record_is_seen_but_the_last(folder: Path, key: KeyFile) -> None:
    lines = read(folder)
    for index in range(len(lines) - 1):
        write(folder, lines[:index] + lines[index + 1 :])
        assert not check(folder, key).is_whole, index


def test_every_pair_that_changed_places_is_seen(folder: Path, key: KeyFile) -> None:
    lines = read(folder)
    for index in range(len(lines) - 1):
        (first, one), (second, other) = lines[index : index + 2]
        write(folder, [*lines[:index], (first, other), (second, one), *lines[index + 2 :]])
        assert not check(folder, key).is_whole, index


Edit = Callable[[list[tuple[Path, bytes]]], list[tuple[Path, bytes]]]


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: lines[:5] + lines[6:],
        lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]],
        lambda lines: [*lines[:5], lines[5], *lines[5:]],
        lambda lines: [
            (path, line.replace(b'"adt"', b'"lab"') if at == 5 else line)
            for at, (path, line) in enumerate(lines)
        ],
        lambda lines: lines[3:],
    ],
    ids=["removed", "swapped", "inserted", "edited", "beginning removed"],
)
def test_a_chain_computed_anew_breaks_at_the_next_checkpoint(
    folder: Path, key: KeyFile, edit: Edit
) -> None:
    write(folder, chained_anew(edit(read(folder))))
    report = check(folder, key)
    assert any("signature does not hold" in one.problem for one in report.problems)


def test_a_removed_first_or_middle_file_is_seen(folder: Path, key: KeyFile) -> None:
    files(folder)[0].unlink()
    (problem,) = check(folder, key).problems
    assert "nothing says where the rest went" in problem.problem


def test_a_trail_signed_with_another_key_is_seen(
    folder: Path, tmp_path: Path, key: KeyFile
) -> None:
    other = make_key(tmp_path, KeyKind.AUDIT, "other")
    assert all("another key" in one.problem for one in check(folder, other).problems[:-1])
    assert not check(folder, other).is_whole
    assert check(folder, key).is_whole


def test_a_cut_end_is_whole_in_itself_and_seen_against_a_noted_checkpoint(
    folder: Path, key: KeyFile
) -> None:
    noted = check(folder, key).last_checkpoint
    assert noted is not None
    assert check(folder, key, noted).is_whole
    lines = read(folder)
    for kept in range(1, len(lines)):
        write(folder, lines[:kept])
        for path in files(folder):
            if not path.stat().st_size:
                path.unlink()
        assert not check(folder, key, noted).is_whole, kept
        if kept > 3:  # the beginning's own checkpoint is there
            assert check(folder, key).is_whole, kept
            assert not check(folder, key).was_closed, kept
        for path, _ in lines:
            path.touch()


def test_a_noted_checkpoint_shows_a_trail_rewritten_behind_it(folder: Path, key: KeyFile) -> None:
    noted = check(folder, key).last_checkpoint
    assert noted is not None
    report = check(folder, key, Checkpoint(noted.n, "0" * 64))
    assert "expected record" in report.problems[-1].problem


def test_a_half_line_at_the_end_is_seen(folder: Path, key: KeyFile) -> None:
    last = files(folder)[-1]
    with last.open("ab") as file:
        file.write(b'{"agent":')
    (problem,) = check(folder, key).problems
    assert (problem.file, "no line end" in problem.problem) == (last.name, True)


def test_records_added_while_no_agent_ran_are_counted_at_the_next_start(
    folder: Path, key: KeyFile
) -> None:
    path, last = read(folder)[-1]
    record = audit_format.parse_line(last)
    forged = audit_format.plain_line(
        n=record.n + 1,
        at_ms=START_MS,
        agent="front-1",
        event="forged",
        prev=record.digest,
        fields={},
    )
    with path.open("ab") as file:
        file.write(forged + b"\n")
    assert check(folder, key).unsigned_records == 1
    AuditTrail(folder, "front-1", key).close()
    opened = [json.loads(line) for _, line in read(folder) if b"audit_opened" in line][-1]
    assert opened["fields"]["unsigned_before"] == 1


def test_a_forged_expiry_does_not_explain_a_missing_beginning(folder: Path, key: KeyFile) -> None:
    first = read(folder)[0][0]
    before = audit_format.parse_line(first.read_bytes().splitlines()[-1])
    first.unlink()
    path, last = read(folder)[-1]
    record = audit_format.parse_line(last)
    forged = audit_format.plain_line(
        n=record.n + 1,
        at_ms=START_MS,
        agent="front-1",
        event=audit_format.EXPIRED,
        prev=record.digest,
        fields={"last_n": before.n, "last_digest": before.digest},
    )
    with path.open("ab") as file:
        file.write(forged + b"\n")
    assert not check(folder, key).is_whole
