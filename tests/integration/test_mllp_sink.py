"""What only MLLP can do wrong: acknowledgements that are late, for another message, or no such."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ferry_format import reasons
from inner_agent.journal import JournaledMessage
from inner_agent.sinks.base import Delivered, Failed
from inner_agent.sinks.mllp import MllpSettings, MllpSink
from tests.simulator.hl7_receiver import Hl7Behaviour, Hl7Receiver
from tests.simulator.journal import message
from tests.simulator.messages import adt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BOTH_LOOPS = True


@asynccontextmanager
async def sink_to(receiver: Hl7Receiver, timeout_s: float = 1.0) -> AsyncIterator[MllpSink]:
    async with receiver:
        sink = MllpSink(MllpSettings("his", receiver.host, receiver.port, timeout_s=timeout_s))
        yield sink
        await sink.close()


def some(position: int, control_id: str | None = None) -> JournaledMessage:
    return message(position, adt(f"M{position}" if control_id is None else control_id))


@pytest.mark.parametrize(
    ("behaviour", "reason", "permanent", "detail"),
    [
        (Hl7Behaviour.ERROR, reasons.SINK_FAILED, False, "MSA-1 AE"),
        (Hl7Behaviour.COMMIT_ERROR, reasons.SINK_FAILED, False, "MSA-1 CE"),
        (Hl7Behaviour.REJECT, reasons.SINK_REFUSED, True, "MSA-1 AR"),
        (Hl7Behaviour.COMMIT_REJECT, reasons.SINK_REFUSED, True, "MSA-1 CR"),
        (Hl7Behaviour.HANG, reasons.SINK_NO_ANSWER, False, "time-out"),
        (Hl7Behaviour.CLOSE_AFTER_READ, reasons.SINK_NO_ANSWER, False, "connection lost"),
        (Hl7Behaviour.CLOSE_BEFORE_READ, reasons.SINK_NO_ANSWER, False, "connection lost"),
        (Hl7Behaviour.WRONG_ID, reasons.SINK_BAD_ANSWER, False, "another MSA-2"),
        (Hl7Behaviour.GARBAGE, reasons.SINK_BAD_ANSWER, False, "no frame"),
        (Hl7Behaviour.NOT_AN_ACK, reasons.SINK_BAD_ANSWER, False, "no acknowledgement"),
        (Hl7Behaviour.OVERLONG, reasons.SINK_BAD_ANSWER, False, "frame too long"),
    ],
)
async def test_each_answer_has_its_reason_and_the_next_message_passes(
    behaviour: Hl7Behaviour, reason: reasons.Reason, detail: str, *, permanent: bool
) -> None:
    receiver = Hl7Receiver([behaviour])
    async with sink_to(receiver) as sink:
        assert await sink.deliver(some(1)) == Failed(reason, permanent, detail)
        assert await sink.deliver(some(2)) == Delivered()
    assert receiver.recording.taken_ids == ["M2"]


async def test_one_connection_serves_many_messages() -> None:
    receiver = Hl7Receiver()
    async with sink_to(receiver) as sink:
        for n in range(50):
            assert await sink.deliver(some(n)) == Delivered()
    assert receiver.connections == 1


async def test_each_message_on_a_connection_has_its_whole_time() -> None:
    receiver = Hl7Receiver([Hl7Behaviour.ACCEPT, Hl7Behaviour.HANG])
    async with sink_to(receiver, timeout_s=1) as sink:
        assert await sink.deliver(some(1)) == Delivered()
        await asyncio.sleep(0.5)
        began_s = time.monotonic()
        assert await sink.deliver(some(2)) == Failed(reasons.SINK_NO_ANSWER, detail="time-out")
        assert time.monotonic() - began_s > 0.99


async def test_refusals_keep_the_connection() -> None:
    receiver = Hl7Receiver([Hl7Behaviour.ERROR, Hl7Behaviour.REJECT])
    async with sink_to(receiver) as sink:
        for n in range(3):
            await sink.deliver(some(n))
    assert receiver.connections == 1


@pytest.mark.parametrize("control_id", [None, "SAME", ""])
async def test_a_late_acknowledgement_is_never_the_next_messages(control_id: str | None) -> None:
    receiver = Hl7Receiver([Hl7Behaviour.LATE, Hl7Behaviour.HANG], late_s=0.25)
    async with sink_to(receiver, timeout_s=0.2) as sink:
        late = await sink.deliver(some(1, control_id))
        # While the second hangs, the first's AA leaves the receiver.
        hanging = await sink.deliver(some(2, control_id))
    assert late == hanging == Failed(reasons.SINK_NO_ANSWER, detail="time-out")
    assert receiver.connections == 2


async def test_a_second_acknowledgement_closes_the_connection() -> None:
    receiver = Hl7Receiver([Hl7Behaviour.TWICE, Hl7Behaviour.ERROR])
    async with sink_to(receiver) as sink:
        assert await sink.deliver(some(1, "SAME")) == Delivered()
        await asyncio.sleep(0.02)
        assert await sink.deliver(some(2, "SAME")) == Failed(reasons.SINK_FAILED, detail="MSA-1 AE")
    assert receiver.connections == 2


async def test_enhanced_mode_delivers_at_the_commit_acknowledgement() -> None:
    receiver = Hl7Receiver(default=Hl7Behaviour.COMMIT_THEN_ACCEPT, late_s=0.05)
    async with sink_to(receiver) as sink:
        for n in range(5):
            assert await sink.deliver(some(n)) == Delivered()
        await asyncio.sleep(0.1)
        assert await sink.deliver(some(9)) == Delivered()
    assert receiver.recording.taken_ids == ["M0", "M1", "M2", "M3", "M4", "M9"]


async def test_enhanced_mode_with_one_id_for_two_messages_takes_a_new_connection() -> None:
    receiver = Hl7Receiver([Hl7Behaviour.COMMIT_THEN_ACCEPT, Hl7Behaviour.HANG], late_s=0.1)
    async with sink_to(receiver, timeout_s=0.3) as sink:
        assert await sink.deliver(some(1, "SAME")) == Delivered()
        assert await sink.deliver(some(2, "SAME")) == Failed(
            reasons.SINK_NO_ANSWER, detail="time-out"
        )
    assert receiver.connections == 2


async def test_an_empty_control_id_is_acknowledged_by_an_empty_msa_2() -> None:
    receiver = Hl7Receiver()
    async with sink_to(receiver) as sink:
        assert await sink.deliver(some(1, "")) == Delivered()


async def test_a_header_in_its_channels_character_set_is_known_by_its_control_id() -> None:
    # The second byte of 億 is that of a field separator; nothing names the character set.
    payload = "MSH|^~\\&|FRONT|億|HIS|HOSP|2026||ADT^A01|4711|P|2.5\r".encode("gb18030")
    acknowledgement = b"\x0bMSH|^~\\&|HIS\rMSA|AA|4711\r\x1c\r"

    has_ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\x1c\r")
        writer.write(acknowledgement)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        has_ended.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        sink = MllpSink(MllpSettings("his", *server.sockets[0].getsockname()))
        assert await sink.deliver(message(1, payload, control_id="4711")) == Delivered()
        await sink.close()
        await has_ended.wait()


async def test_a_receiver_that_closes_after_each_message_is_reconnected_to() -> None:
    receiver = Hl7Receiver(default=Hl7Behaviour.ACCEPT_AND_CLOSE)
    async with sink_to(receiver) as sink:
        for n in range(5):
            assert await sink.deliver(some(n)) == Delivered()
            await asyncio.sleep(0.02)
    assert receiver.connections == 5
    assert receiver.recording.repeats() == {}


async def test_a_broken_off_delivery_leaves_no_connection_behind() -> None:
    receiver = Hl7Receiver([Hl7Behaviour.LATE], late_s=0.1)
    async with sink_to(receiver, timeout_s=5) as sink:
        task = asyncio.create_task(sink.deliver(some(1, "SAME")))
        await receiver.recording.wait_for_arrivals(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        receiver.script.append(Hl7Behaviour.ERROR)
        assert await sink.deliver(some(2, "SAME")) == Failed(reasons.SINK_FAILED, detail="MSA-1 AE")


@pytest.mark.parametrize(
    "payload", [b"{}", b"", adt("1") + b"\x1c\rMSH|^~\\&|", adt("1") + b"\x0b"]
)
async def test_what_mllp_cannot_carry_is_never_sent(payload: bytes) -> None:
    receiver = Hl7Receiver()
    async with sink_to(receiver) as sink:
        failed = await sink.deliver(message(1, payload))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.permanent) == (reasons.NOT_DELIVERABLE, True)
    assert receiver.connections == 0
