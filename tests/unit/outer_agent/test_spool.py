"""What the spool keeps, forgets and refuses."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from ferry_format.container import GENESIS_DIGEST, SealedFile
from ferry_format.reasons import StorageFault
from outer_agent.admission import Fingerprint
from outer_agent.known_fingerprints import Remembered
from outer_agent.spool import Spool, SpooledFile


def file(sequence: int, size: int = 1000, sealed_at_ms: int = 0) -> SpooledFile:
    return SpooledFile(sequence, sealed_at_ms, 1, SealedFile(os.urandom(size), os.urandom(32)))


@pytest.fixture
def spool(tmp_path: Path):
    spool = Spool(tmp_path / "spool.db", 0)
    yield spool
    spool.close()


def test_a_new_spool_begins_a_new_stream(tmp_path: Path, spool: Spool) -> None:
    head = spool.head()
    assert (head.last_sequence, head.last_digest) == (0, GENESIS_DIGEST)
    other = Spool(tmp_path / "other.db", 0)
    assert other.head().stream_id != head.stream_id
    other.close()


def test_the_head_follows_each_commit_and_survives_reopening(tmp_path: Path, spool: Spool) -> None:
    committed = file(1)
    spool.commit(committed, {"adt": 3}, [], published_up_to=0)
    spool.close()
    reopened = Spool(tmp_path / "spool.db", 99)
    head = reopened.head()
    assert (head.last_sequence, head.last_digest) == (1, committed.sealed.digest)
    assert head.channel_sequences == {"adt": 3}
    assert reopened.unpublished() == [committed]
    reopened.close()


def test_what_a_crash_left_in_the_wal_alone_is_written_anew_at_the_next_start(
    tmp_path: Path, spool: Spool
) -> None:
    spool.commit(file(1), {}, [], published_up_to=0)
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"spool.db{suffix}", tmp_path / f"crashed.db{suffix}")
    started = Spool(tmp_path / "crashed.db", 0)
    shutil.copy(tmp_path / "crashed.db", tmp_path / "without-wal.db")
    started.close()
    left = Spool(tmp_path / "without-wal.db", 0)
    assert left.head().last_sequence == 1
    left.close()


def test_a_sequence_cannot_be_committed_twice(spool: Spool) -> None:
    spool.commit(file(1), {}, [], published_up_to=0)
    with pytest.raises(StorageFault):
        spool.commit(file(1), {}, [], published_up_to=0)


def test_only_published_files_are_pruned_by_age(spool: Spool) -> None:
    for sequence in (1, 2, 3):
        spool.commit(file(sequence, sealed_at_ms=sequence), {}, [], published_up_to=sequence - 1)
    assert spool.prune(100, 0, 10**9).files == 2
    assert [kept.sequence for kept in spool.unpublished()] == [3]
    assert spool.usage().files == 1


def test_pruning_by_size_takes_the_oldest_first(spool: Spool) -> None:
    for sequence in range(1, 6):
        spool.commit(file(sequence, 1000, 50), {}, [], published_up_to=sequence - 1)
    spool.mark_published(5)
    spool.prune(0, 0, 2500)
    assert [kept.sequence for kept in spool.files(1, 9)] == [4, 5]
    assert spool.bytes_kept == spool.usage().bytes == 2000


def test_pruning_never_moves_the_head(spool: Spool) -> None:
    spool.commit(file(1), {"adt": 1}, [], published_up_to=0)
    spool.mark_published(1)
    spool.prune(10, 0, 0)
    assert spool.usage().files == 0
    assert spool.head().last_sequence == 1


def test_fingerprints_are_known_until_their_time_is_over(spool: Spool) -> None:
    fingerprint = Fingerprint(b"k" * 32, b"b" * 32)
    spool.commit(file(1), {}, [Remembered(fingerprint, b"i" * 16, 500)], published_up_to=0)
    spool.prune(500, 0, 10**9)
    assert spool.find(fingerprint) == b"i" * 16
    assert spool.knows_key(b"k" * 32)
    spool.prune(501, 0, 10**9)
    assert spool.find(fingerprint) is None


def test_a_newer_schema_is_refused_with_a_word(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "spool.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageFault, match="schema 99 is newer"):
        Spool(tmp_path / "spool.db", 0)


def test_a_reader_refuses_another_schema_with_a_word(tmp_path: Path, spool: Spool) -> None:
    spool.close()
    database = sqlite3.connect(tmp_path / "spool.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StorageFault, match="schema 99 is newer than this program, which reads 1"):
        Spool.open_read_only(tmp_path / "spool.db")


def test_another_process_can_read_beside_the_writer(tmp_path: Path, spool: Spool) -> None:
    spool.commit(file(1), {"adt": 1}, [], published_up_to=0)
    reader = Spool.open_read_only(tmp_path / "spool.db")
    assert reader.head() == spool.head()
    reader.close()


def test_the_spool_is_readable_by_its_owner_alone(tmp_path: Path, spool: Spool) -> None:
    assert (tmp_path / "spool.db").stat().st_mode & 0o777 == 0o600


def test_how_far_deletion_had_come_is_remembered(tmp_path: Path, spool: Spool) -> None:
    assert spool.retention_at_ms() is None
    spool.prune(1234, 0, 10**9)
    spool.close()
    reopened = Spool(tmp_path / "spool.db", 0)
    assert reopened.retention_at_ms() == 1234
    reopened.close()
