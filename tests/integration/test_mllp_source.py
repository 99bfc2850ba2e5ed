"""What only the MLLP source does: modes, pipelining, order, slow senders; mllp_send as a client."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from ferry_format import reasons
from outer_agent.config import MllpSource
from outer_agent.sources.mllp import MllpListener
from outer_agent.sources.mllp_framing import Frame, Framer, frame
from tests.simulator.clients import code_of
from tests.simulator.messages import adt
from tests.simulator.outer_inside import HL7, OuterInside, channel, sender, unavailable
from tests.simulator.source_ways import Certificates
from tests.simulator.waiting import until
from validators.hl7v2.acknowledgement import parse_ack
from validators.policy import ContentPolicy

BOTH_LOOPS = True
MLLP_SEND = Path(sys.executable).with_name("mllp_send")


@pytest.fixture
def inside() -> OuterInside:
    return OuterInside([channel("adt", HL7)])


def listener(inside: OuterInside, *, frame_s: float = 60.0, **fields) -> MllpListener:
    values = {"name": "adt-in", "listen": "127.0.0.1:0", "channel": "adt"} | fields
    return MllpListener(MllpSource(kind="mllp", **values), inside.surroundings, frame_s=frame_s)


@pytest.fixture
async def source(inside: OuterInside) -> AsyncIterator[MllpListener]:
    made = listener(inside)
    await made.start()
    yield made
    await made.stop()


class Sender:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._framer = Framer(100_000)
        self._answers: list[bytes] = []

    @classmethod
    async def connect(cls, source: MllpListener, tls: ssl.SSLContext | None = None) -> Sender:
        return cls(*await asyncio.open_connection("127.0.0.1", source.port, ssl=tls))

    def write(self, *messages: bytes) -> None:
        self.writer.write(b"".join(map(frame, messages)))

    async def answers(self, number: int) -> list[bytes]:
        async with asyncio.timeout(10):
            while len(self._answers) < number:
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionError("closed")
                for found in self._framer.feed(data):
                    assert isinstance(found, Frame)
                    self._answers.append(found.content)
        taken, self._answers = self._answers[:number], self._answers[number:]
        return taken

    async def told(self, *messages: bytes) -> list[tuple[str, str]]:
        """Send at once; (code, control id) of each answer."""
        self.write(*messages)
        acks = [parse_ack(answer) for answer in await self.answers(len(messages))]
        return [(ack.code, ack.control_id) for ack in acks if ack is not None]

    async def is_closed(self, within_s: float = 5.0) -> bool:
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read() == b""
        except ConnectionError:
            return True
        finally:
            self.close()

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def connection(source: MllpListener) -> AsyncIterator[Sender]:
    made = await Sender.connect(source)
    yield made
    made.close()


def with_acknowledgement(control_id: str, msh_15: str, text: str = "") -> bytes:
    return (
        f"MSH|^~\\&|FRONT|NET|HIS|HOSP|20260101||ADT^A01|{control_id}|P|2.5|||{msh_15}|NE\r"
        f"PID|1||4711||{text}\r"
    ).encode()


async def test_many_messages_on_one_connection(inside, connection) -> None:
    for number in range(50):
        assert await connection.told(adt(str(number))) == [("AA", str(number))]
    assert inside.publisher.payloads == [adt(str(number)) for number in range(50)]


async def test_pipelined_messages_share_commits_and_keep_their_order(inside, connection) -> None:
    sent = [adt(str(number)) for number in range(200)]
    inside.pool.slow = {payload: 0.02 * (n % 3) for n, payload in enumerate(sent)}
    inside.publisher.may_commit.clear()
    connection.write(*sent)
    await until(lambda: inside.publisher.calls >= 40)  # all of them before one is durable
    inside.publisher.may_commit.set()
    answers = [parse_ack(answer) for answer in await connection.answers(200)]
    assert [ack.control_id for ack in answers if ack] == [str(number) for number in range(200)]
    assert inside.publisher.payloads == sent


async def test_behind_one_that_cannot_be_taken_the_pipelined_ones_wait(inside) -> None:
    inside = OuterInside([channel("adt", HL7, rate_per_s=0.001, burst=2)])
    source = listener(inside)
    await source.start()
    connection = await Sender.connect(source)
    told = await connection.told(*[adt(str(number)) for number in range(5)])
    connection.close()
    await source.stop()
    assert [code for code, _ in told] == ["AA", "AA", "AE", "AE", "AE"]
    assert inside.publisher.payloads == [adt("0"), adt("1")]


async def test_a_refusal_between_others_holds_nobody_up(connection) -> None:
    told = await connection.told(adt("1"), adt("2", "REFUSE"), adt("3"))
    assert told == [("AA", "1"), ("AR", "2"), ("AA", "3")]


async def test_a_refusal_names_reason_and_place_and_no_data(connection) -> None:
    connection.write(adt("1", "ZHANG REFUSE"))
    [answer] = await connection.answers(1)
    assert b"segment_not_allowed" in answer
    assert b"(segment 2)" in answer
    assert b"ZHANG" not in answer


@pytest.mark.parametrize(
    ("mode", "msh_15", "codes"),
    [
        ("auto", "", "AA AR AE"),
        ("auto", "AL", "CA CR CE"),
        ("original", "AL", "AA AR AE"),
        ("enhanced", "", "CA CR CE"),
    ],
)
async def test_the_mode_decides_the_code(inside, mode, msh_15, codes) -> None:
    source = listener(inside, acknowledgement=mode)
    await source.start()
    connection = await Sender.connect(source)
    told = await connection.told(
        with_acknowledgement("1", msh_15), with_acknowledgement("2", msh_15, "REFUSE")
    )
    inside.fill()
    told += await connection.told(with_acknowledgement("3", msh_15))
    connection.close()
    await source.stop()
    assert " ".join(code for code, _ in told) == codes


async def test_who_wants_no_answer_gets_none_and_is_hung_up_on_if_not_taken(
    inside, connection
) -> None:
    connection.write(with_acknowledgement("1", "NE"), with_acknowledgement("2", "NE", "REFUSE"))
    assert await connection.told(adt("3")) == [("AA", "3")]
    assert len(inside.publisher.taken) == 2
    inside.publisher.failing = [unavailable()]
    connection.write(with_acknowledgement("4", "NE"))
    assert await connection.is_closed()


async def test_chinese_in_gb18030_goes_through_and_back(inside, connection) -> None:
    message = (
        "MSH|^~\\&|前置机|NET|HIS|HOSP|20260101||ADT^A01|编号1|P|2.5||||||GB 18030-2000\rPID|1\r"
    ).encode("gb18030")
    connection.write(message)
    [answer] = await connection.answers(1)
    assert "MSA|AA|编号1" in answer.decode("gb18030")
    assert inside.publisher.payloads == [message]


async def test_a_header_that_names_no_character_set_is_answered_in_its_channels() -> None:
    content = {"messages": ["ADT^*"], "segments": "any", "default_charset": "GB18030"}
    inside = OuterInside([channel("adt", ContentPolicy.model_validate({"hl7v2": content}))])
    source = listener(inside)
    await source.start()
    sender = await Sender.connect(source)
    # The second byte of 億 is that of a field separator.
    sender.write("MSH|^~\\&|FRONT|億|HIS|HOSP|2026||ADT^A01|4711|P|2.5\r".encode("gb18030"))
    [answer] = await sender.answers(1)
    assert b"MSA|AA|4711\r" in answer
    sender.close()
    await source.stop()


async def test_a_message_without_a_header_is_answered(inside, connection) -> None:
    inside.pool.failing = None
    connection.write(b"REFUSE: no header")
    [answer] = await connection.answers(1)
    assert code_of(answer) == "AR"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x0b" + b"M" * 100_001, reasons.MESSAGE_TOO_LARGE),
        (b"\x0b" + adt("7") + b"x" * 3_000_000, reasons.MESSAGE_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n\r\n", reasons.NOT_WELL_FORMED),
        (b"\x0b" + adt("7") + b"\x0b" + adt("8"), reasons.NOT_WELL_FORMED),
    ],
)
async def test_what_cannot_be_read_on_is_told_and_then_closed(
    inside, connection, sent, reason
) -> None:
    connection.writer.write(sent)
    [answer] = await connection.answers(1)
    assert code_of(answer) == "AR"
    assert reason.code.encode() in answer
    if adt("7") in sent:
        assert b"MSA|AR|7" in answer
    assert await connection.is_closed()
    assert inside.pool.seen == []


async def test_what_came_before_garbage_is_taken(inside, connection) -> None:
    connection.writer.write(frame(adt("1")) + b"garbage" + frame(adt("2")))
    codes = [code_of(answer) for answer in await connection.answers(2)]
    assert codes == ["AA", "AR"]
    assert await connection.is_closed()
    assert inside.publisher.payloads == [adt("1")]


async def test_a_sender_that_is_not_known_is_told_and_closed() -> None:
    inside = OuterInside([channel("adt", HL7)], [sender(listeners=())])
    source = listener(inside)
    await source.start()
    connection = await Sender.connect(source)
    assert await connection.told(adt("1")) == [("AR", "1")]
    assert await connection.is_closed()
    await source.stop()
    assert inside.count("refused", reasons.SENDER_UNKNOWN) == 1
    assert inside.pool.seen == []


async def test_a_sender_that_half_closes_gets_its_answers(inside, connection) -> None:
    inside.publisher.may_commit.clear()
    connection.write(adt("1"), adt("2"))
    connection.writer.write_eof()
    await inside.publisher.called.wait()
    inside.publisher.may_commit.set()
    assert [code_of(answer) for answer in await connection.answers(2)] == ["AA", "AA"]
    assert await connection.is_closed()


async def test_a_connection_that_goes_away_loses_no_message_and_no_listener(inside, source) -> None:
    inside.publisher.may_commit.clear()
    connection = await Sender.connect(source)
    connection.write(adt("1"))
    await inside.publisher.called.wait()
    connection.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    connection.writer.transport.abort()
    await until(lambda: not source.connections)
    inside.publisher.may_commit.set()
    again = await Sender.connect(source)
    assert await again.told(adt("1")) == [("AA", "1")]
    again.close()
    assert inside.publisher.payloads == [adt("1")]


# --- senders that hold a connection open


def connections(inside: OuterInside) -> float | None:
    return inside.registry.get_sample_value("ferry_outer_source_connections", {"source": "adt-in"})


async def test_a_silent_connection_is_closed_and_a_busy_one_is_not(inside) -> None:
    source = listener(inside, idle_s=0.3)
    await source.start()
    silent, busy = await Sender.connect(source), await Sender.connect(source)
    for number in range(10):
        assert await busy.told(adt(str(number))) == [("AA", str(number))]
        await asyncio.sleep(0.07)
    assert await silent.is_closed(0.1)
    busy.close()
    await source.stop()


async def test_a_connection_that_waits_for_its_answer_is_not_idle(inside) -> None:
    source = listener(inside, idle_s=0.1, frame_s=0.1)
    await source.start()
    inside.publisher.may_commit.clear()
    connection = await Sender.connect(source)
    connection.write(adt("1"))
    await asyncio.sleep(0.4)
    inside.publisher.may_commit.set()
    assert code_of((await connection.answers(1))[0]) == "AA"
    connection.close()
    await source.stop()


async def test_a_frame_that_dribbles_is_given_up(inside) -> None:
    source = listener(inside, frame_s=0.3)
    await source.start()
    connection = await Sender.connect(source)
    for byte in frame(adt("1")):
        connection.writer.write(bytes([byte]))
        await asyncio.sleep(0.03)
        if connection.reader.at_eof() or not source.connections:
            break
    assert inside.publisher.payloads == []
    assert await connection.is_closed()
    await source.stop()


async def test_a_sender_that_reads_no_answer_is_not_listened_to_for_ever(inside) -> None:
    source = listener(inside, frame_s=0.4)
    await source.start()
    # Accepted sockets inherit it: small, so that unread answers are noticed soon.
    with socket.socket(fileno=os.dup(source._server.sockets[0].fileno())) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    raw = socket.create_connection(("127.0.0.1", source.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)  # noqa: FBT003 - the standard library's signature
    block = b"".join(frame(adt(str(number))) for number in range(100))
    loop = asyncio.get_running_loop()

    async def flood() -> None:
        while True:
            await loop.sock_sendall(raw, block)

    flooding = asyncio.create_task(flood())
    done, _ = await asyncio.wait({flooding}, timeout=15)
    assert done, "the flood was never ended"
    assert isinstance(flooding.exception(), ConnectionError)
    raw.close()
    await until(lambda: not source.connections)
    await source.stop()


async def test_connections_are_counted_and_limited(inside) -> None:
    source = listener(inside, connections_max=2)
    await source.start()
    held = [await Sender.connect(source) for _ in range(2)]
    await until(lambda: connections(inside) == 2)
    assert await (await Sender.connect(source)).is_closed()
    held[0].close()
    await until(lambda: connections(inside) == 1)
    again = await Sender.connect(source)
    assert await again.told(adt("1")) == [("AA", "1")]
    for each in (*held, again):
        each.close()
    await until(lambda: connections(inside) == 0)
    await source.stop()


async def test_stopping_answers_what_was_begun_and_defers_the_rest(inside, source) -> None:
    inside.publisher.may_commit.clear()
    connection = await Sender.connect(source)
    connection.write(adt("1"))
    await inside.publisher.called.wait()
    connection.write(adt("2"))
    await until(lambda: all(each._waiting for each in source.connections))
    stopping = asyncio.create_task(source.stop())
    await asyncio.sleep(0.02)
    inside.publisher.may_commit.set()
    assert [code_of(answer) for answer in await connection.answers(2)] == ["AA", "AE"]
    connection.close()
    await stopping
    assert inside.publisher.payloads == [adt("1")]


# --- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


async def one_try(source: MllpListener, client: ssl.SSLContext) -> None:
    connection = await Sender.connect(source, client)
    try:
        await connection.told(adt("1"))
    finally:
        connection.close()


async def test_a_certificate_names_its_sender(certificates) -> None:
    inside = OuterInside([channel("adt", HL7)])
    source = listener(inside, name="adt-tls", **certificates.settings())
    await source.start()
    told = []
    for name in ("his.example", "pacs.example", "stranger.example"):
        connection = await Sender.connect(source, certificates.client(name))
        told += await connection.told(adt(name))
        connection.close()
    for client in (certificates.client(None), certificates.client("his.example", trustme.CA())):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await one_try(source, client)
    await source.stop()
    assert [code for code, _ in told] == ["AA", "AR", "AR"]
    assert inside.publisher.payloads == [adt("his.example")]


async def test_tls_without_client_certificates_goes_by_listener(certificates) -> None:
    inside = OuterInside([channel("adt", HL7)])
    source = listener(inside, **certificates.settings(mutual=False))
    await source.start()
    connection = await Sender.connect(source, certificates.client(None))
    assert await connection.told(adt("1"), adt("2")) == [("AA", "1"), ("AA", "2")]
    connection.close()
    await source.stop()


# --- python-hl7's own client


async def test_mllp_send_is_answered(inside, source, tmp_path) -> None:
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join(frame(adt(str(number))) for number in range(5)))
    process = await asyncio.create_subprocess_exec(
        str(MLLP_SEND),
        *("--port", str(source.port), "--file", str(file), "127.0.0.1"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert [f"MSA|AA|{number}".encode() in output for number in range(5)] == [True] * 5
    # mllp_send strips the last segment's end.
    assert inside.publisher.payloads == [adt(str(number))[:-1] for number in range(5)]
