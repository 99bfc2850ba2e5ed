"""What the inner holds is read to the end, and what cannot be read is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ferry_format import limits
from ferry_format.container import GENESIS_DIGEST
from ferry_format.envelope import Part
from ferry_format.parts import object_digest, part_digest
from ferry_format.reasons import StorageFault
from ferry_format.stream import Link
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal import StreamRecord
from inner_agent.journal_batch import Batch, NewMessage, TakenFile
from inner_agent.journal_check import PayloadCheck, Unreadable, structure_faults
from inner_agent.journal_writer import JournalWriter
from inner_agent.object_table import NewPart

STREAM = b"s" * 16
CIPHER = PayloadCipher(bytes(32))
IMAGE = b"i" * 16


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A journal of three messages, one more that is held, and an object of two parts."""
    monkeypatch.setattr(limits, "PART_BYTES", 4)
    path = tmp_path / "journal.db"
    writer = JournalWriter(path, CIPHER)
    writer.take(batch(1, messages=(message(1), message(2), message(3))))
    writer.take(replace(batch(2, messages=(message(4, "held"),)), held=frozenset({"held"})))
    writer.take(batch(3, parts=image_parts(b"abcd", b"ef")))
    yield path
    writer.close()


def message(number: int, channel: str = "adt") -> NewMessage:
    return NewMessage(
        number.to_bytes(16, "big"), channel, number, 5, "application/hl7-v2", "ADT^A01", None, b"x"
    )


def image_parts(*pieces: bytes) -> tuple[NewPart, ...]:
    digest = object_digest(map(part_digest, pieces))
    size = sum(map(len, pieces))
    parts = [
        Part(
            IMAGE,
            "image",
            number,
            5,
            "application/dicom",
            size,
            number,
            digest if number == len(pieces) else b"",
            piece,
        )
        for number, piece in enumerate(pieces, 1)
    ]
    return tuple(NewPart(part, part.payload) for part in parts)


def batch(
    sequence: int, messages: tuple[NewMessage, ...] = (), parts: tuple[NewPart, ...] = ()
) -> Batch:
    link = Link(sequence.to_bytes(32, "big"), GENESIS_DIGEST)
    entries = len(messages) + len(parts)
    file = TakenFile(
        sequence,
        link,
        entries,
        late=False,
        messages=messages,
        tombstones=(),
        refused=(),
        parts=parts,
    )
    stream = StreamRecord(STREAM, "front", "trusted", sequence + 1, b"d" * 32, 1, 2, 3)
    return Batch(1000, stream, (file,), {})


def unreadable(path: Path, cipher: PayloadCipher = CIPHER) -> tuple[int, list[Unreadable]]:
    """How many messages were looked at, and those that cannot be read."""
    seen = 0

    def advance(more: int) -> None:
        nonlocal seen
        seen += more

    with closing(PayloadCheck(path, cipher)) as check:
        found = list(check.unreadable(advance))
        assert check.count() == seen
    return seen, found


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(statement).rowcount == 1


def test_what_is_whole_opens(path: Path) -> None:
    assert unreadable(path) == (5, [])
    assert structure_faults(path) == []


def test_a_changed_payload_is_named(path: Path) -> None:
    change(path, "UPDATE payloads SET payload = zeroblob(60) WHERE position = 2")
    assert unreadable(path) == (5, [Unreadable((2).to_bytes(16, "big"), "adt")])


def test_a_held_message_is_read_too(path: Path) -> None:
    change(path, "UPDATE held_messages SET payload = x''")
    assert unreadable(path) == (5, [Unreadable((4).to_bytes(16, "big"), "held")])


@pytest.mark.parametrize("does", ["gone", "changed"])
def test_an_object_is_read_to_its_last_part(path: Path, does: str) -> None:
    part = path.parent / "objects" / IMAGE.hex() / "0000002"
    if does == "gone":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-1] + b"\0")
    assert unreadable(path) == (5, [Unreadable(IMAGE, "image")])


def test_what_is_pruned_meanwhile_is_not_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(PayloadCheck(path, CIPHER)) as check:

        def pruned(*_: object) -> bool:
            change(path, "DELETE FROM held_messages")
            monkeypatch.undo()
            return False

        monkeypatch.setattr(check, "_opens", pruned)
        assert list(check.unreadable(lambda _: None)) == []


def test_with_another_key_nothing_opens(path: Path) -> None:
    seen, found = unreadable(path, PayloadCipher(bytes(31) + b"\1"))
    assert len(found) == seen


def test_a_damaged_database_is_told(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(copy)) as target:
        database.backup(target)
        root = target.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'")
        page = root.fetchone()[0]
        size = target.execute("PRAGMA page_size").fetchone()[0]
    whole = copy.read_bytes()
    copy.write_bytes(whole[: (page - 1) * size] + b"\xff" * 8 + whole[(page - 1) * size + 8 :])
    assert structure_faults(copy) == ["SQLITE_CORRUPT"]
    copy.write_bytes(b"no database at all" + whole[18:])
    assert structure_faults(copy) == ["SQLITE_NOTADB"]
    copy.unlink()
    with pytest.raises(StorageFault, match=r"copy\.db"):
        structure_faults(copy)


def test_what_sqlite_says_of_a_structure_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'control_id TEXT', "
            "'control_id TEXT NOT NULL') WHERE name = 'held_messages'"
        )
    assert structure_faults(path) == ["NULL value in held_messages.control_id"]
