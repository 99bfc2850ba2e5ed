"""Cleaning: by age and by size, lowest first, never what may still be needed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ferry_format.medium import layout
from ferry_format.medium import writer as writer_module
from ferry_format.medium.writer import MediumWriter

STREAM = bytes(range(16))
DAY_S = 86_400


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


class Medium:
    """A medium with files 1 to `count`, `old` of them two days old."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.writer = MediumWriter(root)

    def put(self, *sequences: int, age_s: float = 0, size: int = 100) -> None:
        for sequence in sequences:
            self.writer.publish(self.writer.stage(STREAM, sequence, b"d" * size))
            age(self.path(sequence), age_s)

    def path(self, sequence: int) -> Path:
        return self.root / layout.file_path(STREAM, sequence)

    def left(self) -> list[int]:
        return sorted(int(path.stem) for path in self.root.rglob("*.ferry"))

    def clean(self, *, never_from: int = 10**6, bytes_max: int | None = None) -> int:
        return self.writer.clean(
            STREAM,
            now_ms() - DAY_S * 1000,
            never_from_sequence=never_from,
            bytes_max=bytes_max,
        )


@pytest.fixture
def medium(tmp_path: Path) -> Medium:
    return Medium(tmp_path)


def test_old_files_go_and_young_ones_stay(medium: Medium) -> None:
    medium.put(1, 2, 3, age_s=2 * DAY_S)
    medium.put(4, 5)
    assert medium.clean() == 3
    assert medium.left() == [4, 5]


def test_nothing_that_may_be_needed_goes_however_old_or_large(medium: Medium) -> None:
    medium.put(1, 2, 3, age_s=2 * DAY_S)
    assert medium.clean(never_from=2, bytes_max=0) == 1
    assert medium.left() == [2, 3]


def test_by_size_the_lowest_go_until_the_rest_fits(medium: Medium) -> None:
    medium.put(*range(1, 11), size=100)
    assert medium.clean(bytes_max=450) == 6
    assert medium.left() == [7, 8, 9, 10]
    assert medium.clean(bytes_max=450) == 0


def test_without_a_size_young_files_stay(medium: Medium) -> None:
    medium.put(*range(1, 11))
    assert medium.clean() == 0


def test_a_resent_file_is_young_again(medium: Medium) -> None:
    medium.put(1, age_s=2 * DAY_S)
    medium.writer.publish_again(STREAM, 1, b"d" * 100)
    assert medium.clean() == 0


def test_a_call_does_bounded_work(medium: Medium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_CLEANED_PER_CALL", 2)
    medium.put(1, 2, 3, 4, 5, age_s=2 * DAY_S)
    assert [medium.clean() for _ in range(4)] == [2, 2, 1, 0]


def test_empty_shards_go_but_not_the_current_and_the_next(medium: Medium) -> None:
    later = 2 * layout.FILES_PER_SHARD + 1
    medium.put(1, age_s=2 * DAY_S)
    medium.put(later)
    medium.clean(never_from=later)
    shards = sorted(path.name for path in medium.path(1).parent.parent.iterdir())
    assert shards == [
        layout.shard_name(later),
        layout.shard_name(later + layout.FILES_PER_SHARD),
    ]
    medium.put(2)  # a resend into a shard that went
    assert medium.left() == [2, later]


def test_leftovers_of_a_crash_go_after_an_hour_and_strange_things_stay(medium: Medium) -> None:
    old, young = (medium.writer.stage(STREAM, sequence, b"d") for sequence in (1, 2))
    age(Path(old.path), 7200)
    stage = medium.root / layout.STAGE
    strange, folder = stage / "strange", stage / layout.staging_name(3, bytes(8))
    strange.write_bytes(b"")
    folder.mkdir()
    age(strange, 7200)
    age(folder, 7200)
    medium.clean()
    assert sorted(stage.iterdir()) == sorted([Path(young.path), strange, folder])


def test_what_is_no_file_is_neither_deleted_nor_in_the_way(medium: Medium) -> None:
    medium.put(2, age_s=2 * DAY_S)
    medium.path(1).mkdir()
    assert medium.clean() == 1
    assert medium.path(1).is_dir()


def test_usage_is_counted_once_and_kept_up_to_date(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    medium.put(1, 2, age_s=2 * DAY_S)
    first = medium.writer.usage()
    assert (first.files, first.bytes) == (2, 200)
    assert first.free_bytes > 0
    monkeypatch.setattr(os, "walk", None)
    medium.put(3, size=50)
    medium.writer.publish_again(STREAM, 3, b"d" * 70)
    medium.clean()
    last = medium.writer.usage()
    monkeypatch.undo()
    fresh = MediumWriter(medium.root).usage()
    assert (last.files, last.bytes) == (fresh.files, fresh.bytes) == (1, 70)
