"""The outer's own durable copy of what it published, and all that it must never forget.

One SQLite database (WAL, synchronous=FULL): the stream's identity and head, the channels'
sequences, the ferry files kept for resending, and the fingerprints by which a repeated message is
known. One transaction takes a file and everything that follows from it, so that a crash leaves all
or nothing of it.

Ferry files of a megabyte and more lie beside the database (spool_files.py); their row has no bytes.

A sequence number is used up by the commit that stores its file, before any byte of it can be seen
on the medium; after a restart it is therefore never given to another file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ferry_format.container import SealedFile
from ferry_format.stream import Gap
from outer_agent.admission import Fingerprint
from outer_agent.known_fingerprints import KnownFingerprints, Remembered
from outer_agent.spool_files import LARGE_BYTES, SpoolFiles
from outer_agent.spool_schema import open_for_writing, open_read_only, spool_faults

_PRUNED_PER_CALL: Final = 1000
_PRUNED_BYTES_PER_CALL: Final = 64 * 1024 * 1024
"""Besides _PRUNED_PER_CALL: to delete a large row takes time too, and messages wait meanwhile."""


@dataclass(frozen=True, slots=True)
class StreamHead:
    """Where the stream stands after the last committed file."""

    stream_id: bytes
    last_sequence: int
    last_digest: bytes
    channel_sequences: dict[str, int]


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """One ferry file as the spool keeps it."""

    sequence: int
    sealed_at_ms: int
    entries: int
    sealed: SealedFile

    @property
    def is_large(self) -> bool:
        """Whether its bytes lie beside the database."""
        return len(self.sealed.data) >= LARGE_BYTES


@dataclass(frozen=True, slots=True)
class ObjectChanges:
    """Objects of which a file holds the first of several parts, by message id; and the ended ones.

    The channel's name goes with each that begins. Ended: the last part is in, or a tombstone is.
    """

    begun: dict[bytes, str]
    ended: frozenset[bytes]


NO_OBJECTS: Final = ObjectChanges({}, frozenset())


@dataclass(frozen=True, slots=True)
class SpoolUsage:
    """What the spool holds: files, their bytes, and the age of the oldest (unix milliseconds)."""

    files: int
    bytes: int
    oldest_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call of `prune` deleted; `more`: there may be more to delete at once."""

    files: int
    fingerprints: int
    more: bool


@dataclass(frozen=True, slots=True)
class _Due:
    """A file whose time is over: its place, its digest and its bytes."""

    sequence: int
    digest: bytes
    size: int


class Spool:
    """The spool database. One writer; not safe for use by two threads at once.

    Raises StorageFault(STORAGE_FAILED) when the disk broke a promise: nothing after it may be
    trusted. Raises Unavailable(MEDIUM_FULL) when there is no room: nothing was stored.
    """

    def __init__(self, path: Path, now_ms: int) -> None:
        self._attach(path, open_for_writing(path, now_ms))
        with spool_faults(path):
            large = self._database.execute(
                "SELECT digest FROM files WHERE bytes >= ?", (LARGE_BYTES,)
            )
            self._large.prepare(digest for (digest,) in large)
        self._bytes_kept = self.usage().bytes

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open an existing spool for `status` and `resend` beside a running agent."""
        spool = cls.__new__(cls)
        spool._attach(path, open_read_only(path))  # noqa: SLF001 - this is the other constructor
        return spool

    def _attach(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database
        self._fingerprints = KnownFingerprints(database)
        self._large = SpoolFiles(large_folder(path))

    def close(self) -> None:
        """Close the database; what was committed stays."""
        self._database.close()

    def head(self) -> StreamHead:
        """The stream's identity and where it stands."""
        with spool_faults(self._path):
            stream_id, sequence, digest = self._database.execute(
                "SELECT stream_id, last_sequence, last_digest FROM stream"
            ).fetchone()
            channels = self._database.execute("SELECT channel, sequence FROM channels").fetchall()
        return StreamHead(stream_id, sequence, digest, dict(channels))

    def find(self, fingerprint: Fingerprint) -> bytes | None:
        """The id of the message that this fingerprint was remembered with."""
        return self.find_all([fingerprint]).get(fingerprint)

    def find_all(self, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """The ids of the messages that some of these fingerprints were remembered with."""
        with spool_faults(self._path):
            return self._fingerprints.find_all(fingerprints)

    def knows_key(self, key_digest: bytes) -> bool:
        """Whether a message with the same key was remembered, whatever its bytes."""
        with spool_faults(self._path):
            return self._fingerprints.knows_key(key_digest)

    def write_aside(self, file: SpooledFile) -> None:
        """Make a large file's bytes durable ahead of its commit; nothing for a small one.

        May be called from another thread, while nothing else is done with this file.
        """
        if file.is_large:
            with spool_faults(self._path):
                self._large.write(file.sealed)

    def discard_aside(self, file: SpooledFile) -> None:
        """Remove what `write_aside` wrote, or began, for a file that will not be committed."""
        if file.is_large:
            self._large.remove(file.sealed.digest)

    def commit(
        self,
        file: SpooledFile,
        channel_sequences: dict[str, int],
        remembered: Iterable[Remembered],
        objects: ObjectChanges = NO_OBJECTS,
        *,
        published_up_to: int,
    ) -> None:
        """Store the stream's next file durably, with everything that follows from it.

        The bytes of a large one must have been written aside before. `published_up_to`: every
        file up to it is known to be on the medium.
        """
        with self._transaction():
            self._insert(file)
            self._database.executemany(
                "INSERT INTO channels VALUES (?, ?) ON CONFLICT (channel) "
                "DO UPDATE SET sequence = excluded.sequence",
                channel_sequences.items(),
            )
            self._fingerprints.remember(remembered)
            self._database.executemany(
                "INSERT INTO open_objects VALUES (?, ?)", objects.begun.items()
            )
            self._database.executemany(
                "DELETE FROM open_objects WHERE message_id = ?", [(one,) for one in objects.ended]
            )
            self._mark(published_up_to)
        self._bytes_kept += len(file.sealed.data)

    def open_objects(self) -> dict[bytes, str]:
        """The objects of which some parts were committed and not the last: id and channel."""
        with spool_faults(self._path):
            return dict(self._database.execute("SELECT message_id, channel FROM open_objects"))

    def replace(
        self, replaced: SpooledFile, file: SpooledFile, forgotten: Sequence[Fingerprint]
    ) -> None:
        """Put another file in the place of the last one, which nobody has seen.

        `forgotten` fingerprints belong to the messages that the new file withdraws.
        """
        self.write_aside(file)
        with self._transaction():
            self._database.execute(
                "DELETE FROM files WHERE sequence = ? AND published = 0", (file.sequence,)
            )
            self._insert(file)
            self._fingerprints.forget(forgotten)
        self.discard_aside(replaced)
        self._bytes_kept = self.usage().bytes

    def mark_published(self, up_to: int) -> None:
        """Record that every file up to `up_to` is on the medium."""
        with self._transaction():
            self._mark(up_to)

    def unpublished(self) -> list[SpooledFile]:
        """The committed files not yet known to be on the medium, in order."""
        return list(self._files("published = 0", ()))

    def files(self, first: int, last: int) -> Iterator[SpooledFile]:
        """The kept files of a range that were published, in order.

        One at a time, so that memory stays flat; what is pruned meanwhile is left out. A file that
        is not known to be published may yet be withdrawn, so it is not for resending.
        """
        return self._files("published = 1 AND sequence BETWEEN ? AND ?", (first, last))

    def sealed_since(self, since_ms: int) -> list[Gap]:
        """The stretch from the first published file sealed at or after `since_ms` to the last."""
        with spool_faults(self._path):
            first, last = self._database.execute(
                "SELECT min(sequence), max(sequence) FROM files "
                "WHERE published = 1 AND sealed_at_ms >= ?",
                (since_ms,),
            ).fetchone()
        return [] if first is None else [Gap(first, last)]

    def retention_at_ms(self) -> int | None:
        """How far the clock of deletion had come when `prune` ran last."""
        with spool_faults(self._path):
            row = self._database.execute("SELECT retention_at_ms FROM stream").fetchone()
        at_ms: int | None = row[0]
        return at_ms

    def prune(self, now_ms: int, keep_ms: int, bytes_max: int) -> Pruned:
        """Delete published files by age, then by size, oldest first, and old fingerprints.

        `now_ms` is the clock of deletion (ferry_runtime.retention_clock). Bounded work a call, so
        that the agent is never held up for long.
        """
        with self._transaction():
            due = self._due(now_ms - keep_ms, bytes_max)
            self._database.executemany(
                "DELETE FROM files WHERE sequence = ?", [(one.sequence,) for one in due]
            )
            fingerprints = self._fingerprints.forget_before(now_ms - keep_ms, _PRUNED_PER_CALL)
            self._database.execute("UPDATE stream SET retention_at_ms = ?", (now_ms,))
        freed = sum(one.size for one in due)
        self._bytes_kept -= freed
        for one in due:
            if one.size >= LARGE_BYTES:
                self._large.remove(one.digest)
        with spool_faults(self._path):
            self._database.execute("PRAGMA incremental_vacuum(2000)").fetchall()
        more = max(len(due), fingerprints) >= _PRUNED_PER_CALL or freed >= _PRUNED_BYTES_PER_CALL
        return Pruned(len(due), fingerprints, more)

    @property
    def bytes_kept(self) -> int:
        """The bytes of all kept ferry files, counted as they come and go."""
        return self._bytes_kept

    def usage(self) -> SpoolUsage:
        """What the spool holds now; looks through the index of all files."""
        with spool_faults(self._path):
            row = self._database.execute(
                "SELECT count(*), coalesce(sum(bytes), 0), min(sealed_at_ms) FROM files"
            ).fetchone()
        return SpoolUsage(*row)

    def _insert(self, file: SpooledFile) -> None:
        self._database.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, 0, ?)",
            (
                file.sequence,
                file.sealed.digest,
                file.sealed_at_ms,
                file.entries,
                len(file.sealed.data),
                b"" if file.is_large else file.sealed.data,
            ),
        )
        self._database.execute(
            "UPDATE stream SET last_sequence = ?, last_digest = ?",
            (file.sequence, file.sealed.digest),
        )

    def _mark(self, up_to: int) -> None:
        self._database.execute(
            "UPDATE files SET published = 1 WHERE published = 0 AND sequence <= ?", (up_to,)
        )

    def _files(self, where: str, parameters: tuple[int, ...]) -> Iterator[SpooledFile]:
        with spool_faults(self._path):
            sequences = self._database.execute(
                f"SELECT sequence FROM files WHERE {where} ORDER BY sequence",  # noqa: S608
                parameters,
            ).fetchall()
            for (sequence,) in sequences:
                file = self._file(sequence)
                if file is not None:
                    yield file

    def _file(self, sequence: int) -> SpooledFile | None:
        row = self._row(sequence)
        if row is None:
            return None
        sealed_at_ms, entries, digest, data = row
        try:
            sealed = SealedFile(data or self._large.read(digest), digest)
        except FileNotFoundError:
            if self._row(sequence) is None:  # the agent pruned it in this moment
                return None
            raise
        return SpooledFile(sequence, sealed_at_ms, entries, sealed)

    def _row(self, sequence: int) -> tuple[int, int, bytes, bytes] | None:
        row: tuple[int, int, bytes, bytes] | None = self._database.execute(
            "SELECT sealed_at_ms, entries, digest, data FROM files WHERE sequence = ?", (sequence,)
        ).fetchone()
        return row

    def _due(self, before_ms: int, bytes_max: int) -> list[_Due]:
        """The oldest published files that are to go now.

        Files grow older towards lower sequences, so the first that may stay ends the search.
        """
        rows = self._database.execute(
            "SELECT sequence, digest, bytes, sealed_at_ms FROM files WHERE published = 1 "
            "ORDER BY sequence LIMIT ?",
            (_PRUNED_PER_CALL,),
        )
        due: list[_Due] = []
        left = self._bytes_kept
        for sequence, digest, size, sealed_at_ms in rows:
            if sealed_at_ms >= before_ms and left <= bytes_max:
                break
            due.append(_Due(sequence, digest, size))
            left -= size
            if self._bytes_kept - left >= _PRUNED_BYTES_PER_CALL:
                break
        return due

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with spool_faults(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


def large_folder(path: Path) -> Path:
    """Where the large ferry files of the spool at `path` lie."""
    return path.with_name(f"{path.stem}.files")
