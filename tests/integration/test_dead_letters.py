"""Hundreds of dead letters of the running pair, given a second chance with one command."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inner_agent.at_rest import PayloadCipher
from inner_agent.delivery import Progress, State
from inner_agent.delivery_store import DeliveryStore, Outcome
from inner_agent.journal import JournalReader
from tests.integration.test_pair import Pair
from tests.simulator.messages import adt

pytestmark = pytest.mark.timeout(180)
NUMBER = 450


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    for name in list(pair.agents.processes):
        pair.agents.kill(name)


def dead(pair: Pair) -> int:
    return int(pair.agents.metric("inner", "ferry_inner_dead_letters", channel="adt"))


def until(pair: Pair, number: int) -> None:
    deadline_s = time.monotonic() + 60
    while dead(pair) != number:
        assert time.monotonic() < deadline_s, pair.agents.tail()
        time.sleep(0.1)


def test_all_of_a_channel_are_requeued_and_each_is_in_the_audit_trail(pair: Pair) -> None:
    pair.agents.stop("replayer")
    sent = [adt(str(number)) for number in range(NUMBER)]
    assert set(pair.send(*sent)) == {"AA"}
    give_all_up(pair.agents.inner_state)
    pair.agents.start_inner(["replayer"])
    pair.agents.wait_ready()
    until(pair, NUMBER)

    assert pair.command("inner_agent", "requeue").returncode == 2
    other = pair.command("inner_agent", "requeue", "--channel", "adt", "--because", "sink_failed")
    assert other.stdout == "requeued: 0 dead letters of channel adt\n"
    done = pair.command("inner_agent", "requeue", "--channel", "adt", "--because", "sink_refused")
    assert done.stdout == f"requeued: {NUMBER} dead letters of channel adt\n", done.stderr
    assert pair.wait_for(NUMBER) == sent
    until(pair, 0)
    records = [
        json.loads(line)
        for path in (pair.agents.inner_state / "audit" / "operators").iterdir()
        for line in path.read_text().splitlines()
    ]
    ordered = [record for record in records if record["event"] == "messages_requeued"]
    ids = [each for record in ordered for each in record["fields"]["message_ids"]]
    assert len(ids) == len(set(ids)) == NUMBER


def give_all_up(state: Path) -> None:
    """What a sink that refused every journaled message leaves."""
    deadline_s = time.monotonic() + 30
    with JournalReader(state / "journal.db", PayloadCipher(bytes(32))) as journal:
        while journal.highest_position() < NUMBER:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        records = journal.find(limit=NUMBER)
    store = DeliveryStore(state / "delivery.db")
    store.commit(
        [
            Outcome(
                one.position,
                one.message_id,
                one.channel,
                State.DEAD,
                Progress(1),
                "sink_refused",
                one.received_at_ms,
                NUMBER,
            )
            for one in records
        ]
    )
    store.close()
