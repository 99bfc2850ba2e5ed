"""The verifier's side of journal.db: one transaction takes a batch of ferry files, or none of it.

Responsibility passes here: once `take` returns, every message of the batch is the inner's. After a
commit that failed nothing is certain, so every fault but a full disk is a StorageFault and the
verifier stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ferry_format import reasons
from ferry_format.envelope import Part
from ferry_format.reasons import Reason, Refused
from ferry_format.stream import Link
from inner_agent.at_rest import PayloadCipher
from inner_agent.channel_gaps import Missing
from inner_agent.held_messages import HeldTable
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.journal_batch import Batch, EndedObject, NewMessage, Repeat, Taken, TakenFile
from inner_agent.journal_schema import connect_writer, faults, transaction
from inner_agent.object_judging import ObjectJudging
from inner_agent.object_store import FOLDER_NAME, ObjectStore
from inner_agent.object_table import Incomplete, NewPart, ObjectTable
from inner_agent.quarantine import (
    QuarantineLimits,
    QuarantineTable,
    RefusedThing,
    refused_part,
)

_MESSAGE: Final = """
INSERT INTO messages (message_id, stream_id, file_sequence, channel, channel_sequence,
  accepted_at_ms, received_at_ms, content_type, message_type, control_id, order_key, late,
  payload_bytes, is_object) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (message_id) DO NOTHING
"""
_STREAM: Final = """
INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (stream_id) DO UPDATE SET
  state = excluded.state, next_sequence = excluded.next_sequence,
  last_digest = excluded.last_digest, last_file_at_ms = excluded.last_file_at_ms,
  last_sealed_at_ms = excluded.last_sealed_at_ms
"""


class JournalWriter:
    """The one writing connection.

    Every method raises Unavailable(JOURNAL_FULL) where its disk has no room left (nothing was
    changed then), and StorageFault where SQLite fails otherwise.
    """

    def __init__(
        self,
        path: Path,
        cipher: PayloadCipher,
        limits: QuarantineLimits | None = None,
        judging: ObjectJudging | None = None,
    ) -> None:
        """`judging` holds objects of channels that are judged to their end."""
        self.path = path
        self.connection = connect_writer(path)
        self._cipher = cipher
        with faults(path):
            self._quarantine = QuarantineTable(
                self.connection, cipher, limits or QuarantineLimits()
            )
            self._held = HeldTable(self.connection)
            store = ObjectStore(path.parent / FOLDER_NAME, cipher)
            self.objects = ObjectTable(self.connection, store, judging)
            store.prepare(self.objects.kept())

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def take(self, batch: Batch) -> Taken:
        """Make the batch durable; returns what became of it."""
        repeated: set[Repeat] = set()
        ended: list[EndedObject] = []
        with self.changes():
            for file in batch.files:
                self._file(batch, file, repeated, ended)
            self._stream(batch.stream)
            self._progress(batch.stream.stream_id, batch.progress)
            if batch.gaps is not None:
                self._gaps(batch.stream.stream_id, batch.gaps)
            if batch.missing is not None:
                self._held.set_missing(batch.stream.stream_id, batch.missing)
            for channel, before in batch.releases.items():
                self._held.release(batch.stream.stream_id, channel, before)
        return Taken(frozenset(repeated), tuple(ended))

    def release(self, stream_id: bytes, releases: Mapping[str, int | None]) -> int:
        """Give more held messages their place, as `Batch.releases` says; returns how many."""
        with self.changes():
            return sum(
                self._held.release(stream_id, channel, before)
                for channel, before in releases.items()
            )

    def held(self, stream_id: bytes) -> dict[str, int]:
        """How many verified messages of a stream wait for earlier ones, by channel."""
        with faults(self.path):
            return self._held.counts(stream_id)

    def missing(self, stream_id: bytes) -> Missing:
        """Which messages of a stream are missing."""
        with faults(self.path):
            return self._held.missing(stream_id)

    def refuse(self, thing: RefusedThing, at_ms: int) -> bool:
        """Put a file into quarantine; False if this very file is there for this reason."""
        with self.changes():
            if self._quarantine.knows(thing):
                return False
            self._quarantine.add(thing, at_ms)
        return True

    def set_streams(
        self,
        streams: Sequence[StreamRecord],
        gaps: Mapping[bytes, tuple[GapRecord, ...]] | None = None,
        missing: Mapping[bytes, Missing] | None = None,
    ) -> None:
        """Write streams, in order, and the gaps and missing messages of those named, at once."""
        with self.changes():
            for stream in streams:
                self._stream(stream)
            for stream_id, records in (gaps or {}).items():
                self._gaps(stream_id, records)
            for stream_id, messages in (missing or {}).items():
                self._held.set_missing(stream_id, messages)

    def streams(self) -> list[StreamRecord]:
        """Every stream, oldest first."""
        with faults(self.path):
            rows = self.connection.execute(
                "SELECT stream_id, sender, state, next_sequence, last_digest, first_seen_at_ms, "
                "last_file_at_ms, last_sealed_at_ms FROM streams ORDER BY first_seen_at_ms"
            ).fetchall()
        return [StreamRecord(*row) for row in rows]

    def gaps(self, stream_id: bytes) -> tuple[GapRecord, ...]:
        """What is missing of a stream, ascending."""
        with faults(self.path):
            rows: list[Any] = self.connection.execute(
                "SELECT stream_id, first_sequence, last_sequence, opened_at_ms, given_up "
                "FROM gaps WHERE stream_id = ? ORDER BY first_sequence",
                (stream_id,),
            ).fetchall()
        return tuple(GapRecord(*[*row[:4], bool(row[4])]) for row in rows)

    def progress(self, stream_id: bytes) -> dict[str, int]:
        """The highest channel sequence known of each channel."""
        with faults(self.path):
            return dict(
                self.connection.execute(
                    "SELECT channel, highest_sequence FROM channel_progress WHERE stream_id = ?",
                    (stream_id,),
                ).fetchall()
            )

    def link(self, stream_id: bytes, sequence: int) -> Link | None:
        """A received file's place in the chain; None if it was not received, or long ago."""
        with faults(self.path):
            row = self.connection.execute(
                "SELECT digest, previous_digest FROM files WHERE stream_id = ? AND sequence = ?",
                (stream_id, sequence),
            ).fetchone()
        return Link(*row) if row else None

    @property
    def quarantine_number(self) -> int:
        """All that was ever refused and entered or counted."""
        return self._quarantine.number

    def used_bytes(self) -> int:
        """The database's size without its free pages, and what objects take beside it."""
        with faults(self.path):
            used: int = self.connection.execute(
                "SELECT (page_count - freelist_count) * page_size "
                "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            ).fetchone()[0]
            return used + self.objects.used_bytes()

    def checkpoint(self) -> None:
        """Copy the WAL back while there is nothing else to do. Never waits for readers."""
        with faults(self.path):
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def changes(self) -> Iterator[None]:
        """One transaction; what was counted in it is counted anew if it fails."""
        with faults(self.path):
            try:
                with transaction(self.connection):
                    yield
            except BaseException:
                self._held.reload()
                self._quarantine.reload()
                self.objects.settle(committed=False)
                raise
            self.objects.settle(committed=True)

    def give_up_objects(self, before_ms: int, keep_ms: int, at_ms: int) -> list[Incomplete]:
        """End what `ObjectTable.end_incomplete` says; each goes into quarantine."""
        with self.changes():
            incomplete = self.objects.end_incomplete(before_ms, keep_ms)
            for one in incomplete:
                self._quarantine.add(
                    RefusedThing(
                        "message",
                        reasons.OBJECT_INCOMPLETE,
                        "parts",
                        b"",
                        None,
                        one.stream_id,
                        None,
                        one.channel,
                        one.message_id,
                    ),
                    at_ms,
                )
        return incomplete

    def _file(
        self, batch: Batch, file: TakenFile, repeated: set[Repeat], ended: list[EndedObject]
    ) -> None:
        stream_id = batch.stream.stream_id
        self.connection.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)",
            (
                stream_id,
                file.sequence,
                file.link.digest,
                file.link.previous_digest,
                batch.received_at_ms,
                file.entries,
            ),
        )
        for message in file.messages:
            if not self._message(batch, file, message):
                repeated.add((file.sequence, message.message_id))
        for new in file.parts:
            self._part(batch, file, new, ended)
        for tombstone in file.tombstones:
            self.objects.withdraw(tombstone.message_id)
        for thing in file.refused:
            self._refuse(batch, file, thing, ended)

    def _refuse(
        self, batch: Batch, file: TakenFile, thing: RefusedThing, ended: list[EndedObject]
    ) -> None:
        part = thing.part
        if part is not None:
            if not self.objects.close(part, batch.stream.stream_id, batch.part_times):
                return
            ended.append(_ended(file, part, thing.reason))
        self._quarantine.add(thing, batch.received_at_ms)

    def _part(self, batch: Batch, file: TakenFile, new: NewPart, ended: list[EndedObject]) -> None:
        stream_id = batch.stream.stream_id
        try:
            whole = self.objects.take(new, stream_id, batch.part_times)
        except Refused as error:
            thing = refused_part(stream_id, file.sequence, new.part, error.reason, error.where)
            self._refuse(batch, file, thing, ended)
            return
        if whole is None:
            return
        message = NewMessage(
            whole.message_id,
            whole.channel,
            whole.channel_sequence,
            whole.accepted_at_ms,
            whole.content_type,
            whole.message_type,
            whole.control_id,
            b"",
        )
        self._enter(batch, file, message, whole.object_bytes, is_object=True)
        ended.append(_ended(file, new.part, None))

    def _message(self, batch: Batch, file: TakenFile, message: NewMessage) -> bool:
        return self._enter(batch, file, message, len(message.payload), is_object=False)

    def _enter(
        self,
        batch: Batch,
        file: TakenFile,
        message: NewMessage,
        payload_bytes: int,
        *,
        is_object: bool,
    ) -> bool:
        is_held = message.channel in batch.held
        row = (
            message.message_id,
            batch.stream.stream_id,
            file.sequence,
            message.channel,
            message.channel_sequence,
            message.accepted_at_ms,
            batch.received_at_ms,
            message.content_type,
            message.message_type,
            message.control_id,
            message.order_key and self._cipher.keyed_digest(message.order_key),
            # What is held is delivered in its order, and so is what it waited for.
            file.late and not is_held,
            payload_bytes,
            is_object,
        )
        sealed = self._cipher.seal(message.message_id, message.payload)
        if is_held:
            return self._held.add(row, sealed)
        if self._held.knows(message.message_id):
            return False
        cursor = self.connection.execute(_MESSAGE, row)
        if cursor.rowcount != 1:
            return False
        self.connection.execute("INSERT INTO payloads VALUES (?, ?)", (cursor.lastrowid, sealed))
        return True

    def _stream(self, stream: StreamRecord) -> None:
        self.connection.execute(
            _STREAM,
            (
                stream.stream_id,
                stream.sender,
                stream.state,
                stream.next_sequence,
                stream.last_digest,
                stream.first_seen_at_ms,
                stream.last_file_at_ms,
                stream.last_sealed_at_ms,
            ),
        )

    def _progress(self, stream_id: bytes, progress: Mapping[str, int]) -> None:
        self.connection.executemany(
            "INSERT INTO channel_progress VALUES (?, ?, ?) ON CONFLICT (stream_id, channel) "
            "DO UPDATE SET highest_sequence = excluded.highest_sequence "
            "WHERE highest_sequence < excluded.highest_sequence",
            [(stream_id, channel, highest) for channel, highest in progress.items()],
        )

    def _gaps(self, stream_id: bytes, gaps: tuple[GapRecord, ...]) -> None:
        self.connection.execute("DELETE FROM gaps WHERE stream_id = ?", (stream_id,))
        self.connection.executemany(
            "INSERT INTO gaps VALUES (?, ?, ?, ?, ?)",
            [
                (
                    stream_id,
                    gap.first_sequence,
                    gap.last_sequence,
                    gap.opened_at_ms,
                    gap.given_up,
                )
                for gap in gaps
            ],
        )


def _ended(file: TakenFile, part: Part, refused: Reason | None) -> EndedObject:
    return EndedObject(
        file.sequence,
        part.message_id,
        part.channel,
        part.accepted_at_ms,
        part.object_bytes,
        refused,
    )
