"""What the inner refused, file or message: why, where, and the bytes, encrypted at rest.

Bounded three ways, since whoever holds the outer can fill it: contents are kept up to a total
(beyond it an entry stands without its bytes), entries up to a number (beyond it they are counted by
kind and reason), and one file is entered once however often it is met. Nothing is deleted here.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from ferry_format.envelope import Part
from ferry_format.reasons import Reason
from inner_agent.at_rest import PayloadCipher, Purpose
from inner_agent.journal_schema import connect_reader, faults
from validators.objects import HEAD_BYTES

CONTENT_BYTES_MAX: Final = 256 * 1024 * 1024
ENTRIES_MAX: Final = 100_000
LISTED_MAX: Final = 1_000

Kind = Literal["file", "message"]


@dataclass(frozen=True, slots=True)
class QuarantineLimits:
    """`content_bytes_max` bounds all kept contents together, `entries_max` their number."""

    content_bytes_max: int = CONTENT_BYTES_MAX
    entries_max: int = ENTRIES_MAX


@dataclass(frozen=True, slots=True)
class RefusedThing:
    """A file or a message as it goes into quarantine.

    `digest` is SHA-256 of `content`, or empty where the bytes were never read; `place` says where
    the reason lies and never holds data; `name` is a file's name on the medium. `part` is what was
    refused of an object: with it goes the whole object, and it is entered once.
    """

    kind: Kind
    reason: Reason
    place: str
    digest: bytes
    content: bytes | None
    stream_id: bytes | None = None
    sequence: int | None = None
    channel: str | None = None
    message_id: bytes | None = None
    name: str | None = None
    part: Part | None = None

    def __repr__(self) -> str:
        """Without the content."""
        return f"RefusedThing({self.kind}, {self.reason.code}, {self.place!r})"


def refused_part(
    stream_id: bytes, sequence: int, part: Part, reason: Reason, place: str
) -> RefusedThing:
    """A part of an object, and with it the object; of its bytes the beginning is kept."""
    head = part.payload[:HEAD_BYTES]
    return RefusedThing(
        "message",
        reason,
        place,
        hashlib.sha256(head).digest(),
        head,
        stream_id,
        sequence,
        part.channel,
        part.message_id,
        part=part,
    )


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One entry as an operator sees it; `content_kept` tells whether its bytes can be had."""

    entry: int
    at_ms: int
    kind: str
    reason: str
    place: str
    stream_id: bytes | None
    sequence: int | None
    channel: str | None
    message_id: bytes | None
    name: str | None
    digest: bytes
    bytes: int
    content_kept: bool


@dataclass(frozen=True, slots=True)
class Overflow:
    """What was refused after the quarantine was full. Times are unix milliseconds."""

    kind: str
    reason: str
    number: int
    first_at_ms: int
    last_at_ms: int


class QuarantineTable:
    """The verifier's side; `add` belongs inside a transaction of the journal."""

    def __init__(
        self, connection: sqlite3.Connection, cipher: PayloadCipher, limits: QuarantineLimits
    ) -> None:
        self._connection = connection
        self._cipher = cipher
        self._limits = limits
        self._kept_bytes = self._entries = self._overflow = 0
        self.reload()

    def reload(self) -> None:
        """Count anew: a transaction was rolled back."""
        self._kept_bytes, self._entries = self._connection.execute(
            "SELECT coalesce(sum(length(content)), 0), count(*) FROM quarantine"
        ).fetchone()
        self._overflow = self._connection.execute(
            "SELECT coalesce(sum(number), 0) FROM quarantine_overflow"
        ).fetchone()[0]

    @property
    def number(self) -> int:
        """All that was ever refused, also what was only counted."""
        return self._entries + self._overflow

    def knows(self, thing: RefusedThing) -> bool:
        """Whether this very file was refused for this reason before."""
        row = self._connection.execute(
            "SELECT 1 FROM quarantine WHERE kind = 'file' AND name IS ? AND digest = ? "
            "AND reason = ? LIMIT 1",
            (thing.name, thing.digest, thing.reason.code),
        ).fetchone()
        return row is not None

    def add(self, thing: RefusedThing, at_ms: int) -> None:
        """Enter what was refused; without room, count it."""
        if self._entries >= self._limits.entries_max:
            self._connection.execute(
                "INSERT INTO quarantine_overflow VALUES (?, ?, 1, ?, ?) ON CONFLICT (kind, reason) "
                "DO UPDATE SET number = number + 1, last_at_ms = excluded.last_at_ms",
                (thing.kind, thing.reason.code, at_ms, at_ms),
            )
            self._overflow += 1
            return
        sealed = self._sealed(thing)
        self._connection.execute(
            "INSERT INTO quarantine (at_ms, kind, reason, place, stream_id, sequence, channel, "
            "message_id, name, digest, bytes, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                at_ms,
                thing.kind,
                thing.reason.code,
                thing.place,
                thing.stream_id,
                thing.sequence,
                thing.channel,
                thing.message_id,
                thing.name,
                thing.digest,
                len(thing.content or b""),
                sealed,
            ),
        )
        self._entries += 1
        self._kept_bytes += len(sealed or b"")

    def _sealed(self, thing: RefusedThing) -> bytes | None:
        room = self._limits.content_bytes_max - self._kept_bytes
        if thing.content is None or len(thing.content) > room:
            return None
        return self._cipher.seal(thing.digest, thing.content, Purpose.QUARANTINE)


class QuarantineReader:
    """The operators' side, read-only. Raises StorageFault where SQLite fails."""

    def __init__(self, path: Path, cipher: PayloadCipher) -> None:
        self._path = path
        self._cipher = cipher
        self._connection = connect_reader(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def newest(
        self, *, reason: str | None = None, before: int | None = None, limit: int = LISTED_MAX
    ) -> list[QuarantineEntry]:
        """The newest entries, newest first; `before` continues below an entry's number."""
        rows = self._rows(
            "SELECT entry, at_ms, kind, reason, place, stream_id, sequence, channel, message_id, "
            "name, digest, bytes, content IS NOT NULL FROM quarantine WHERE (? IS NULL OR "
            "reason = ?) AND (? IS NULL OR entry < ?) ORDER BY entry DESC LIMIT ?",
            (reason, reason, before, before, min(limit, LISTED_MAX)),
        )
        return [QuarantineEntry(*[*row[:-1], bool(row[-1])]) for row in rows]

    def overflow(self) -> list[Overflow]:
        """What was only counted."""
        return [
            Overflow(*row)
            for row in self._rows(
                "SELECT kind, reason, number, first_at_ms, last_at_ms FROM quarantine_overflow"
            )
        ]

    def content(self, entry: int) -> bytes | None:
        """The refused bytes; None if there is no such entry or its bytes were not kept."""
        rows = self._rows("SELECT digest, content FROM quarantine WHERE entry = ?", (entry,))
        if not rows or rows[0][1] is None:
            return None
        digest, sealed = rows[0]
        return self._cipher.unseal(digest, sealed, Purpose.QUARANTINE)

    def _rows(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        with faults(self._path):
            return self._connection.execute(query, parameters).fetchall()
