"""delivery.db: what became of each journaled message; the running replayer's side of it.

SQLite, WAL, synchronous=FULL: an outcome that `commit` returned for survives a power cut. Nothing
is written before a message is sent (delivery.py says why). One commit carries every outcome that
waited while the one before was made durable, and moves the cursors in the same transaction, so
that after a restart nothing settled is delivered again.

The operators' commands (operator_orders.py) write the same database from another process. The
replayer sees that by `PRAGMA data_version`, which changes with other connections' commits only:
for that to hold, one connection, and so one thread at a time, does all of the replayer's work.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import STORAGE_FAILED, StorageFault
from inner_agent.delivery import ChannelQueue, Progress, State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from inner_agent.delivery import Requeued

VERSION: Final = 1
BUSY_TIMEOUT_MS: Final = 5_000
DELIVERY_MODE: Final = 0o660
"""The operators' commands write it through the group."""

SCHEMA: Final = """
CREATE TABLE deliveries (
  position INTEGER PRIMARY KEY,
  message_id BLOB NOT NULL,
  channel TEXT NOT NULL,
  state TEXT NOT NULL
    CHECK (state IN ('delivering','delivered','dead','requeued','discarded')),
  attempts INTEGER NOT NULL,
  refusals INTEGER NOT NULL DEFAULT 0,
  reason TEXT,
  first_attempt_at_ms INTEGER,
  settled_at_ms INTEGER
);
CREATE INDEX deliveries_not_delivered ON deliveries (state, channel, position)
  WHERE state IN ('delivering','dead','requeued','discarded');
CREATE TABLE cursors (channel TEXT PRIMARY KEY, position INTEGER NOT NULL);
"""

_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_RECORD: Final = """
INSERT INTO deliveries (position, message_id, channel, state, attempts, refusals, reason,
                        first_attempt_at_ms, settled_at_ms)
VALUES {rows}
ON CONFLICT (position) DO UPDATE SET
  state = excluded.state, attempts = excluded.attempts, refusals = excluded.refusals,
  reason = excluded.reason, first_attempt_at_ms = excluded.first_attempt_at_ms,
  settled_at_ms = excluded.settled_at_ms
WHERE deliveries.state <> 'discarded' OR excluded.state = 'delivered'
"""
_MOVE_CURSOR: Final = """
INSERT INTO cursors (channel, position) VALUES (?, ?)
ON CONFLICT (channel) DO UPDATE SET position = max(position, excluded.position)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One message's state after an attempt, and where its channel's cursor stands with it."""

    position: int
    message_id: bytes
    channel: str
    state: State
    progress: Progress
    reason: str | None
    settled_at_ms: int | None
    cursor: int


@dataclass(frozen=True, slots=True)
class Orders:
    """What operators ordered.

    `requeued`: all that is, by channel. `discarded`: which of the positions asked for.
    """

    requeued: dict[str, list[Requeued]]
    discarded: frozenset[int]


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open delivery.db for writing, with the settings that every writer must use.

    Raises StorageFault if it cannot be opened, is absent and not to be created, or has the schema
    of another version.
    """
    try:
        if create:
            with contextlib.suppress(FileExistsError):
                # SQLite gives the WAL and its index the database's mode.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, DELIVERY_MODE))
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )
        try:
            _prepare(connection, create=create)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise StorageFault(STORAGE_FAILED, f"{path.name}: {error}") from error
    return connection


def _prepare(connection: sqlite3.Connection, *, create: bool) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    with transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and create:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise StorageFault(STORAGE_FAILED, f"delivery.db has version {version}, not {VERSION}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one write transaction, durable when the block is left without error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _values(outcome: Outcome) -> tuple[object, ...]:
    progress = outcome.progress
    return (
        outcome.position,
        outcome.message_id,
        outcome.channel,
        outcome.state.value,
        progress.attempts,
        progress.refusals,
        outcome.reason,
        progress.first_attempt_at_ms,
        outcome.settled_at_ms,
    )


class DeliveryStore:
    """The replayer's own connection; not to be used by two threads at once.

    Queries repeat the partial index's condition literally: otherwise SQLite does not take it.
    """

    def __init__(self, path: Path) -> None:
        self._connection = connect(path, create=True)
        self._data_version = -1
        self._forgotten_up_to = 0

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def load(self, channel: str) -> ChannelQueue:
        """Return the channel's queue as the last run left it."""
        row = self._connection.execute(
            "SELECT position FROM cursors WHERE channel = ?", (channel,)
        ).fetchone()
        queue = ChannelQueue(channel, row[0] if row else 0)
        rows = self._connection.execute(
            "SELECT position, state, attempts, refusals, first_attempt_at_ms FROM deliveries "
            "WHERE channel = ? AND position > ?",
            (channel, queue.cursor),
        )
        for position, state, *progress in rows:
            if state in (State.DELIVERING, State.REQUEUED):
                queue.unfinished[position] = Progress(*progress)
            else:
                queue.settled_ahead.add(position)
        return queue

    def requeued(self, channel: str, cursor: int) -> list[Requeued]:
        """What was requeued at or below the cursor and not settled when the last run ended."""
        rows = self._connection.execute(
            "SELECT position, attempts, refusals, first_attempt_at_ms FROM deliveries "
            "WHERE state IN ('delivering','dead','requeued','discarded') "
            "AND state IN ('requeued', 'delivering') AND channel = ? "
            "AND position <= ? ORDER BY position",
            (channel, cursor),
        )
        return [(position, Progress(*progress)) for position, *progress in rows]

    def commit(self, outcomes: Sequence[Outcome]) -> None:
        """Make the outcomes durable, all or none. Raises sqlite3.Error."""
        if not outcomes:
            return
        cursors: dict[str, int] = {}
        for outcome in outcomes:
            cursors[outcome.channel] = max(outcome.cursor, cursors.get(outcome.channel, 0))
        values = [value for outcome in outcomes for value in _values(outcome)]
        with transaction(self._connection):
            # One statement: each gives the interpreter's lock away to the deliveries and must
            # have it back.
            self._connection.execute(_RECORD.format(rows=", ".join([_ROW] * len(outcomes))), values)
            self._connection.executemany(_MOVE_CURSOR, cursors.items())

    def orders(self, asked: Collection[int]) -> Orders | None:
        """Return the operators' orders, or None if nobody else wrote since the last call."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return None
        rows = self._connection.execute(
            "SELECT channel, position, attempts, refusals, first_attempt_at_ms FROM deliveries "
            "WHERE state IN ('delivering','dead','requeued','discarded') "
            "AND state = 'requeued' ORDER BY position"
        )
        requeued: dict[str, list[Requeued]] = {}
        for channel, position, *progress in rows:
            requeued.setdefault(channel, []).append((position, Progress(*progress)))
        discarded = frozenset(
            position
            for position in asked
            if self._connection.execute(
                "SELECT 1 FROM deliveries WHERE position = ? AND state = 'discarded'", (position,)
            ).fetchone()
        )
        self._data_version = version
        return Orders(requeued, discarded)

    def dead_letters(self) -> dict[str, int]:
        """Return how many dead letters each channel has."""
        rows = self._connection.execute(
            "SELECT channel, count(*) FROM deliveries "
            "WHERE state IN ('delivering','dead','requeued','discarded') "
            "AND state = 'dead' GROUP BY channel"
        )
        return dict(rows.fetchall())

    def forget_delivered(self, settled_before_ms: int, rows_max: int) -> int:
        """Delete old delivered or discarded rows; return how many. Dead letters stay.

        Only rows at or below their channel's cursor go: there the cursor alone tells that they
        are settled. A call looks at `rows_max` rows, from where the last one stopped, and begins
        anew at the first row that was settled since.
        """
        with transaction(self._connection):
            rows = self._connection.execute(
                "SELECT position, state, settled_at_ms, position <= "
                "(SELECT c.position FROM cursors AS c WHERE c.channel = d.channel) "
                "FROM deliveries AS d WHERE position > ? ORDER BY position LIMIT ?",
                (self._forgotten_up_to, rows_max),
            ).fetchall()
            old = [*takewhile(lambda row: row[2] is None or row[2] < settled_before_ms, rows)]
            gone = [
                (position,)
                for position, state, _, is_below_cursor in old
                if is_below_cursor and state in (State.DELIVERED, State.DISCARDED)
            ]
            self._connection.executemany("DELETE FROM deliveries WHERE position = ?", gone)
        self._forgotten_up_to = old[-1][0] if len(old) == rows_max else 0
        return len(gone)
