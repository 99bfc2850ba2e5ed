"""The inner's record of what crossed, as every process but the verifier sees it: read-only.

A position, once given, never changes and is never given again; positions ascend in the order in
which messages were taken. Payloads are decrypted by `waiting` and `get` alone; whoever searches
gets `MessageRecord`s, which hold none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ferry_format.parts import part_count
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal_schema import connect_reader, faults
from inner_agent.object_store import FOLDER_NAME, ObjectStore

FOUND_MAX = 1_000


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is whole, to be read part by part."""

    message_id: bytes
    object_bytes: int
    store: ObjectStore

    @property
    def parts(self) -> int:
        """How many parts it has, numbered from 1."""
        return part_count(self.object_bytes)

    def read(self, number: int) -> bytes:
        """One part. Raises Refused(NOT_DELIVERABLE) if it is damaged, StorageFault."""
        return self.store.get(self.message_id, number)


@dataclass(frozen=True, slots=True)
class JournaledMessage:
    """One message to replay. Times are unix milliseconds.

    Of an object `payload` is empty, and `large` reads it.
    """

    position: int
    message_id: bytes
    channel: str
    channel_sequence: int
    accepted_at_ms: int
    received_at_ms: int
    content_type: str
    message_type: str
    control_id: str | None
    late: bool
    payload: bytes
    order_key: bytes | None
    large: StoredObject | None = None

    @property
    def whole_bytes(self) -> int:
        """The size of what is to be delivered."""
        return len(self.payload) if self.large is None else self.large.object_bytes

    def pieces(self) -> Iterator[bytes]:
        """What is to be delivered, one part in memory at a time. Raises Refused, StorageFault."""
        if self.large is None:
            yield self.payload
        else:
            yield from map(self.large.read, range(1, self.large.parts + 1))

    def __repr__(self) -> str:
        """Without the payload, so that no log line or traceback can hold it."""
        return f"JournaledMessage({self.position}, {self.message_id.hex()}, {self.channel!r})"


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """What the journal knows of a message, apart from its payload. Times are unix milliseconds."""

    position: int
    message_id: bytes
    stream_id: bytes
    file_sequence: int
    channel: str
    channel_sequence: int
    accepted_at_ms: int
    received_at_ms: int
    content_type: str
    message_type: str
    control_id: str | None
    late: bool
    payload_bytes: int
    payload_kept: bool


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One stream that a trusted sender showed. `state`: trusted, refused or retired."""

    stream_id: bytes
    sender: str
    state: str
    next_sequence: int
    last_digest: bytes | None
    first_seen_at_ms: int
    last_file_at_ms: int
    last_sealed_at_ms: int


@dataclass(frozen=True, slots=True)
class GapRecord:
    """A missing stretch, first and last sequence inclusive. Not `given_up`: still waited for."""

    stream_id: bytes
    first_sequence: int
    last_sequence: int
    opened_at_ms: int
    given_up: bool


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """How much there is. `used_bytes` is the database without its free pages."""

    messages: dict[str, int]
    highest_position: int
    gap_files: int
    quarantine_entries: int
    used_bytes: int


_MESSAGE = (
    "position, message_id, channel, channel_sequence, accepted_at_ms, received_at_ms, "
    "content_type, message_type, control_id, late, payload, order_key, is_object, payload_bytes"
)
_RECORD = (
    "position, message_id, stream_id, file_sequence, channel, channel_sequence, accepted_at_ms, "
    "received_at_ms, content_type, message_type, control_id, late, payload_bytes, "
    "EXISTS (SELECT 1 FROM payloads WHERE payloads.position = messages.position)"
)

_HELD = (
    "0, message_id, stream_id, file_sequence, channel, channel_sequence, accepted_at_ms, "
    "received_at_ms, content_type, message_type, control_id, late, payload_bytes, 1"
)


class JournalReader:
    """Reads journal.db while the verifier writes it. Raises StorageFault where SQLite fails."""

    def __init__(self, path: Path, cipher: PayloadCipher) -> None:
        self._path = path
        self._cipher = cipher
        self._objects = ObjectStore(path.parent / FOLDER_NAME, cipher)
        self._connection = connect_reader(path)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def waiting(self, channel: str, after_position: int, limit: int) -> list[JournaledMessage]:
        """The channel's next messages after a position, in order.

        Without those whose payload was pruned: they were settled. Raises StorageFault also if a
        payload does not open: with a wrong journal key every message must wait, not be lost.
        """
        rows = self._rows(
            f"SELECT {_MESSAGE} FROM messages CROSS JOIN payloads USING (position) "  # noqa: S608
            "WHERE channel = ? AND position > ? ORDER BY position LIMIT ?",
            (channel, after_position, limit),
        )
        return [self._message(row) for row in rows]

    def get(self, position: int) -> JournaledMessage | None:
        """One message; None if there is none, or its payload was pruned."""
        rows = self._rows(
            f"SELECT {_MESSAGE} FROM messages CROSS JOIN payloads USING (position) "  # noqa: S608
            "WHERE position = ?",
            (position,),
        )
        return self._message(rows[0]) if rows else None

    def record(self, position: int) -> MessageRecord | None:
        """What is known of one message, its payload pruned or not."""
        rows = self._rows(f"SELECT {_RECORD} FROM messages WHERE position = ?", (position,))  # noqa: S608
        return _record(rows[0]) if rows else None

    def order_key(self, position: int) -> bytes | None:
        """The order key of one message; None if it has none, or is not known any more."""
        rows = self._rows("SELECT order_key FROM messages WHERE position = ?", (position,))
        return rows[0][0] if rows else None

    def find(
        self,
        *,
        control_id: str | None = None,
        message_id: bytes | None = None,
        channel: str | None = None,
        since_ms: int | None = None,
        limit: int = FOUND_MAX,
    ) -> list[MessageRecord]:
        """The newest messages that meet every given condition, newest first.

        `since_ms` is a time of receipt, unix milliseconds.
        """
        conditions: list[tuple[str, object]] = []
        if control_id is not None:
            conditions.append(("control_id = ?", control_id))
        if message_id is not None:
            conditions.append(("message_id = ?", message_id))
        if channel is not None:
            conditions.append(("channel = ?", channel))
        if since_ms is not None:
            conditions.append(("received_at_ms >= ?", since_ms))
            # Lets the channel's index end the search; receipt times ascend with positions.
            conditions.append(("position >= ?", self._first_position_since(since_ms)))
        where = " AND ".join(text for text, _ in conditions) or "TRUE"
        rows = self._rows(
            f"SELECT {_RECORD} FROM messages WHERE {where} ORDER BY position DESC LIMIT ?",  # noqa: S608
            (*(value for _, value in conditions), min(limit, FOUND_MAX)),
        )
        return [_record(row) for row in rows]

    def held(
        self,
        *,
        control_id: str | None = None,
        message_id: bytes | None = None,
        channel: str | None = None,
        limit: int = FOUND_MAX,
    ) -> list[MessageRecord]:
        """Messages that wait for missing ones of their channel, newest first; their position is 0.

        Those that meet every given condition.
        """
        given = {"control_id": control_id, "message_id": message_id, "channel": channel}
        conditions = {name: value for name, value in given.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in conditions) or "TRUE"
        rows = self._rows(
            f"SELECT {_HELD} FROM held_messages WHERE {where} ORDER BY rowid DESC LIMIT ?",  # noqa: S608
            (*conditions.values(), min(limit, FOUND_MAX)),
        )
        return [_record(row) for row in rows]

    def held_counts(self) -> dict[str, int]:
        """How many messages of each channel wait for missing ones."""
        return dict(self._rows("SELECT channel, count(*) FROM held_messages GROUP BY channel"))

    def arriving_counts(self) -> dict[str, int]:
        """How many objects of each channel wait for more of their parts."""
        return dict(
            self._rows("SELECT channel, count(*) FROM objects WHERE closed = 0 GROUP BY channel")
        )

    def waiting_channels(self, stream_id: bytes) -> list[str]:
        """The channels that are held up by missing messages of a stream."""
        rows = self._rows(
            "SELECT DISTINCT channel FROM missing_messages WHERE stream_id = ? AND holds = 1 "
            "ORDER BY channel",
            (stream_id,),
        )
        return [channel for (channel,) in rows]

    def highest_position(self) -> int:
        """The position given out last, also if its message is gone since; 0 before the first."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
        return int(rows[0][0]) if rows else 0

    def waiting_count(self, channel: str, after_position: int) -> int:
        """How many of the channel's messages have a higher position."""
        rows = self._rows(
            "SELECT count(*) FROM messages WHERE channel = ? AND position > ?",
            (channel, after_position),
        )
        return int(rows[0][0])

    def oldest_waiting_ms(self, channel: str, after_position: int) -> int | None:
        """When the first of the channel's messages with a higher position was received."""
        rows = self._rows(
            "SELECT received_at_ms FROM messages WHERE channel = ? AND position > ? "
            "ORDER BY position LIMIT 1",
            (channel, after_position),
        )
        return int(rows[0][0]) if rows else None

    def streams(self) -> list[StreamRecord]:
        """Every stream, oldest first."""
        rows = self._rows(
            "SELECT stream_id, sender, state, next_sequence, last_digest, first_seen_at_ms, "
            "last_file_at_ms, last_sealed_at_ms FROM streams ORDER BY first_seen_at_ms, stream_id"
        )
        return [StreamRecord(*row) for row in rows]

    def gaps(self) -> list[GapRecord]:
        """What is missing now."""
        rows = self._rows(
            "SELECT stream_id, first_sequence, last_sequence, opened_at_ms, given_up FROM gaps "
            "ORDER BY stream_id, first_sequence"
        )
        return [GapRecord(*[*row[:4], bool(row[4])]) for row in rows]

    def retention_at_ms(self) -> int | None:
        """How far the clock of deletion has come; None before the journal was ever pruned."""
        rows = self._rows("SELECT at_ms FROM retention")
        return int(rows[0][0]) if rows else None

    def counts(self) -> JournalCounts:
        """How much there is; walks an index over all messages."""
        messages = dict(self._rows("SELECT channel, count(*) FROM messages GROUP BY channel"))
        gap_files = self._rows(
            "SELECT CAST(total(last_sequence - first_sequence + 1) AS INTEGER) FROM gaps"
        )
        entries = self._rows(
            "SELECT (SELECT count(*) FROM quarantine) + "
            "(SELECT coalesce(sum(number), 0) FROM quarantine_overflow)"
        )
        used = self._rows(
            "SELECT (page_count - freelist_count) * page_size "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
        return JournalCounts(
            messages, self.highest_position(), gap_files[0][0], entries[0][0], used[0][0]
        )

    def _first_position_since(self, since_ms: int) -> int:
        """The lowest position received at or after `since_ms`, by bisection."""
        low, high = 1, self.highest_position() + 1
        while low < high:
            middle = (low + high) // 2
            rows = self._rows(
                "SELECT position, received_at_ms FROM messages WHERE position >= ? "
                "ORDER BY position LIMIT 1",
                (middle,),
            )
            if rows and rows[0][1] < since_ms:
                low = rows[0][0] + 1
            else:
                high = middle
        return low

    def _message(self, row: Any) -> JournaledMessage:
        *fields, late, sealed, order_key, is_object, payload_bytes = row
        message_id = fields[1]
        payload = self._cipher.unseal(message_id, sealed)
        large = StoredObject(message_id, payload_bytes, self._objects) if is_object else None
        return JournaledMessage(*[*fields, bool(late), payload, order_key, large])

    def _rows(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        with faults(self._path):
            return self._connection.execute(query, parameters).fetchall()


def _record(row: Any) -> MessageRecord:
    *fields, late, payload_bytes, kept = row
    return MessageRecord(*[*fields, bool(late), payload_bytes, bool(kept)])
