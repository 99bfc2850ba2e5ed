"""Whether the inner's messages can still be read: databases, sealed payloads, parts of objects.

Reads beside the running agent, one message at a time, and changes nothing. Left out are the parts
of objects that are not whole yet, and what lies in quarantine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ferry_format.parts import part_count
from ferry_format.reasons import FerryError
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal_schema import connect_reader, faults
from inner_agent.object_store import FOLDER_NAME, ObjectStore

FAULTS_TOLD_MAX: Final = 10
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True)
class _Table:
    """How many messages with payloads stand there, and the next one behind a number."""

    count: str
    next: str


# What is held comes first: once released, it stands among the messages, and is met there.
_TABLES: Final = (
    _Table(
        "SELECT count(*) FROM held_messages",
        "SELECT rowid, message_id, channel, payload, is_object, payload_bytes "
        "FROM held_messages WHERE rowid > ? ORDER BY rowid LIMIT 1",
    ),
    _Table(
        "SELECT count(*) FROM payloads",
        "SELECT position, message_id, channel, payload, is_object, payload_bytes "
        "FROM messages CROSS JOIN payloads USING (position) "
        "WHERE position > ? ORDER BY position LIMIT 1",
    ),
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message whose payload, or a part of it, is gone or does not open."""

    message_id: bytes
    channel: str


def structure_faults(database: Path) -> list[str]:
    """What SQLite finds wrong in a database; nothing where it is sound. Raises StorageFault."""
    with faults(database):
        uri = f"{database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            try:
                found = connection.execute(f"PRAGMA quick_check({FAULTS_TOLD_MAX})").fetchall()
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                    raise
                return [error.sqlite_errorname]
    return [line for (line,) in found if line != "ok"]


class PayloadCheck:
    """Opens every payload that a journal keeps. Raises StorageFault where SQLite fails."""

    def __init__(self, journal: Path, cipher: PayloadCipher) -> None:
        self._journal = journal
        self._cipher = cipher
        self._objects = ObjectStore(journal.parent / FOLDER_NAME, cipher)
        self._connection = connect_reader(journal)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def count(self) -> int:
        """How many messages have a payload now."""
        return sum(int(self._row(table.count)[0]) for table in _TABLES)

    def unreadable(self, advance: Callable[[int], None]) -> Iterator[Unreadable]:
        """Those that cannot be read; `advance` is told of each message that was looked at.

        What is pruned meanwhile is none of them.
        """
        for table in _TABLES:
            number = 0
            while row := self._next(table, number):
                number, message_id, channel, sealed, is_object, size = row
                if not self._opens(message_id, sealed, size if is_object else None) and (
                    self._is_kept(table, number)
                ):
                    yield Unreadable(message_id, channel)
                advance(1)

    def _opens(self, message_id: bytes, sealed: bytes, object_bytes: int | None) -> bool:
        try:
            self._cipher.unseal(message_id, sealed)
            for number in range(1, 1 + part_count(object_bytes) if object_bytes else 0):
                self._objects.get(message_id, number)
        except FerryError:
            return False
        return True

    def _next(self, table: _Table, after: int) -> tuple[int, bytes, str, bytes, bool, int] | None:
        row: tuple[int, bytes, str, bytes, bool, int] | None = self._row(table.next, after)
        return row

    def _is_kept(self, table: _Table, number: int) -> bool:
        row = self._next(table, number - 1)
        return row is not None and row[0] == number

    def _row(self, query: str, *parameters: int) -> Any:
        with faults(self._journal):
            return self._connection.execute(query, parameters).fetchone()
