from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferry_format.keys import KeyFile, KeyKind
from ferry_format.reasons import Refused, StorageFault, Unavailable
from ferry_runtime import audit
from ferry_runtime.audit import AuditTrail
from ferry_runtime.audit_verify import TrailReport, verify_trail
from tests.simulator.configured_site import make_key

DAY_MS = 86_400_000
NOON_MS = 1_795_435_200_000  # 2026-11-23T12:00:00Z


class Clock:
    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path, KeyKind.AUDIT, "audit")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trail"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(folder: Path, key: KeyFile, clock: Clock) -> Callable[..., AuditTrail]:
    return lambda **more: AuditTrail(folder, "front-1", key, now_ms=clock, **more)


def records(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(folder.glob("audit-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def events(folder: Path) -> list[str]:
    return [record["event"] for record in records(folder)]


def check(folder: Path, key: KeyFile) -> TrailReport:
    assert key.public is not None
    return verify_trail(folder, key.public)


def test_a_record_has_number_time_event_fields_and_chain(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile
) -> None:
    trail = opened()
    trail.record("admitted", channel="adt", message_id=b"\xab")
    trail.close()
    path = folder / "audit-2026-11-23.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    found = records(folder)
    assert [one["n"] for one in found] == [1, 2, 3, 4, 5]
    assert found[2]["event"] == "admitted"
    assert found[2]["at"] == "2026-11-23T12:00:00.000Z"
    assert found[2]["fields"] == {"channel": "adt", "message_id": "ab"}
    assert check(folder, key).is_whole


def test_records_wait_for_flush_and_durable_ones_do_not(
    opened: Callable[..., AuditTrail], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda number: (syncs.append(number), real(number))[1])
    trail = opened()
    syncs.clear()
    trail.record("one")
    assert "one" not in events(folder)
    trail.flush()
    assert ("one" in events(folder), syncs) == (True, [])
    trail.record("two", durable=True)
    assert ("two" in events(folder), len(syncs)) == (True, 1)
    trail.close()


def test_checkpoints_come_each_n_records(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile
) -> None:
    trail = opened(checkpoint_records=3)
    for number in range(7):
        trail.record("one", number=number)
    trail.flush()
    found = [event for event in events(folder) if event in ("one", "checkpoint")]
    assert found == ["checkpoint", *["one"] * 3, "checkpoint", *["one"] * 3, "checkpoint", "one"]
    assert check(folder, key).unsigned_records == 1
    trail.close()
    assert check(folder, key).was_closed


def test_a_restart_continues_the_chain(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile
) -> None:
    opened().close()
    opened().close()
    report = check(folder, key)
    assert (report.is_whole, report.records, report.last_n) == (True, 8, 8)


@pytest.mark.parametrize("torn", [b'{"agent":"fro', b"\0" * 5000, b"not json\n", b"\n\n"])
def test_a_torn_end_is_cut_kept_aside_and_recorded(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile, torn: bytes
) -> None:
    opened().close()
    path = folder / "audit-2026-11-23.jsonl"
    with path.open("ab") as file:
        file.write(torn)
    opened().close()
    assert (folder / "audit-2026-11-23.jsonl.torn-1").read_bytes() == torn
    (cut,) = [one for one in records(folder) if one["event"] == "audit_torn_end_cut"]
    assert cut["fields"]["bytes"] == len(torn)
    assert cut["fields"]["file"] == path.name
    assert check(folder, key).is_whole


def test_every_place_at_which_a_crash_can_tear_the_file_is_mended(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile
) -> None:
    trail = opened()
    trail.record("one", text="张三")
    trail.close()
    path = folder / "audit-2026-11-23.jsonl"
    data = path.read_bytes()
    for size in range(0, len(data), 11):
        for made in folder.iterdir():
            made.unlink()
        path.write_bytes(data[:size])
        opened().close()
        assert check(folder, key).is_whole, size


def test_a_new_day_begins_a_new_file_after_a_checkpoint(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile, clock: Clock
) -> None:
    trail = opened()
    trail.record("one")
    clock.now_ms += DAY_MS
    trail.record("two")
    trail.close()
    first = (folder / "audit-2026-11-23.jsonl").read_bytes().splitlines()
    second = (folder / "audit-2026-11-24.jsonl").read_bytes().splitlines()
    assert json.loads(first[-1])["event"] == "checkpoint"
    assert json.loads(second[0])["event"] == "two"
    assert check(folder, key).is_whole


def test_a_clock_set_back_does_not_reopen_an_earlier_file(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile, clock: Clock
) -> None:
    opened().close()
    clock.now_ms -= 3 * DAY_MS
    trail = opened()
    trail.record("one")
    trail.close()
    assert [path.name for path in folder.iterdir()] == ["audit-2026-11-23.jsonl"]
    assert check(folder, key).is_whole


def test_nothing_is_deleted_unless_asked_and_never_before_180_days(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile, clock: Clock
) -> None:
    with pytest.raises(ValueError, match="180"):
        opened(keep_days=179)
    opened().close()
    clock.now_ms += 1000 * DAY_MS
    opened().close()
    assert len(list(folder.iterdir())) == 2
    assert check(folder, key).is_whole


def test_expired_files_go_and_the_trail_says_where_it_begins(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile, clock: Clock
) -> None:
    trail = opened(keep_days=180)
    for _ in range(183):
        clock.now_ms += DAY_MS
        trail.record("one")
    trail.close()
    names = sorted(path.name for path in folder.iterdir())
    assert (len(names), names[0], names[-1]) == (
        181,
        "audit-2026-11-26.jsonl",
        "audit-2027-05-25.jsonl",
    )
    report = check(folder, key)
    assert report.problems == ()
    assert report.first_n > 1


def test_a_clock_that_jumps_ahead_deletes_nothing(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile, clock: Clock
) -> None:
    trail = opened(keep_days=180)
    trail.record("one")
    clock.now_ms += 10_000 * DAY_MS
    trail.record("two")
    trail.close()
    assert len(list(folder.iterdir())) == 2
    assert check(folder, key).is_whole


def test_a_crash_amid_deleting_leaves_a_trail_that_explains_itself(
    opened: Callable[..., AuditTrail],
    folder: Path,
    key: KeyFile,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail = opened()
    for _ in range(184):
        clock.now_ms += DAY_MS
        trail.record("one")
    trail.close()
    deleted: list[str] = []
    real = Path.unlink

    def first_only(path: Path) -> None:
        if deleted:
            raise OSError(5, "Input/output error")
        deleted.append(path.name)
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", first_only)
        with pytest.raises(StorageFault, match="Input/output"):
            opened(keep_days=180)
    assert deleted == ["audit-2026-11-23.jsonl"]
    assert check(folder, key).problems == ()
    opened(keep_days=180).close()
    assert len(list(folder.iterdir())) == 181
    assert check(folder, key).problems == ()


def test_two_writers_are_refused(opened: Callable[..., AuditTrail]) -> None:
    trail = opened()
    with pytest.raises(StorageFault, match="another process"):
        opened()
    trail.close()
    opened().close()


def test_another_kind_of_key_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(Refused):
        AuditTrail(folder, "front-1", make_key(tmp_path, KeyKind.SIGN, "front-1"))


def test_a_failed_write_is_taken_back_and_written_later(
    opened: Callable[..., AuditTrail],
    folder: Path,
    key: KeyFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail = opened()
    size = (folder / "audit-2026-11-23.jsonl").stat().st_size
    real = os.write

    def half(number: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(28, "No space left on device")
        return real(number, data[: len(data) // 2])

    trail.record("one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(Unavailable, match="No space left"):
            trail.flush()
    assert (folder / "audit-2026-11-23.jsonl").stat().st_size == size
    trail.close()
    assert "one" in events(folder)
    assert check(folder, key).is_whole


def test_what_waits_is_bounded(
    opened: Callable[..., AuditTrail], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "WAITING_BYTES_MAX", 1000)
    trail = opened()

    def full(_number: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        faults = []
        for _ in range(100):
            try:
                trail.record("one", text="x" * 100)
            except Unavailable as fault:
                faults.append(fault.where)
    assert len(faults) > 80
    assert trail._waiting_bytes < 3000
    trail.record("after room was made", durable=True)
    assert events(folder)[-1] == "after room was made"
    trail.close()


def test_after_close_nothing_is_recorded(opened: Callable[..., AuditTrail]) -> None:
    trail = opened()
    trail.close()
    trail.close()
    with pytest.raises(StorageFault):
        trail.record("late")


def test_the_folder_above_two_trails_names_them(
    opened: Callable[..., AuditTrail], folder: Path, key: KeyFile
) -> None:
    opened().close()
    report = check(folder.parent, key)
    assert not report.is_whole
    assert f"trails lie in {folder.name} below it" in str(report.problems[0])
