"""Large ferry files beside the spool's database: durable before they count, gone with their row."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import StorageFault, Unavailable
from outer_agent.spool import Spool
from outer_agent.spool_files import LARGE_BYTES
from tests.unit.outer_agent.test_commit import Outer, message
from tests.unit.outer_agent.test_spool import file

LARGE = b"x" * (2 * LARGE_BYTES)


@pytest.fixture
def outer(tmp_path: Path) -> Outer:
    return Outer(tmp_path)


def kept(outer: Outer) -> list[int]:
    return sorted(int(path.name) for path in (outer.folder / "spool.files").iterdir())


def test_a_large_file_is_spooled_beside_the_database_and_read_back(outer: Outer) -> None:
    outer.committer.commit([message(body=b"small")])
    outer.committer.commit([message(body=LARGE)])
    assert kept(outer) == [2]
    assert (outer.folder / "spool.db").stat().st_size < LARGE_BYTES
    outer.spool.mark_published(2)
    medium = outer.folder / "medium"
    published = [path.read_bytes() for path in sorted(medium.glob("*/*/*.ferry"))]
    reader = Spool.open_read_only(outer.folder / "spool.db")
    assert [one.sealed.data for one in reader.files(1, 2)] == published
    reader.close()


def test_a_large_file_is_published_after_a_crash_between_spool_and_medium(outer: Outer) -> None:
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.visibility_unknown = True
    outer.committer.stop_waiting()
    outer.committer.commit([message(body=LARGE)])
    outer.restart()
    assert [len(content.entries) for content in outer.files()] == [1]


def test_what_no_row_names_is_removed_at_the_start(outer: Outer) -> None:
    outer.committer.commit([message(body=LARGE)])
    (outer.folder / "spool.files" / f"{2:020d}").write_bytes(b"left by a crash")
    outer.restart()
    assert kept(outer) == [1]


def test_a_medium_that_takes_nothing_leaves_nothing_in_the_spool(outer: Outer) -> None:
    outer.medium.fail_stage = Unavailable(reasons.MEDIUM_FULL)
    [outcome] = outer.committer.commit([message(body=LARGE)])
    assert isinstance(outcome, Unavailable)
    assert kept(outer) == []


def test_a_spool_without_room_leaves_nothing_on_the_medium(
    outer: Outer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: object) -> None:
        raise Unavailable(reasons.MEDIUM_FULL)

    monkeypatch.setattr(outer.spool, "write_aside", full)
    [outcome] = outer.committer.commit([message(body=LARGE)])
    assert isinstance(outcome, Unavailable)
    assert list((outer.folder / "medium").glob("**/*.ferry")) == []
    assert list((outer.folder / "medium" / ".stage").iterdir()) == []


def test_a_spool_whose_disk_failed_ends_the_commit(
    outer: Outer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_file: object) -> None:
        raise StorageFault(reasons.STORAGE_FAILED)

    monkeypatch.setattr(outer.spool, "write_aside", failing)
    with pytest.raises(StorageFault):
        outer.committer.commit([message(body=LARGE)])
    assert outer.spool.head().last_sequence == 0


def test_a_large_file_that_was_withdrawn_gives_its_room_back(outer: Outer) -> None:
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.publish_failures = 1
    [outcome] = outer.committer.commit([message(body=LARGE)])
    assert isinstance(outcome, Unavailable)
    assert kept(outer) == []


def test_what_is_pruned_goes_from_beside_the_database_too(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 0)
    for sequence in (1, 2):
        one = file(sequence, LARGE_BYTES, sealed_at_ms=sequence * 100)
        spool.write_aside(one)
        spool.commit(one, {}, [], published_up_to=sequence - 1)
    spool.mark_published(2)
    assert spool.prune(150, 0, 1 << 40).files == 1
    assert [path.name for path in (tmp_path / "spool.files").iterdir()] == [f"{2:020d}"]
    spool.close()
