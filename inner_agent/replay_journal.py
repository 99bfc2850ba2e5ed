"""The journal as the replayer reads it: one damaged payload must not hold its channel for ever.

`JournalReader` raises for a payload that does not open, and cannot tell a damaged one from a wrong
journal key. With a wrong key every message must wait. So a payload is given up as unreadable only
if a later one of the same channel opens; a requeued one that does not open is given up at once (it
goes back to where it was, among the dead letters).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import StorageFault
from inner_agent.channel_pipeline import UnreadableMessage

if TYPE_CHECKING:
    from inner_agent.journal import JournaledMessage, JournalReader

LATER_TRIED: Final = 16
"""How many later messages are tried: more damaged ones in a row look like a wrong key."""


class ReplayJournal:
    """Wraps a `JournalReader`; has the methods of `channel_pipeline.Journal`."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader

    def waiting(
        self, channel: str, after_position: int, limit: int
    ) -> list[JournaledMessage | UnreadableMessage]:
        """Return the channel's next messages; at most one unreadable one, as the only item.

        Raises StorageFault if the journal cannot be read, or no payload of the channel opens.
        """
        try:
            return [*self._reader.waiting(channel, after_position, limit)]
        except StorageFault:
            if limit > 1:
                # Everything before the one that does not open is delivered first.
                return self.waiting(channel, after_position, limit // 2)
            damaged = self._damaged(channel, after_position)
            if damaged is None:
                raise
            return [damaged]

    def get(self, position: int) -> JournaledMessage | UnreadableMessage | None:
        """Return one message, None if it or its payload is no longer kept. Raises StorageFault."""
        record = self._reader.record(position)
        try:
            return self._reader.get(position)
        except StorageFault:
            if record is None:
                raise
            return UnreadableMessage(position, record.message_id)

    def order_key(self, position: int) -> bytes | None:
        """Return the order key of one message, if it has one."""
        return self._reader.order_key(position)

    def highest_position(self) -> int:
        """Return the highest position ever given out, 0 if none."""
        return self._reader.highest_position()

    def retention_at_ms(self) -> int | None:
        """Return how far the clock of deletion has come; None before the first deletion."""
        return self._reader.retention_at_ms()

    def waiting_count(self, channel: str, after_position: int) -> int:
        """Return how many of the channel's messages lie above `after_position`."""
        return self._reader.waiting_count(channel, after_position)

    def _damaged(self, channel: str, after_position: int) -> UnreadableMessage | None:
        """Return the channel's next message if one of the LATER_TRIED after it opens."""
        position = self._next_position(channel, after_position)
        later = position
        for _ in range(LATER_TRIED):
            try:
                opens = bool(self._reader.waiting(channel, later, 1))
            except StorageFault:
                later = self._next_position(channel, later)
                continue
            record = self._reader.record(position)
            return UnreadableMessage(position, record.message_id) if opens and record else None
        return None

    def _next_position(self, channel: str, after_position: int) -> int:
        """Return the position of the channel's next message, by bisection over the counts."""
        count = self._reader.waiting_count(channel, after_position)
        low, high = after_position + 1, self._reader.highest_position()
        while low < high:
            middle = (low + high) // 2
            if self._reader.waiting_count(channel, middle) < count:
                high = middle
            else:
                low = middle + 1
        return low
