"""The replayer on the real journal.db, written by the verifier's own writer."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from ferry_format.reasons import StorageFault
from ferry_format.stream import Link
from inner_agent import operator_orders
from inner_agent.at_rest import PayloadCipher
from inner_agent.channel_pipeline import Route, UnreadableMessage
from inner_agent.delivery import DeliveryPolicy, State
from inner_agent.delivery_store import DeliveryStore
from inner_agent.hint import HintReader, HintWriter
from inner_agent.journal import JournalReader, StreamRecord
from inner_agent.journal_batch import Batch, NewMessage, TakenFile
from inner_agent.journal_writer import JournalWriter
from inner_agent.replay_journal import ReplayJournal
from inner_agent.replayer import Replayer, ReplayerTimes
from inner_agent.replayer_metrics import ReplayerMetrics
from inner_agent.sinks.mllp import MllpSettings, MllpSink
from tests.simulator.hl7_receiver import Hl7Receiver
from tests.simulator.messages import adt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = bytes(range(32))
STREAM = bytes(16)


class Verifier:
    """Writes files of messages as the verifier does."""

    def __init__(self, root: Path) -> None:
        self.path = root / "journal.db"
        self.writer = JournalWriter(self.path, PayloadCipher(KEY))
        self.sequence = 0
        self.number = 0

    def take(self, *channels: str) -> list[str]:
        """Journal one message for each channel named; return their control ids."""
        self.sequence += 1
        messages = []
        for channel in channels:
            self.number += 1
            messages.append(
                NewMessage(
                    message_id=self.number.to_bytes(16, "big"),
                    channel=channel,
                    channel_sequence=self.number,
                    accepted_at_ms=1,
                    content_type="application/hl7-v2",
                    message_type="ADT^A01",
                    control_id=f"M{self.number}",
                    payload=adt(f"M{self.number}"),
                )
            )
        taken = TakenFile(
            self.sequence,
            Link(bytes(32), bytes(32)),
            len(messages),
            late=False,
            messages=tuple(messages),
            tombstones=(),
            refused=(),
        )
        stream = StreamRecord(STREAM, "front", "trusted", self.sequence + 1, bytes(32), 1, 1, 1)
        self.writer.take(Batch(1, stream, (taken,), {}))
        return [f"M{self.number - len(channels) + n + 1}" for n in range(len(channels))]

    def damage(self, position: int) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            sealed = bytearray(
                connection.execute(
                    "SELECT payload FROM payloads WHERE position = ?", (position,)
                ).fetchone()[0]
            )
            sealed[-1] ^= 1
            connection.execute(
                "UPDATE payloads SET payload = ? WHERE position = ?", (bytes(sealed), position)
            )


@pytest.fixture
def verifier(tmp_path: Path) -> Iterator[Verifier]:
    verifier = Verifier(tmp_path)
    yield verifier
    verifier.writer.close()


def test_a_damaged_payload_is_told_from_a_wrong_key(verifier: Verifier) -> None:
    verifier.take("lab", "adt", "lab", "adt", "lab", "adt", "lab", "adt")  # adt: 2, 4, 6, 8
    verifier.damage(4)
    with JournalReader(verifier.path, PayloadCipher(KEY)) as reader:
        journal = ReplayJournal(reader)
        assert [m.position for m in journal.waiting("adt", 0, 16)] == [2]
        assert journal.waiting("adt", 2, 16) == [UnreadableMessage(4, (4).to_bytes(16, "big"))]
        assert [m.position for m in journal.waiting("adt", 4, 16)] == [6, 8]
        assert isinstance(journal.get(4), UnreadableMessage)
        assert journal.get(99) is None
        verifier.damage(8)
        with pytest.raises(StorageFault):
            journal.waiting("adt", 6, 16)
    other_key = PayloadCipher(os.urandom(32))
    with JournalReader(verifier.path, other_key) as reader, pytest.raises(StorageFault):
        ReplayJournal(reader).waiting("adt", 0, 16)


async def test_journaled_messages_reach_their_sinks_in_order(
    verifier: Verifier, tmp_path: Path
) -> None:
    hint_path = tmp_path / "hint"
    hint, poke = HintReader(hint_path), HintWriter(hint_path)
    store = DeliveryStore(tmp_path / "delivery.db")
    sent: dict[str, list[str]] = {"adt": [], "lab": []}
    async with Hl7Receiver() as his, Hl7Receiver() as lis:
        sinks = {
            "his": MllpSink(MllpSettings("his", his.host, his.port)),
            "lis": MllpSink(MllpSettings("lis", lis.host, lis.port)),
        }
        policy = DeliveryPolicy()
        reader = JournalReader(verifier.path, PayloadCipher(KEY))
        replayer = Replayer(
            [Route("adt", "his", policy), Route("lab", "lis", policy)],
            sinks,
            journal=ReplayJournal(reader),
            store=store,
            metrics=ReplayerMetrics(CollectorRegistry()),
            hint=hint,
            times=ReplayerTimes(look_s=0.2),
        )
        for _ in range(20):
            for channel, name in zip(("adt", "lab"), verifier.take("adt", "lab"), strict=True):
                sent[channel].append(name)
        verifier.damage(5)
        lost = sent["adt"].pop(2)
        await replayer.start()
        await his.recording.wait_for(19)
        for _ in range(20):
            for channel, name in zip(("adt", "lab"), verifier.take("adt", "lab"), strict=True):
                sent[channel].append(name)
            poke.poke()
            await asyncio.sleep(0)
        await his.recording.wait_for(39)
        await lis.recording.wait_for(40)
        await replayer.stop()
        store.close()
        reader.close()
    hint.close()
    poke.close()
    assert his.recording.taken_ids == sent["adt"]
    assert lis.recording.taken_ids == sent["lab"]
    assert lost == "M5"
    (dead,) = operator_orders.dead_letters(tmp_path / "delivery.db")
    assert (dead.position, dead.reason, dead.state) == (5, "not_deliverable", State.DEAD)
