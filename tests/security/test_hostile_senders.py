"""Senders that mean harm: frames of the hostile corpus, smuggled requests, bytes at random.

Whatever they send, nothing crosses that is not a whole message which the validator passed, every
refusal is recorded, and the next honest sender is served.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator

import pytest

from outer_agent.config import HttpSource, MllpSource
from outer_agent.sources.http import HttpListener
from outer_agent.sources.mllp import MllpListener
from outer_agent.sources.mllp_framing import frame
from tests.simulator.corpora import samples
from tests.simulator.messages import adt
from tests.simulator.outer_inside import API_KEY, HL7, OuterInside, channel
from validators.hl7v2.validator import HL7v2Validator
from validators.verdict import Accepted, Verdict


class RealValidation:
    """The real validator, without its sandbox."""

    def __init__(self) -> None:
        assert HL7.hl7v2 is not None
        self._validator = HL7v2Validator(HL7.hl7v2)
        self.passed: list[bytes] = []

    async def validate(self, _channel: str, payload: bytes) -> Verdict:
        verdict = self._validator.validate(payload)
        if isinstance(verdict, Accepted):
            self.passed.append(payload)
        return verdict


@pytest.fixture
def inside() -> OuterInside:
    made = OuterInside([channel("adt", HL7)])
    made.intake._validation = RealValidation()
    return made


@pytest.fixture
async def mllp(inside: OuterInside) -> AsyncIterator[MllpListener]:
    section = MllpSource(kind="mllp", name="adt-in", listen="127.0.0.1:0", channel="adt")
    source = MllpListener(section, inside.surroundings)
    await source.start()
    yield source
    await source.stop()


@pytest.fixture
async def http(inside: OuterInside) -> AsyncIterator[HttpListener]:
    section = HttpSource(kind="http", name="front-http", listen="127.0.0.1:0")
    source = HttpListener(section, inside.surroundings, idle_s=1.0)
    await source.start()
    yield source
    await source.stop()


async def answer_to(port: int, data: bytes, wait_s: float = 0.3) -> bytes:
    """All that comes back within a while, or until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(data)
        async with asyncio.timeout(wait_s):
            while part := await reader.read(65536):
                answer += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answer


# How many messages of a file are taken: valid frames with valid messages, and the laxities that
# are met so often that refusing them would help nobody.
TAKEN = {
    "ok_one": 1,
    "ok_three_back_to_back": 3,
    "no_final_cr": 1,
    "lf_segments": 1,
    "crlf_segments": 1,
    # Two whole frames: the first holds a message cut short and is refused, the second a message
    # that its sender could as well have sent by itself.
    "ebcr_inside_forges_second": 1,
}


async def test_the_hostile_frames_of_the_corpus(inside, mllp) -> None:
    taken = {}
    for sample in samples("malicious"):
        if not sample.name.startswith("gen_mllp/"):
            continue
        before = len(inside.publisher.taken)
        answer = await answer_to(mllp.port, sample.read())
        taken[sample.path.stem] = len(inside.publisher.taken) - before
        assert len(re.findall(rb"MSA\|[AC]A\|", answer)) == taken[sample.path.stem]
        assert await honest_over(mllp)
    assert {name: number for name, number in taken.items() if number} == TAKEN
    assert len(taken) == 18


async def honest_over(mllp: MllpListener) -> bool:
    return b"MSA|AA|" in await answer_to(mllp.port, frame(adt("honest")), 0.2)


async def test_bytes_at_random_take_nothing_in_and_nothing_down(inside, mllp) -> None:
    source = random.Random(20261123)
    alphabet = b"\x0b\x0b\x1c\r\r\nMSH|^~\\&\x00\xff"
    for _ in range(60):
        data = bytes(source.choice(alphabet) for _ in range(source.randrange(400)))
        await answer_to(mllp.port, data, 0.02)
    assert inside.publisher.taken == []
    assert await honest_over(mllp)


@pytest.mark.parametrize("place", range(0, 60, 7))
async def test_a_message_cut_or_torn_open_is_never_half_taken(inside, mllp, place) -> None:
    whole = frame(adt("1"))
    await answer_to(mllp.port, whole[:place], 0.05)
    await answer_to(mllp.port, whole[:place] + b"\x0b" + whole[place:], 0.2)
    assert inside.publisher.taken == [] or place == 0


POST = (
    b"POST /channels/adt/messages HTTP/1.1\r\nHost: x\r\nX-API-Key: " + API_KEY.encode() + b"\r\n"
)
BODY = adt("honest")
FORGED = POST + b"Content-Length: 8\r\n\r\n" + b"smuggled"


def sized(data: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(data)


SMUGGLING = {
    "length and chunks": POST
    + sized(b"0\r\n\r\n" + FORGED)
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + FORGED,
    "two lengths": POST + b"Content-Length: 3\r\n" + sized(BODY) + b"\r\n" + BODY,
    "a length with a sign": POST + b"Content-Length: +%d\r\n\r\n" % len(BODY) + BODY,
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\n" + BODY,
    "a length below zero": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "another encoding first": POST
    + b"Transfer-Encoding: gzip, chunked, identity\r\n\r\n0\r\n\r\n"
    + FORGED,
    "a space before the colon": POST + b"Content-Length : 5\r\n\r\n" + BODY,
    "a folded header": POST + b"X-A: 1\r\n Content-Length: 5\r\n" + b"\r\n" + BODY,
    "a NUL in a header": POST + b"X-A: a\x00b\r\n" + sized(BODY) + b"\r\n" + BODY,
    "a bare CR in a header": POST + b"X-A: a\rContent-Length: 5\r\n\r\n" + BODY,
    "a chunk whose size is none": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + BODY,
    "a chunk size without end": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000,
    "a chunk longer than said": POST
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "a header line too long": POST + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n",
    "too many headers": POST
    + b"".join(b"X-%d: 1\r\n" % n for n in range(200))
    + sized(BODY)
    + b"\r\n"
    + BODY,
    "a request line too long": b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "two keys": POST + b"X-API-Key: other\r\n" + sized(BODY) + b"\r\n" + BODY,
    "two kinds": POST
    + b"Content-Type: application/hl7-v2\r\nContent-Type: text/html\r\n"
    + sized(BODY)
    + b"\r\n"
    + BODY,
    "two encodings": POST
    + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n"
    + sized(BODY)
    + b"\r\n"
    + BODY,
    "no HTTP": frame(BODY),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 100,
    "an upgrade": POST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + FORGED,
    "a proxy's request": b"CONNECT 10.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n" + FORGED,
    "a body cut short": POST + b"Content-Length: 1000\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_no_ambiguous_request_is_taken(inside, http, name) -> None:
    answer = await answer_to(http.port, SMUGGLING[name], 0.5)
    assert inside.publisher.taken == []
    assert b" 202 " not in answer
    assert answer == b"" or answer.split(b" ", 2)[1][:1] == b"4"
    assert await honest(http)
    assert inside.publisher.payloads == [BODY]


async def honest(http: HttpListener) -> bool:
    request = POST + b"Connection: close\r\n" + sized(BODY) + b"\r\n" + BODY
    return b" 202 " in await answer_to(http.port, request, 2)


@pytest.mark.parametrize(
    "path",
    [
        b"/channels/adt%00/messages",
        b"/channels/adt%2fmessages",
        b"/channels/..%2fadt/messages",
        b"/channels/ADT/messages",
        b"/channels/adt/../adt/messages/x",
        b"/channels/%e5%bc%a0/messages",
        b"/channels/" + b"a" * 3000 + b"/messages",
        b"http://other/channels/none/messages",
    ],
)
async def test_no_other_path_finds_a_channel(inside, http, path) -> None:
    request = POST.replace(b"/channels/adt/messages", path) + sized(BODY) + b"\r\n" + BODY
    answer = await answer_to(http.port, request, 0.5)
    assert inside.publisher.taken == []
    assert answer == b"" or answer.split(b" ", 2)[1][:1] == b"4"
    assert all(record[1]["channel"] == "unknown" for record in inside.audit.records)


async def test_many_connections_that_say_nothing_keep_nobody_out_for_long(inside, http) -> None:
    held = [await asyncio.open_connection("127.0.0.1", http.port) for _ in range(100)]
    assert await honest(http)
    async with asyncio.timeout(5):
        for reader, _ in held:
            assert await reader.read() == b""
    for _, writer in held:
        writer.close()
