"""Messages that were verified and wait for earlier ones of their channel: the verifier's tables.

They get their place in the journal, and with it their turn at the sink, when what they wait for has
come or was given up; in the channel's order, whatever order they came in.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any, Final

from inner_agent.channel_gaps import Missing, MissingMessages

RELEASED_PER_COMMIT: Final = 500

_COLUMNS: Final = (
    "message_id, stream_id, file_sequence, channel, channel_sequence, accepted_at_ms, "
    "received_at_ms, content_type, message_type, control_id, order_key, late, payload_bytes, "
    "is_object"
)
_NEXT: Final = (
    "SELECT message_id FROM held_messages WHERE stream_id = ? AND channel = ? "
    "AND channel_sequence < ? ORDER BY channel_sequence LIMIT ?"
)
_PAST_ALL: Final = 2**63 - 1


class HeldTable:
    """Belongs inside transactions of the journal."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: Counter[tuple[bytes, str]] = Counter()
        self.reload()

    def reload(self) -> None:
        """Count anew: a transaction was rolled back."""
        rows = self._connection.execute(
            "SELECT stream_id, channel, count(*) FROM held_messages GROUP BY stream_id, channel"
        )
        self._numbers = Counter(
            {(stream_id, channel): number for stream_id, channel, number in rows}
        )

    def knows(self, message_id: bytes) -> bool:
        """Whether a message with this id waits."""
        if not self._numbers:
            return False
        row = self._connection.execute(
            "SELECT 1 FROM held_messages WHERE message_id = ?", (message_id,)
        ).fetchone()
        return row is not None

    def add(self, row: tuple[Any, ...], sealed: bytes) -> bool:
        """Hold a message, its values in the order of the journal's; False if its id is known."""
        marks = ", ".join("?" for _ in row)
        known = self._connection.execute("SELECT 1 FROM messages WHERE message_id = ?", row[:1])
        if known.fetchone() is not None:
            return False
        added = self._connection.execute(
            f"INSERT INTO held_messages ({_COLUMNS}, payload) VALUES ({marks}, ?) "  # noqa: S608
            "ON CONFLICT (message_id) DO NOTHING",
            (*row, sealed),
        ).rowcount
        self._numbers[row[1], row[3]] += added
        return added == 1

    def release(self, stream_id: bytes, channel: str, before: int | None) -> int:
        """Give the next ones their place in the journal; returns how many.

        Those with a channel sequence below `before`, or all; RELEASED_PER_COMMIT at most.
        """
        where = (stream_id, channel, _PAST_ALL if before is None else before, RELEASED_PER_COMMIT)
        rows = self._connection.execute(_NEXT, where).fetchall()
        for (message_id,) in rows:
            position = self._connection.execute(
                f"INSERT INTO messages ({_COLUMNS}) SELECT {_COLUMNS} FROM held_messages "  # noqa: S608
                "WHERE message_id = ?",
                (message_id,),
            ).lastrowid
            self._connection.execute(
                "INSERT INTO payloads SELECT ?, payload FROM held_messages WHERE message_id = ?",
                (position, message_id),
            )
            self._connection.execute(
                "DELETE FROM held_messages WHERE message_id = ?", (message_id,)
            )
        self._numbers[stream_id, channel] -= len(rows)
        self._numbers = +self._numbers
        return len(rows)

    def counts(self, stream_id: bytes) -> dict[str, int]:
        """How many messages of a stream wait, by channel."""
        return {channel: n for (stream, channel), n in self._numbers.items() if stream == stream_id}

    def missing(self, stream_id: bytes) -> Missing:
        """Which messages of a stream are missing."""
        rows = self._connection.execute(
            "SELECT channel, first_sequence, last_sequence, holds FROM missing_messages "
            "WHERE stream_id = ? ORDER BY channel, first_sequence",
            (stream_id,),
        ).fetchall()
        return tuple(
            MissingMessages(channel, first, last, bool(holds))
            for channel, first, last, holds in rows
        )

    def set_missing(self, stream_id: bytes, missing: Missing) -> None:
        """Record which messages of a stream are missing now."""
        self._connection.execute("DELETE FROM missing_messages WHERE stream_id = ?", (stream_id,))
        self._connection.executemany(
            "INSERT INTO missing_messages VALUES (?, ?, ?, ?, ?)",
            [(stream_id, one.channel, one.first, one.last, one.holds) for one in missing],
        )
