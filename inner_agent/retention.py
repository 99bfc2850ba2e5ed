"""What the journal may forget, and when: payloads first, records much later, nothing still needed.

A payload goes when it is older than the retention *and* delivery.db says that its message is
settled: at or below its channel's cursor, and neither a dead letter, nor requeued, nor being
retried. Without a readable delivery.db nothing is settled. A record (which keeps the message's id
known, so that it is never replayed) goes only after its payload, and after a retention of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inner_agent.journal_schema import faults, transaction
from inner_agent.journal_writer import JournalWriter

PRUNED_PER_CALL: Final = 500
"""Bounds the pause that one call puts between two files."""

_HOUR_MS: Final = 3_600_000
_NOT_SETTLED: Final = "state IN ('delivering','dead','requeued')"

Candidate = tuple[int, str]
"""A message's position and channel."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Hours that payloads and records are kept; the journal's size above which payloads of settled
    messages go earlier. Records default to the 180 days of the audit trail."""  # noqa: D205, D209

    keep_hours: float = 72
    keep_record_hours: float = 180 * 24
    bytes_max: int = 20 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call removed."""

    payloads: int
    records: int


class Retention:
    """Prunes the journal in small steps; to be called when there is nothing else to do."""

    def __init__(self, writer: JournalWriter, delivery_path: Path, policy: RetentionPolicy) -> None:
        self._writer = writer
        self._delivery_path = delivery_path
        self._policy = policy
        self._looked_up_to = 0

    def prune(self, now_ms: int) -> Pruned:
        """Remove up to PRUNED_PER_CALL payloads and as many records. Raises StorageFault."""
        before_ms = now_ms - int(self._policy.keep_hours * _HOUR_MS)
        if self._writer.used_bytes() > self._policy.bytes_max:
            before_ms = now_ms + _HOUR_MS
        return Pruned(self._payloads(before_ms), self._records(now_ms))

    def _payloads(self, before_ms: int) -> int:
        connection = self._writer.connection
        with faults(self._writer.path):
            rows: list[Candidate] = connection.execute(
                "SELECT position, channel FROM messages WHERE payload IS NOT NULL "
                "AND position > ? AND received_at_ms < ? ORDER BY position LIMIT ?",
                (self._looked_up_to, before_ms, PRUNED_PER_CALL),
            ).fetchall()
            positions = settled(self._delivery_path, rows)
            with transaction(connection):
                connection.executemany(
                    "UPDATE messages SET payload = NULL WHERE position = ?",
                    [(position,) for position in positions],
                )
        # What is not settled yet is looked at again in the next round, from the beginning.
        self._looked_up_to = rows[-1][0] if len(rows) == PRUNED_PER_CALL else 0
        return len(positions)

    def _records(self, now_ms: int) -> int:
        before_ms = now_ms - int(self._policy.keep_record_hours * _HOUR_MS)
        connection = self._writer.connection
        with faults(self._writer.path), transaction(connection):
            number = connection.execute(
                "DELETE FROM messages WHERE position IN (SELECT position FROM messages "
                "WHERE payload IS NULL AND received_at_ms < ? ORDER BY position LIMIT ?)",
                (before_ms, PRUNED_PER_CALL),
            ).rowcount
            for stream in self._writer.streams():
                self._links(stream.stream_id, stream.next_sequence, before_ms)
        return number

    def _links(self, stream_id: bytes, next_sequence: int, before_ms: int) -> None:
        """Forget old files' links, but never one that the chain will be held against."""
        connection = self._writer.connection
        needed = {next_sequence - 1}
        for gap in self._writer.gaps(stream_id):
            needed |= {gap.first_sequence - 1, gap.last_sequence + 1}
        rows = connection.execute(
            "SELECT sequence, received_at_ms FROM files WHERE stream_id = ? "
            "ORDER BY sequence LIMIT ?",
            (stream_id, PRUNED_PER_CALL + len(needed)),
        ).fetchall()
        connection.executemany(
            "DELETE FROM files WHERE stream_id = ? AND sequence = ?",
            [
                (stream_id, sequence)
                for sequence, received_at_ms in rows
                if received_at_ms < before_ms and sequence not in needed
            ],
        )


def settled(delivery_path: Path, candidates: Sequence[Candidate]) -> list[int]:
    """The positions whose messages nobody will deliver again, by delivery.db, read-only."""
    if not candidates or not delivery_path.exists():
        return []
    uri = f"{delivery_path.absolute().as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=1.0)
        try:
            cursors = dict(connection.execute("SELECT channel, position FROM cursors").fetchall())
            open_positions = {
                row[0]
                for row in connection.execute(
                    f"SELECT position FROM deliveries WHERE {_NOT_SETTLED} "  # noqa: S608
                    "AND position BETWEEN ? AND ?",
                    (candidates[0][0], candidates[-1][0]),
                )
            }
        finally:
            connection.close()
    except sqlite3.Error:
        return []
    return [
        position
        for position, channel in candidates
        if position <= cursors.get(channel, 0) and position not in open_positions
    ]
