"""Objects that are still coming: the verifier's tables of them, and when one is whole.

An object becomes a message of its channel when its last missing part has come, whichever that is;
until then it is no message, and a sink hears nothing of it. What was withdrawn, refused or given up
is `closed`: its parts are gone, and what comes of it later is dropped.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import Final

from ferry_format import parts, reasons
from ferry_format.envelope import Part
from ferry_format.reasons import Refused
from inner_agent.object_judging import ObjectJudging
from inner_agent.object_store import ObjectStore
from validators.verdict import Accepted

ENDED_PER_CALL: Final = 100

_INCOMPLETE: Final = """
SELECT message_id, stream_id, channel FROM objects CROSS JOIN streams USING (stream_id)
WHERE closed = 0 AND last_part_at_ms < ?
  AND (state <> 'trusted' OR last_sealed_at_ms - last_part_sealed_at_ms > ?)
  AND NOT EXISTS (SELECT 1 FROM missing_messages AS missing WHERE holds = 1
    AND missing.stream_id = objects.stream_id AND missing.channel = objects.channel)
LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class PartTimes:
    """When a part was taken, by our clock, and when its file was sealed, by the sender's."""

    received_ms: int
    sealed_ms: int


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part that passed everything: as it was signed, and its payload as it may be delivered."""

    part: Part
    payload: bytes

    def __repr__(self) -> str:
        """Without the payload."""
        return f"NewPart({self.part.message_id.hex()}, {self.part.number})"


@dataclass(frozen=True, slots=True)
class WholeObject:
    """An object of which every part is there; its place is that of its last part."""

    message_id: bytes
    channel: str
    channel_sequence: int
    accepted_at_ms: int
    content_type: str
    object_bytes: int
    message_type: str
    control_id: str | None


@dataclass(frozen=True, slots=True)
class Incomplete:
    """An object that waited too long for the parts that are missing."""

    message_id: bytes
    stream_id: bytes
    channel: str


class ObjectTable:
    """Belongs inside transactions of the journal; `settle` after each, committed or not."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        store: ObjectStore,
        judging: ObjectJudging | None = None,
    ) -> None:
        self._connection = connection
        self.store = store
        self._judging = judging
        self._ended: list[bytes] = []

    def kept(self) -> set[bytes]:
        """The objects whose parts are needed."""
        rows = self._connection.execute(
            "SELECT message_id FROM objects WHERE closed = 0 UNION ALL "
            "SELECT message_id FROM messages CROSS JOIN payloads USING (position) "
            "WHERE is_object = 1 UNION ALL SELECT message_id FROM held_messages WHERE is_object = 1"
        )
        return {row[0] for row in rows}

    def arriving(self) -> int:
        """How many objects wait for more of their parts."""
        number: int = self._connection.execute(
            "SELECT count(*) FROM objects WHERE closed = 0"
        ).fetchone()[0]
        return number

    def used_bytes(self) -> int:
        """What the parts of all objects take."""
        used: int = self._connection.execute(
            "SELECT CAST((SELECT total(bytes) FROM parts) + (SELECT total(payload_bytes) "
            "FROM messages CROSS JOIN payloads USING (position) WHERE is_object = 1) + (SELECT "
            "total(payload_bytes) FROM held_messages WHERE is_object = 1) AS INTEGER)"
        ).fetchone()[0]
        return used

    def take(self, new: NewPart, stream_id: bytes, at: PartTimes) -> WholeObject | None:
        """Take a part; the object, if it is whole now. What is known or closed is dropped.

        Raises Refused: OBJECT_BROKEN if it contradicts another part, or the digest does not fit;
        what the validator says where the channel's objects are judged to their end. Raises
        Unavailable(VALIDATOR_UNAVAILABLE).
        """
        part = new.part
        known = self._connection.execute(
            "SELECT stream_id, channel, content_type, accepted_at_ms, object_bytes, closed "
            "FROM objects WHERE message_id = ?",
            (part.message_id,),
        ).fetchone()
        if known is None and self._is_message(part.message_id):
            return None
        if known is None:
            self._insert(part, stream_id, at)
        elif known[5]:
            return None
        elif known[:5] != _same_in_all(part, stream_id):
            raise Refused(reasons.OBJECT_BROKEN, f"part {part.number}")
        if not self._add(new, at):
            return None
        verdict = self._judge(part)
        return self._whole(part, verdict)

    def close(self, part: Part, stream_id: bytes, at: PartTimes) -> bool:
        """Refuse the object that a part belongs to; False if that was done before."""
        if self._is_message(part.message_id):
            return False
        self._insert(part, stream_id, at)
        return self._end(part.message_id)

    def withdraw(self, message_id: bytes) -> None:
        """Forget what came of an object that its sender withdrew."""
        self._end(message_id)

    def end_incomplete(self, before_ms: int, keep_ms: int) -> list[Incomplete]:
        """End objects whose missing parts can't be on their way any more; those that were ended.

        Their last part came before `before_ms`, and the stream has gone on for `keep_ms` since, by
        its sender's clock, so that a medium or an outer that is away for long ends nothing. While
        the channel waits for missing messages, its objects wait too.
        """
        rows = self._connection.execute(
            _INCOMPLETE, (before_ms, keep_ms, ENDED_PER_CALL)
        ).fetchall()
        for message_id, _, _ in rows:
            self._end(message_id)
        return [Incomplete(*row) for row in rows]

    def forget_closed(self, before_ms: int) -> None:
        """Forget objects that were closed long ago."""
        self._connection.execute(
            "DELETE FROM objects WHERE message_id IN (SELECT message_id FROM objects "
            "WHERE closed = 1 AND last_part_at_ms < ? LIMIT ?)",
            (before_ms, ENDED_PER_CALL),
        )

    def let_go(self, message_id: bytes) -> None:
        """The parts of a whole object are needed no more."""
        self._ended.append(message_id)

    def settle(self, *, committed: bool) -> None:
        """Remove the parts of what ended, once no row names them."""
        if not committed and self._judging is not None:
            self._judging.forget()
        ended, self._ended = self._ended, []
        if committed:
            for message_id in ended:
                self.store.discard(message_id)

    def _is_message(self, message_id: bytes) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM messages WHERE message_id = ? "
            "UNION ALL SELECT 1 FROM held_messages WHERE message_id = ?",
            (message_id, message_id),
        ).fetchone()
        return row is not None

    def _insert(self, part: Part, stream_id: bytes, at: PartTimes) -> None:
        self._connection.execute(
            "INSERT INTO objects (message_id, stream_id, channel, content_type, accepted_at_ms, "
            "object_bytes, closed, last_part_at_ms, last_part_sealed_at_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (message_id) DO NOTHING",
            (part.message_id, *_same_in_all(part, stream_id), 0, at.received_ms, at.sealed_ms),
        )

    def _add(self, new: NewPart, at: PartTimes) -> bool:
        part = new.part
        added = self._connection.execute(
            "INSERT INTO parts VALUES (?, ?, ?, ?) ON CONFLICT (message_id, number) DO NOTHING",
            (
                part.message_id,
                part.number,
                parts.part_digest(part.payload),
                len(part.payload),
            ),
        ).rowcount
        if not added:
            return False
        self.store.put(part.message_id, part.number, new.payload)
        self._connection.execute(
            "UPDATE objects SET last_part_at_ms = ?, last_part_sealed_at_ms = ? "
            "WHERE message_id = ?",
            (at.received_ms, at.sealed_ms, part.message_id),
        )
        if part.is_last:
            self._connection.execute(
                "UPDATE objects SET digest = ?, channel_sequence = ? WHERE message_id = ?",
                (part.digest, part.channel_sequence, part.message_id),
            )
        return True

    def _judge(self, part: Part) -> Accepted | None:
        """Go on judging the object as far as its parts are there."""
        if self._judging is None or not self._judging.judges(part.channel):
            return None
        there = self._connection.execute(
            "SELECT number FROM parts WHERE message_id = ? ORDER BY number", (part.message_id,)
        )
        return self._judging.advance(
            part.channel,
            part.message_id,
            parts.part_count(part.object_bytes),
            [number for (number,) in there],
            partial(self.store.get, part.message_id),
        )

    def _whole(self, part: Part, verdict: Accepted | None) -> WholeObject | None:
        message_id, count = part.message_id, parts.part_count(part.object_bytes)
        number = self._connection.execute(
            "SELECT count(*) FROM parts WHERE message_id = ?", (message_id,)
        ).fetchone()[0]
        if number < count:
            return None
        digests = self._connection.execute(
            "SELECT digest FROM parts WHERE message_id = ? ORDER BY number", (message_id,)
        )
        digest, *row = self._connection.execute(
            "SELECT digest, message_id, channel, channel_sequence, accepted_at_ms, content_type, "
            "object_bytes FROM objects WHERE message_id = ?",
            (message_id,),
        ).fetchone()
        if parts.object_digest(one for (one,) in digests) != digest:
            raise Refused(reasons.OBJECT_BROKEN, "object digest")
        if self._judging is not None and self._judging.judges(part.channel) and verdict is None:
            raise Refused(reasons.OBJECT_BROKEN, "not judged to its end")
        self._connection.execute("DELETE FROM parts WHERE message_id = ?", (message_id,))
        self._connection.execute("DELETE FROM objects WHERE message_id = ?", (message_id,))
        kind = part.content_type if verdict is None else verdict.message_type
        control_id = None if verdict is None else verdict.control_id
        return WholeObject(*(*row, kind, control_id))

    def _end(self, message_id: bytes) -> bool:
        closed = self._connection.execute(
            "UPDATE objects SET closed = 1 WHERE message_id = ? AND closed = 0", (message_id,)
        ).rowcount
        if closed:
            self._connection.execute("DELETE FROM parts WHERE message_id = ?", (message_id,))
            self._ended.append(message_id)
        return closed == 1


def _same_in_all(part: Part, stream_id: bytes) -> tuple[bytes, str, str, int, int]:
    return stream_id, part.channel, part.content_type, part.accepted_at_ms, part.object_bytes
