"""delivery.db: what is durable, what a restart finds, what operators may change."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ferry_format.reasons import StorageFault
from inner_agent import operator_orders
from inner_agent.delivery import Progress, State
from inner_agent.delivery_store import DeliveryStore, Outcome, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "delivery.db"


@pytest.fixture
def store(path: Path) -> Iterator[DeliveryStore]:
    with closing(DeliveryStore(path)) as store:
        yield store


def outcome(
    position: int,
    state: State = State.DELIVERED,
    *,
    channel: str = "adt",
    attempts: int = 1,
    refusals: int = 0,
    cursor: int | None = None,
    settled_at_ms: int | None = 1_000,
) -> Outcome:
    return Outcome(
        position=position,
        message_id=position.to_bytes(16, "big"),
        channel=channel,
        state=state,
        progress=Progress(attempts, refusals, 500),
        reason=None if state is State.DELIVERED else "sink_refused",
        settled_at_ms=settled_at_ms,
        cursor=position if cursor is None else cursor,
    )


def test_the_database_survives_a_power_cut_by_its_settings(store: DeliveryStore) -> None:
    pragma = store._connection.execute
    assert pragma("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert pragma("PRAGMA synchronous").fetchone()[0] == 2
    assert pragma("PRAGMA busy_timeout").fetchone()[0] == 5_000
    assert pragma("PRAGMA user_version").fetchone()[0] == 1


def test_a_restart_finds_cursor_and_retries(path: Path, store: DeliveryStore) -> None:
    store.commit([outcome(1), outcome(2, State.DEAD), outcome(9, channel="lab")])
    store.commit(
        [outcome(3, State.DELIVERING, attempts=4, refusals=2, cursor=2, settled_at_ms=None)]
    )
    with closing(DeliveryStore(path)) as again:
        queue = again.load("adt")
        assert queue.cursor == 2
        assert queue.progress(3) == Progress(4, 2, 500)
        assert again.requeued("adt", queue.cursor) == []
        assert again.load("lab").cursor == 9
        assert again.load("new").cursor == 0


def test_a_commit_is_all_or_nothing(path: Path, store: DeliveryStore) -> None:
    bad = outcome(2, State.WAITING)  # the table's CHECK refuses it
    with pytest.raises(sqlite3.IntegrityError):
        store.commit([outcome(1), bad])
    assert operator_orders.counts(path) == {}
    assert store.load("adt").cursor == 0
    store.commit([outcome(1)])
    assert operator_orders.counts(path) == {"adt": {State.DELIVERED: 1}}


def test_a_cursor_never_moves_back(store: DeliveryStore) -> None:
    store.commit([outcome(7)])
    store.commit([outcome(3, cursor=3)])
    assert store.load("adt").cursor == 7


def test_a_requeued_dead_letter_is_seen_and_counted_anew(path: Path, store: DeliveryStore) -> None:
    store.commit([outcome(1, State.DEAD, attempts=5, refusals=5), outcome(2)])
    assert store.orders(()) is not None  # the first look
    assert store.orders(()) is None
    store.commit([outcome(3)])
    assert store.orders(()) is None, "our own commits are no orders"

    assert operator_orders.requeue(path, [1, 2, 99]) == [1]
    orders = store.orders(())
    assert orders is not None
    assert orders.requeued == {"adt": [(1, Progress(5, 0, 500))]}
    queue = store.load("adt")
    assert [position for position, _ in store.requeued("adt", 3)] == [1]
    assert queue.cursor == 3


def test_retries_of_a_requeued_message_go_on_after_a_restart(
    path: Path, store: DeliveryStore
) -> None:
    store.commit([outcome(1, State.DEAD), outcome(2)])
    operator_orders.requeue(path, [1])
    store.commit([outcome(1, State.DELIVERING, attempts=2, cursor=2, settled_at_ms=None)])
    queue = store.load("adt")
    assert store.requeued("adt", queue.cursor) == [(1, Progress(2, 0, 500))]


def test_discarding_is_final_but_for_a_delivery_that_happened(
    path: Path, store: DeliveryStore
) -> None:
    store.commit([outcome(n, State.DELIVERING, cursor=0, settled_at_ms=None) for n in (1, 2)])
    assert operator_orders.discard(path, [1, 2, 3], "测试 test", now_ms=9) == [1, 2]
    orders = store.orders([1, 2, 3])
    assert orders is not None
    assert orders.discarded == {1, 2}
    store.commit([outcome(1, State.DEAD, cursor=1), outcome(2, State.DELIVERED)])
    first, second = operator_orders.find(path, 1), operator_orders.find(path, 2)
    assert first is not None
    assert second is not None
    assert (first.state, first.reason, first.settled_at_ms) == (State.DISCARDED, "测试 test", 9)
    assert second.state is State.DELIVERED
    assert operator_orders.requeue(path, [1, 2]) == []
    assert operator_orders.discard(path, [2], "x") == []


def test_a_discarded_head_is_skipped_after_a_restart(path: Path, store: DeliveryStore) -> None:
    store.commit([outcome(1), outcome(2, State.DELIVERING, cursor=1, settled_at_ms=None)])
    operator_orders.discard(path, [2], "gone")
    queue = store.load("adt")
    assert (queue.cursor, queue.settled_ahead) == (1, {2})


@pytest.mark.parametrize("reason", ["", "x" * 201, "two\nlines", "\x1b[2J"])
def test_a_discard_needs_a_printable_reason(path: Path, store: DeliveryStore, reason: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        operator_orders.discard(path, [1], reason)


def test_dead_letters_are_listed_oldest_first_and_by_channel(
    path: Path, store: DeliveryStore
) -> None:
    store.commit(
        [outcome(5, State.DEAD), outcome(2, State.DEAD), outcome(3, State.DEAD, channel="lab")]
    )
    store.commit([outcome(6), outcome(7, State.DELIVERING, cursor=6, settled_at_ms=None)])
    assert [row.position for row in operator_orders.dead_letters(path)] == [2, 3, 5]
    assert [row.position for row in operator_orders.dead_letters(path, channel="lab")] == [3]
    assert [row.position for row in operator_orders.dead_letters(path, rows_max=1)] == [2]
    both = operator_orders.dead_letters(path, states=(State.DEAD, State.DELIVERING))
    assert [row.position for row in both] == [2, 3, 5, 7]
    assert store.dead_letters() == {"adt": 2, "lab": 1}
    assert operator_orders.cursors(path) == {"adt": 6, "lab": 3}


def test_delivered_rows_are_forgotten_and_dead_letters_never(
    path: Path, store: DeliveryStore
) -> None:
    store.commit(
        [
            outcome(1),
            outcome(2, State.DEAD),
            outcome(3, settled_at_ms=5_000),
            outcome(8, cursor=3),  # above the cursor: only its row tells that it is settled
        ]
    )
    assert store.forget_delivered(2_000, 10) == 1
    assert operator_orders.find(path, 1) is None
    assert {n for n in (2, 3, 8) if operator_orders.find(path, n)} == {2, 3, 8}
    assert store.load("adt").cursor == 3


def test_another_version_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(StorageFault, match="version 7"):
        DeliveryStore(path)


def test_an_operator_never_creates_the_database(path: Path) -> None:
    with pytest.raises(StorageFault):
        operator_orders.counts(path)
    assert not path.exists()


def test_a_foreign_file_is_refused(path: Path) -> None:
    path.write_bytes(b"no database at all, just some text" * 100)
    with pytest.raises(StorageFault):
        connect(path, create=True)


def test_the_index_serves_the_dead_letter_count(store: DeliveryStore) -> None:
    plan = store._connection.execute(
        "EXPLAIN QUERY PLAN SELECT channel, count(*) FROM deliveries WHERE "
        "state IN ('delivering','dead','requeued','discarded') AND state = 'dead' GROUP BY channel"
    ).fetchall()
    assert "deliveries_not_delivered" in str(plan)
