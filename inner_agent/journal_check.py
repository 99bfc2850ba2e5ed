"""Whether all that the inner holds can still be read: databases, sealed payloads, parts of objects.

Reads beside the running agent, one message at a time, and changes nothing.
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
    """Where messages with their payloads stand, and by which number they are gone through."""

    name: str
    number: str


_TABLES: Final = (
    _Table("messages CROSS JOIN payloads USING (position)", "position"),
    _Table("held_messages", "rowid"),
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
        return sum(
            int(self._row(f"SELECT count(*) FROM {table.name}")[0])  # noqa: S608 - our own names
            for table in _TABLES
        )

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
        row: tuple[int, bytes, str, bytes, bool, int] | None = self._row(
            f"SELECT {table.number}, message_id, channel, payload, is_object, payload_bytes "  # noqa: S608
            f"FROM {table.name} WHERE {table.number} > ? ORDER BY {table.number} LIMIT 1",
            after,
        )
        return row

    def _is_kept(self, table: _Table, number: int) -> bool:
        query = f"SELECT count(*) FROM {table.name} WHERE {table.number} = ?"  # noqa: S608
        return bool(self._row(query, number)[0])

    def _row(self, query: str, *parameters: int) -> Any:
        with faults(self._journal):
            return self._connection.execute(query, parameters).fetchone()
