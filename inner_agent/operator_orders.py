"""What operators ask and order about deliveries, from another process than the running replayer.

An order is one row's change of state in delivery.db, by the table in delivery.py. The replayer sees
it within a second, or at once if the caller then pokes the hint FIFO.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import STORAGE_FAILED, StorageFault
from inner_agent.delivery import TRANSITIONS, State
from inner_agent.delivery_store import connect, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

REASON_CHARS_MAX: Final = 200
DEAD_LETTERS_LISTED_MAX: Final = 10_000


def _may_become(state: State) -> str:
    sources = (source for source, targets in TRANSITIONS.items() if state in targets)
    return f"state IN ({', '.join(repr(source.value) for source in sources)})"


_REQUEUE: Final = (
    "UPDATE deliveries SET state = 'requeued', refusals = 0, reason = NULL, settled_at_ms = NULL "  # noqa: S608
    f"WHERE position = ? AND {_may_become(State.REQUEUED)}"
)
_DISCARD: Final = (
    "UPDATE deliveries SET state = 'discarded', reason = ?, settled_at_ms = ? "  # noqa: S608
    f"WHERE position = ? AND {_may_become(State.DISCARDED)}"
)

_DELIVERED: Final = """
INSERT INTO deliveries (position, message_id, channel, state, attempts, settled_at_ms)
VALUES (?, ?, ?, 'delivered', 1, ?)
ON CONFLICT (position) DO UPDATE SET
  state = excluded.state, reason = NULL, settled_at_ms = excluded.settled_at_ms
"""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One message's delivery as an operator sees it. Times are unix milliseconds."""

    position: int
    message_id: bytes
    channel: str
    state: State
    attempts: int
    reason: str | None
    first_attempt_at_ms: int | None
    settled_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits: its position, id and channel."""

    position: int
    message_id: bytes
    channel: str


def counts(path: Path) -> dict[str, dict[State, int]]:
    """Return the rows by channel and state; what waits has none. Raises StorageFault."""
    result: dict[str, dict[State, int]] = {}
    with _open(path) as connection:
        rows = connection.execute(
            "SELECT channel, state, count(*) FROM deliveries GROUP BY channel, state"
        )
        for channel, state, number in rows:
            result.setdefault(channel, {})[State(state)] = number
    return result


def cursors(path: Path) -> dict[str, int]:
    """Return the position up to which each channel is settled. Raises StorageFault."""
    with _open(path) as connection:
        return dict(connection.execute("SELECT channel, position FROM cursors").fetchall())


def dead_letters(
    path: Path,
    *,
    channel: str | None = None,
    states: Sequence[State] = (State.DEAD,),
    rows_max: int = DEAD_LETTERS_LISTED_MAX,
) -> list[DeliveryRow]:
    """Return the dead letters, or the rows in other `states` (not delivered), oldest first."""
    with _open(path) as connection:
        rows = connection.execute(
            "SELECT position, message_id, channel, state, attempts, reason, first_attempt_at_ms, "
            "settled_at_ms FROM deliveries "
            "WHERE state IN ('delivering','dead','requeued','discarded') "
            "AND state IN (SELECT value FROM json_each(?)) AND (? IS NULL OR channel = ?) "
            "ORDER BY position LIMIT ?",
            (json.dumps([state.value for state in states]), channel, channel, rows_max),
        ).fetchall()
    return [_row(row) for row in rows]


def find(path: Path, position: int) -> DeliveryRow | None:
    """Return the delivery of `position`, None if none was recorded. Raises StorageFault."""
    with _open(path) as connection:
        row = connection.execute(
            "SELECT position, message_id, channel, state, attempts, reason, first_attempt_at_ms, "
            "settled_at_ms FROM deliveries WHERE position = ?",
            (position,),
        ).fetchone()
    return None if row is None else _row(row)


def requeue(path: Path, positions: Sequence[int]) -> list[int]:
    """Have dead letters delivered again; return the positions that were dead letters.

    Its refusals are counted anew. Raises StorageFault.
    """
    return _apply(path, _REQUEUE, [(position,) for position in positions])


def discard(
    path: Path, positions: Sequence[int], reason: str, *, now_ms: int | None = None
) -> list[int]:
    """Give messages up for good; return the positions that could be.

    Takes dead letters, requeued messages, and one that is being retried and holds its channel.
    `reason` is the operator's own words, without patient data: 1 to 200 printable characters,
    else ValueError. Raises StorageFault.
    """
    if not (0 < len(reason) <= REASON_CHARS_MAX and reason.isprintable()):
        raise ValueError(f"the reason must be 1 to {REASON_CHARS_MAX} printable characters")
    settled_at_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return _apply(path, _DISCARD, [(reason, settled_at_ms, position) for position in positions])


def record_delivered(path: Path, messages: Sequence[Waiting], *, now_ms: int | None = None) -> None:
    """Record that messages were delivered, as something else than this database knows.

    For a database from a backup, and while the replayer does not run: it would not see it. Raises
    StorageFault.
    """
    settled_at_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    with _open(path) as connection, transaction(connection):
        connection.executemany(
            _DELIVERED,
            [(one.position, one.message_id, one.channel, settled_at_ms) for one in messages],
        )


def _apply(path: Path, order: str, values: Sequence[tuple[Any, ...]]) -> list[int]:
    """Run the order for each tuple, whose last value is the position; all durable or none."""
    with _open(path) as connection, transaction(connection):
        return [each[-1] for each in values if connection.execute(order, each).rowcount]


def _row(row: tuple[Any, ...]) -> DeliveryRow:
    position, message_id, channel, state, *rest = row
    return DeliveryRow(position, message_id, channel, State(state), *rest)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(path, create=False)
    try:
        yield connection
    except sqlite3.Error as error:
        raise StorageFault(STORAGE_FAILED, f"{path.name}: {error}") from error
    finally:
        connection.close()
