"""What a version left behind, backed up and put back: it is whole, and can be settled."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ferry_runtime.problem_words import Mistake
from inner_agent.at_rest import PayloadCipher
from inner_agent.backup import back_up, restore, settle
from inner_agent.journal import JournalReader
from tests.upgrade.left_behind import JOURNALED, WAITING
from tests.upgrade.version_before import HERE, VERSION

NOW = datetime(2026, 11, 28, 5, 30, tzinfo=UTC)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    shutil.copytree(HERE / VERSION / "inner", tmp_path / "inner")
    shutil.copytree(HERE / VERSION / "keys", tmp_path / "keys")
    (tmp_path / "keys" / "journal.key").chmod(0o600)
    (tmp_path / "restored").mkdir()
    return tmp_path


def rows(database: Path) -> list[str]:
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    dump = list(connection.iterdump())
    connection.close()
    return dump


def test_tables_and_objects_are_the_same_in_another_place(left: Path) -> None:
    back_up(left / "inner", "inner-1", left / "backup", NOW)
    assert restore(left / "backup", left / "restored") == "2026-11-28T05:30:00+00:00"
    for name in ("journal.db", "delivery.db"):
        assert rows(left / "restored" / name) == rows(left / "inner" / name)
    cipher = PayloadCipher.from_key_file(left / "keys" / "journal.key")
    with JournalReader(left / "restored" / "journal.db", cipher) as journal:
        [image] = journal.waiting("image", 0, 10)
        assert image.large is not None
        parts = [image.large.read(number + 1) for number in range(image.large.parts)]
    assert b"".join(parts) == JOURNALED.whole()


def test_nothing_is_restored_over_a_journal(left: Path) -> None:
    back_up(left / "inner", "inner-1", left / "backup", NOW)
    with pytest.raises(Mistake, match="is there already"):
        restore(left / "backup", left / "inner")


def test_what_was_delivered_elsewhere_is_settled_once_and_what_is_unknown_is_counted(
    left: Path,
) -> None:
    cipher = PayloadCipher.from_key_file(left / "keys" / "journal.key")
    deliveries = left / "inner" / "delivery.db"
    with JournalReader(left / "inner" / "journal.db", cipher) as journal:
        waiting = journal.find(channel="adt", control_id=WAITING[0])
        ids = [one.message_id for one in waiting] + [bytes(16)]
        first, again = settle(journal, deliveries, ids), settle(journal, deliveries, ids)
    assert (first.recorded, first.unknown) == (1, 1)
    assert (again.recorded, again.unknown) == (0, 1)
    assert [row for row in rows(deliveries) if waiting[0].message_id.hex().upper() in row.upper()]
