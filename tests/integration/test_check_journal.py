"""`ferry-inner check-journal`: what it prints, and its exit codes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ferry_format.stream import Link
from inner_agent import delivery_store
from inner_agent.__main__ import cli
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal import StreamRecord
from inner_agent.journal_batch import Batch, NewMessage, TakenFile
from inner_agent.journal_writer import JournalWriter
from tests.simulator.ferry_pair import FerryPair, adt_pair


@pytest.fixture
def pair(tmp_path: Path) -> FerryPair:
    """An inner that has journaled three messages and does not run."""
    pair = adt_pair(tmp_path)
    cipher = PayloadCipher.from_key_file(pair.keys / "journal.key")
    messages = tuple(
        NewMessage(bytes([n]) * 16, "adt", n, 1, "application/hl7-v2", "ADT^A01", None, b"MSH|")
        for n in (1, 2, 3)
    )
    link = Link(bytes(32), bytes(32))
    file = TakenFile(
        1, link, len(messages), late=False, messages=messages, tombstones=(), refused=()
    )
    with closing(JournalWriter(pair.inner_state / "journal.db", cipher)) as writer:
        stream = StreamRecord(bytes(16), "front", "trusted", 2, bytes(32), 1, 1, 1)
        writer.take(Batch(1, stream, (file,), {}))
    delivery_store.connect(pair.inner_state / "delivery.db", create=True).close()
    return pair


def check(pair: FerryPair) -> Result:
    return CliRunner().invoke(cli, ["check-journal", "--config", str(pair.folder / "inner.toml")])


def test_a_journal_that_is_whole_is_told_so(pair: FerryPair) -> None:
    told = check(pair)
    assert (told.exit_code, told.stdout, told.stderr) == (
        0,
        "The databases are sound, and 3 payloads open.\n",
        "",
    )


def test_what_cannot_be_read_is_named_with_what_to_do(pair: FerryPair) -> None:
    with closing(sqlite3.connect(pair.inner_state / "journal.db")) as journal, journal:
        journal.execute("UPDATE payloads SET payload = x'00' WHERE position = 2")
    told = check(pair)
    assert told.exit_code == 1
    assert told.stdout == f"{'02' * 16}  channel adt: cannot be read\n"
    assert "restore the last backup" in told.stderr


def test_a_key_that_opens_nothing_is_told_as_such(pair: FerryPair) -> None:
    (pair.keys / "journal.key").unlink()
    pair.write()  # makes the key that is not there
    told = check(pair)
    assert told.exit_code == 1
    assert "another key" in told.stderr


def test_a_damaged_database_is_told_first(pair: FerryPair) -> None:
    path = pair.inner_state / "delivery.db"
    path.write_bytes(b"no database at all" + path.read_bytes()[18:])
    told = check(pair)
    assert told.exit_code == 1
    assert "delivery.db is damaged (SQLITE_NOTADB). Restore the last backup." in told.stderr
