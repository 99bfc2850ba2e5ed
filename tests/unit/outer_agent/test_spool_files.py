"""Large ferry files beside the spool's database: durable before they count, gone with their row."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import StorageFault, Unavailable
from outer_agent.spool import Spool
from outer_agent.spool_files import LARGE_BYTES
from tests.unit.outer_agent.test_commit import NOW_MS, Outer, message
from tests.unit.outer_agent.test_spool import file

LARGE = b"x" * (2 * LARGE_BYTES)


@pytest.fixture
def outer(tmp_path: Path) -> Outer:
    return Outer(tmp_path)


def kept(outer: Outer) -> set[str]:
    return {path.name for path in (outer.folder / "spool.files").iterdir()}


def digest_of(outer: Outer, sequence: int) -> str:
    """The digest of a published file: the next one names it."""
    outer.spool.mark_published(sequence)
    [one] = outer.spool.files(sequence, sequence)
    return one.sealed.digest.hex()


def test_a_large_file_is_spooled_beside_the_database_and_read_back(outer: Outer) -> None:
    outer.committer.commit([message(body=b"small")])
    outer.committer.commit([message(body=LARGE)])
    assert kept(outer) == {digest_of(outer, 2)}
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
    (outer.folder / "spool.files" / bytes(32).hex()).write_bytes(b"left by a crash")
    outer.restart()
    assert kept(outer) == {digest_of(outer, 1)}


def test_a_medium_that_takes_nothing_leaves_nothing_in_the_spool(outer: Outer) -> None:
    outer.medium.fail_stage = Unavailable(reasons.MEDIUM_FULL)
    [outcome] = outer.committer.commit([message(body=LARGE)])
    assert isinstance(outcome, Unavailable)
    assert kept(outer) == set()


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


@pytest.mark.parametrize("medium_is_full", [False, True])
def test_a_spool_whose_disk_failed_ends_the_commit_whatever_the_medium_says(
    outer: Outer, monkeypatch: pytest.MonkeyPatch, *, medium_is_full: bool
) -> None:
    def failing(_file: object) -> None:
        raise StorageFault(reasons.STORAGE_FAILED)

    monkeypatch.setattr(outer.spool, "write_aside", failing)
    outer.medium.fail_stage = Unavailable(reasons.MEDIUM_FULL) if medium_is_full else None
    with pytest.raises(StorageFault):
        outer.committer.commit([message(body=LARGE)])
    assert outer.spool.head().last_sequence == 0


def test_a_large_file_that_was_withdrawn_gives_its_room_back(outer: Outer) -> None:
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.publish_failures = 1
    [outcome] = outer.committer.commit([message(body=LARGE)])
    assert isinstance(outcome, Unavailable)
    assert kept(outer) == set()


def test_what_is_pruned_goes_from_beside_the_database_too(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 0)
    written: list[str] = []
    for sequence in (1, 2):
        one = file(sequence, LARGE_BYTES, sealed_at_ms=sequence * 100)
        written.append(one.sealed.digest.hex())
        spool.write_aside(one)
        spool.commit(one, {}, [], published_up_to=sequence - 1)
    spool.mark_published(2)
    assert spool.prune(150, 0, 1 << 40).files == 1
    assert [path.name for path in (tmp_path / "spool.files").iterdir()] == written[1:]
    spool.close()


def test_a_removal_that_fails_fails_nothing_and_is_made_up_for_at_the_start(outer: Outer) -> None:
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.publish_failures = 1
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", refuse)
        [outcome] = outer.committer.commit([message(body=LARGE)])
    assert isinstance(outcome, Unavailable)
    assert len(kept(outer)) == 1
    outer.restart()
    assert kept(outer) == set()
    outer.committer.heartbeat()
    assert [len(content.entries) for content in outer.files()] == [1, 0]


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "no room to remove anything")


def test_what_is_pruned_while_it_is_resent_is_left_out(outer: Outer) -> None:
    for _ in range(3):
        outer.committer.commit([message(body=LARGE)])
    outer.spool.mark_published(3)
    reader = Spool.open_read_only(outer.folder / "spool.db")
    resent = reader.files(1, 3)
    assert next(resent).sequence == 1
    assert outer.spool.prune(NOW_MS + 1, 0, 1 << 40).files == 3
    assert list(resent) == []
    reader.close()


def test_a_large_file_that_vanished_is_a_fault_and_not_left_out(outer: Outer) -> None:
    outer.committer.commit([message(body=LARGE)])
    outer.spool.mark_published(1)
    for name in kept(outer):
        (outer.folder / "spool.files" / name).unlink()
    with pytest.raises(StorageFault):
        list(outer.spool.files(1, 1))
