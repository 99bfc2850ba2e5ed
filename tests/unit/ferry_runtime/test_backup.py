"""Backups: a database as of one moment, files beside it; nothing is restored that is not whole."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ferry_format.reasons import BAD_BACKUP, Refused, StorageFault
from ferry_runtime import backup
from ferry_runtime.problem_words import Mistake

NOBODY = 65534
NOW = datetime(2026, 11, 28, 5, 0, 0, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An agent's state folder: a database in use, and a file beside it."""
    state = tmp_path / "state"
    (state / "objects" / "one").mkdir(parents=True)
    (state / "objects" / "one" / "0000001").write_bytes(b"part")
    (state / "objects" / "one" / ".0000002.ab").write_bytes(b"half wri")
    writer = sqlite3.connect(state / "journal.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY)")
    writer.execute("INSERT INTO messages VALUES (1)")
    writer.close()
    (state / "journal.db").chmod(0o640)
    return state


def taken(state: Path, folder: Path) -> Path:
    with backup.new_backup(folder, "inner", "inner-1", NOW, [state / "journal.db"]):
        backup.copy_files(state / "objects", folder / "objects")
        with backup.moment_of(state / "journal.db") as moment:
            backup.copy_database(moment, state / "journal.db", folder / "journal.db")
    return folder


def rows(database: Path) -> list[int]:
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    found = [row for (row,) in connection.execute("SELECT id FROM messages ORDER BY id")]
    connection.close()
    return found


def test_what_is_committed_after_the_moment_is_not_in_the_copy(state: Path, tmp_path: Path) -> None:
    writer = sqlite3.connect(state / "journal.db", isolation_level=None)
    with backup.moment_of(state / "journal.db") as moment:
        writer.execute("INSERT INTO messages VALUES (2)")
        backup.copy_database(moment, state / "journal.db", tmp_path / "copy.db")
    writer.close()
    assert rows(state / "journal.db") == [1, 2]
    assert rows(tmp_path / "copy.db") == [1]


def test_a_copied_database_is_one_file_that_a_read_only_disk_opens(
    state: Path, tmp_path: Path
) -> None:
    folder = taken(state, tmp_path / "backup")
    assert rows(folder / "journal.db") == [1]
    assert sorted(path.name for path in folder.iterdir()) == [
        "journal.db",
        "manifest.json",
        "objects",
    ]


def test_a_damaged_database_makes_no_backup(state: Path, tmp_path: Path) -> None:
    data = bytearray((state / "journal.db").read_bytes())
    data[4096:4200] = b"\xff" * 104
    (state / "journal.db").write_bytes(data)
    with pytest.raises(StorageFault, match="backup_failed"):
        taken(state, tmp_path / "backup")
    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_a_file_that_was_caught_half_written_is_copied_again(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "objects"
    part = state / "objects" / "one" / "0000001"
    part.write_bytes(b"pa")
    backup.copy_files(state / "objects", target)
    part.write_bytes(b"part")
    backup.copy_files(state / "objects", target)
    assert [path.read_bytes() for path in target.rglob("*") if path.is_file()] == [b"part"]


@pytest.mark.parametrize("name", ["part", "database"])
def test_a_planted_link_brings_nothing_into_a_backup(
    state: Path, tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "secret"
    shutil.copy(state / "journal.db", secret)
    planted = state / ("objects/one/0000002" if name == "part" else "journal.db")
    planted.unlink(missing_ok=True)
    planted.symlink_to(secret)
    with pytest.raises((StorageFault, OSError)):
        taken(state, tmp_path / "backup")
    assert not (tmp_path / "backup" / "manifest.json").exists()


def test_a_state_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="is not there") as told:
        backup.owner_of(tmp_path / "state")
    assert "Install the package" in told.value.action
    assert backup.owner_of(tmp_path).st_uid == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_file_is_no_part_of_it_and_a_restore_is_the_agents(
    state: Path, tmp_path: Path
) -> None:
    folder = taken(state, tmp_path / "backup")
    restored = tmp_path / "restored"
    restored.mkdir()
    os.chown(restored, NOBODY, NOBODY)
    for file in backup.verified(folder, "inner").files:
        backup.put_back(folder, file, restored / file.path, restored.stat())
    assert {path.stat().st_uid for path in restored.rglob("*")} == {NOBODY}
    os.chown(state / "objects" / "one" / "0000001", NOBODY, NOBODY)
    with pytest.raises(StorageFault, match="is not an ordinary file of the agent's"):
        taken(state, tmp_path / "another")


def test_a_backup_is_put_back_as_it_was(state: Path, tmp_path: Path) -> None:
    folder = taken(state, tmp_path / "backup")
    restored = tmp_path / "restored"
    restored.mkdir()
    for file in backup.verified(folder, "inner").files:
        backup.put_back(folder, file, restored / file.path, restored.stat())
    assert rows(restored / "journal.db") == [1]
    assert (restored / "journal.db").stat().st_mode & 0o777 == 0o640
    assert (restored / "objects" / "one" / "0000001").read_bytes() == b"part"
    with pytest.raises(FileExistsError):
        backup.put_back(folder, file, restored / file.path, restored.stat())


def changed(folder: Path) -> None:
    with (folder / "journal.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\x00\x01")


def missing(folder: Path) -> None:
    (folder / "objects" / "one" / "0000001").unlink()


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def half_a_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:-40])


def leading_out(folder: Path) -> None:
    path = folder / "manifest.json"
    told = json.loads(path.read_text())
    told["files"][0]["path"] = "../journal.db"
    path.write_text(json.dumps(told))


def a_link(folder: Path) -> None:
    path = folder / "journal.db"
    path.rename(folder.parent / "elsewhere.db")
    path.symlink_to(folder.parent / "elsewhere.db")


def of_the_outer(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"inner"', '"outer"'))


@pytest.mark.parametrize(
    "harm",
    [changed, missing, without_manifest, half_a_manifest, leading_out, a_link, of_the_outer],
)
def test_what_is_not_whole_is_refused(state: Path, tmp_path: Path, harm) -> None:
    folder = taken(state, tmp_path / "backup")
    harm(folder)
    with pytest.raises(Refused) as refused:
        backup.verified(folder, "inner")
    assert refused.value.reason is BAD_BACKUP


def test_a_backup_never_goes_over_another_one(state: Path, tmp_path: Path) -> None:
    folder = taken(state, tmp_path / "backup")
    with pytest.raises(Mistake, match="is not empty"):
        taken(state, folder)
