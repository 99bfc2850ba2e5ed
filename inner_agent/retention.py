"""What the journal may forget, and when: payloads first, records much later, nothing still needed.

A payload goes when it is older than the retention *and* delivery.db says that its message is
settled: at or below its channel's cursor, and neither a dead letter, nor requeued, nor being
retried. Without a readable delivery.db nothing is settled. A record (which keeps the message's id
known, so that it is never replayed) goes only after its payload, and after a retention of its own.

Age is told by the clock of deletion, so a wall clock that jumps ahead erases nothing early. Each
call walks a bounded number of rows from where the last one stopped, and begins anew at the first
row that is too young: positions ascend with time, so nothing behind it is older.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

from ferry_runtime.retention_clock import RetentionClock
from inner_agent.journal_schema import faults, transaction
from inner_agent.journal_writer import JournalWriter
from inner_agent.object_table import Incomplete

LOOKED_AT_PER_CALL: Final = 2_000
"""Bounds the pause that one call puts between two files."""

OBJECT_BYTES_PER_CALL: Final = 1024 * 1024 * 1024
"""Objects are removed file by file; a call removes little more of them than this."""

_HOUR_MS: Final = 3_600_000
_NOT_SETTLED: Final = "state IN ('delivering','dead','requeued')"

Candidate = tuple[int, str]
"""A message's position and channel."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Hours that payloads and records are kept; bytes above which settled payloads go earlier."""

    keep_hours: float
    keep_record_hours: float
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call removed; `more`: there may be more to remove at once.

    `incomplete` are objects that were given up.
    """

    payloads: int
    records: int
    incomplete: tuple[Incomplete, ...]
    more: bool


class Retention:
    """Prunes the journal in small steps; to be called when there is nothing else to do."""

    def __init__(
        self, writer: JournalWriter, delivery_path: Path, policy: RetentionPolicy, wall_ms: int
    ) -> None:
        """`wall_ms` is now, by the wall clock, unix milliseconds. Raises StorageFault."""
        self._writer = writer
        self._delivery_path = delivery_path
        self._policy = policy
        self._payloads_up_to = 0
        self._records_up_to = 0
        with faults(writer.path):
            row = writer.connection.execute("SELECT at_ms FROM retention").fetchone()
        self._clock = RetentionClock(row[0] if row else None, wall_ms, time.monotonic())

    def prune(self, wall_ms: int) -> Pruned:
        """Remove what is due among the next LOOKED_AT_PER_CALL rows. Raises StorageFault."""
        now_ms = self._clock.now_ms(wall_ms, time.monotonic())
        is_full = self._writer.used_bytes() > self._policy.bytes_max
        payloads_before_ms = None if is_full else _before(now_ms, self._policy.keep_hours)
        payloads, more_payloads = self._payloads(payloads_before_ms)
        records, more_records = self._records(_before(now_ms, self._policy.keep_record_hours))
        keep_ms = int(self._policy.keep_hours * _HOUR_MS)
        incomplete = self._writer.give_up_objects(now_ms - keep_ms, keep_ms, wall_ms)
        self._remember(now_ms)
        return Pruned(payloads, records, tuple(incomplete), more_payloads or more_records)

    def _payloads(self, before_ms: int | None) -> tuple[int, bool]:
        """Remove settled payloads received before `before_ms`, or whenever if it is None."""
        connection = self._writer.connection
        with faults(self._writer.path):
            rows: list[tuple[int, str, int, bytes, int]] = connection.execute(
                "SELECT position, channel, received_at_ms, message_id, "
                "iif(is_object, payload_bytes, 0) FROM payloads "
                "CROSS JOIN messages USING (position) "
                "WHERE position > ? ORDER BY position LIMIT ?",
                (self._payloads_up_to, LOOKED_AT_PER_CALL),
            ).fetchall()
            old = [*takewhile(lambda row: before_ms is None or row[2] < before_ms, rows)]
            old = _as_far_as(old, OBJECT_BYTES_PER_CALL)
            objects = {row[0]: row[3] for row in old if row[4]}
            positions = settled(self._delivery_path, [row[:2] for row in old])
            with self._writer.changes():
                connection.executemany(
                    "DELETE FROM payloads WHERE position = ?",
                    [(position,) for position in positions],
                )
                for position in objects.keys() & set(positions):
                    self._writer.objects.let_go(objects[position])
        more = len(old) == LOOKED_AT_PER_CALL or sum(row[4] for row in old) > OBJECT_BYTES_PER_CALL
        self._payloads_up_to = old[-1][0] if more else 0
        return len(positions), more

    def _records(self, before_ms: int) -> tuple[int, bool]:
        connection = self._writer.connection
        with faults(self._writer.path), transaction(connection):
            rows = connection.execute(
                "SELECT position, received_at_ms, "
                "EXISTS (SELECT 1 FROM payloads WHERE payloads.position = messages.position) "
                "FROM messages WHERE position > ? ORDER BY position LIMIT ?",
                (self._records_up_to, LOOKED_AT_PER_CALL),
            ).fetchall()
            old = [*takewhile(lambda row: row[1] < before_ms, rows)]
            bare = [(position,) for position, _, has_payload in old if not has_payload]
            connection.executemany("DELETE FROM messages WHERE position = ?", bare)
            self._writer.objects.forget_closed(before_ms)
            for stream in self._writer.streams():
                self._links(stream.stream_id, stream.next_sequence, before_ms)
        more = len(old) == LOOKED_AT_PER_CALL
        self._records_up_to = old[-1][0] if more else 0
        return len(bare), more

    def _links(self, stream_id: bytes, next_sequence: int, before_ms: int) -> None:
        """Forget old files' links, but never one that the chain will be held against."""
        connection = self._writer.connection
        needed = {next_sequence - 1}
        for gap in self._writer.gaps(stream_id):
            needed |= {gap.first_sequence - 1, gap.last_sequence + 1}
        rows = connection.execute(
            "SELECT sequence, received_at_ms FROM files WHERE stream_id = ? "
            "ORDER BY sequence LIMIT ?",
            (stream_id, LOOKED_AT_PER_CALL + len(needed)),
        ).fetchall()
        connection.executemany(
            "DELETE FROM files WHERE stream_id = ? AND sequence = ?",
            [
                (stream_id, sequence)
                for sequence, received_at_ms in rows
                if received_at_ms < before_ms and sequence not in needed
            ],
        )

    def _remember(self, now_ms: int) -> None:
        with faults(self._writer.path), transaction(self._writer.connection):
            self._writer.connection.execute(
                "INSERT INTO retention VALUES (1, ?) "
                "ON CONFLICT (only) DO UPDATE SET at_ms = excluded.at_ms",
                (now_ms,),
            )


def _as_far_as(
    rows: list[tuple[int, str, int, bytes, int]], object_bytes: int
) -> list[tuple[int, str, int, bytes, int]]:
    """The rows up to the one with which their objects pass so many bytes, that one included."""
    total = 0
    for index, row in enumerate(rows, 1):
        total += row[4]
        if total > object_bytes:
            return rows[:index]
    return rows


def _before(now_ms: int, hours: float) -> int:
    return now_ms - int(hours * _HOUR_MS)


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
