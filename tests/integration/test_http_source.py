"""What only the HTTP source does: statuses, problems, keys, limits, time-outs; curl as a client."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import trustme

from ferry_format import reasons
from outer_agent.config import HttpSource
from outer_agent.sources.http import HttpListener
from tests.simulator.messages import adt
from tests.simulator.outer_inside import (
    API_KEY,
    HL7,
    OTHER_API_KEY,
    OuterInside,
    channel,
    unavailable,
)
from tests.simulator.source_ways import Certificates
from tests.simulator.waiting import until

BOTH_LOOPS = True
KEY = {"X-API-Key": API_KEY}


@pytest.fixture
def inside() -> OuterInside:
    return OuterInside([channel("adt", HL7), channel("orders"), channel("lab", senders=("pacs",))])


def listener(inside: OuterInside, *, tls: dict | None = None, **limits) -> HttpListener:
    section = HttpSource(kind="http", name="front-http", listen="127.0.0.1:0", **(tls or {}))
    return HttpListener(section, inside.surroundings, **limits)


@pytest.fixture
async def source(inside: OuterInside) -> AsyncIterator[HttpListener]:
    made = listener(inside)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def post(source: HttpListener, session: aiohttp.ClientSession, body=b"{}", **fields):
    """The answer of a POST: status, headers, parsed body."""
    path = fields.pop("path", "/channels/orders/messages")
    headers = fields.pop("headers", KEY)
    method = fields.pop("method", "POST")
    url = f"http://127.0.0.1:{source.port}{path}"
    async with session.request(method, url, data=body, headers=headers, **fields) as answer:
        return answer.status, answer.headers, json.loads(await answer.read())


async def test_a_message_is_accepted_with_its_id(inside, source, session) -> None:
    status, headers, body = await post(source, session, b'{"a":1}')
    (taken,) = inside.publisher.taken
    assert status == 202
    assert headers["Content-Type"] == "application/json"
    assert body == {"message_id": taken.message_id.hex(), "duplicate": False}
    assert (taken.channel, taken.payload) == ("orders", b'rebuilt:{"a":1}')


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {API_KEY}"},
        {"Authorization": f"bearer {API_KEY}"},
        {"X-API-Key": API_KEY},
    ],
)
async def test_a_key_may_come_in_either_header(source, session, headers) -> None:
    assert (await post(source, session, headers=headers))[0] == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"Authorization": API_KEY},
        {"Authorization": "Basic " + API_KEY},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong", "X-API-Key": API_KEY},
    ],
)
async def test_without_a_right_key_nothing_is_read(inside, source, session, headers) -> None:
    status, told, body = await post(source, session, headers=headers)
    assert (status, body["reason"]) == (401, "sender_unknown")
    assert told["WWW-Authenticate"] == "Bearer"
    assert inside.pool.seen == []
    assert inside.audit.events == ["message_refused"]


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"path": "/channels/none/messages"}, 404, "channel_unknown"),
        ({"path": "/channels/lab/messages"}, 403, "sender_not_allowed"),
        ({"headers": KEY | {"Content-Type": "text/plain"}}, 415, "content_type_not_allowed"),
        ({"headers": KEY | {"Content-Encoding": "gzip"}}, 415, "content_type_not_allowed"),
        ({"headers": KEY | {"Idempotency-Key": "x y"}}, 422, "not_well_formed"),
        ({"headers": KEY | {"Idempotency-Key": "x" * 256}}, 422, "not_well_formed"),
        ({"body": b""}, 400, "message_empty"),
        ({"body": b"x" * 100_001}, 413, "message_too_large"),
        ({"body": b"REFUSE"}, 422, "segment_not_allowed"),
    ],
)
async def test_each_refusal_is_a_problem(inside, source, session, fields, status, reason) -> None:
    found, headers, body = await post(source, session, **fields)
    assert (found, body["status"], body["reason"]) == (status, status, reason)
    assert headers["Content-Type"] == "application/problem+json"
    assert "Retry-After" not in headers
    assert inside.publisher.taken == []


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "POST", 404),
        ("/channels/orders/messages/1", "POST", 404),
        ("/channels//messages", "POST", 404),
        ("/channels/orders/messages", "GET", 405),
        ("/channels/orders/messages", "PUT", 405),
    ],
)
async def test_other_paths_and_methods_are_problems_too(
    source, session, path, method, status
) -> None:
    found, headers, body = await post(source, session, path=path, method=method)
    assert (found, body["status"]) == (status, status)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers.get("Allow") == ("POST" if status == 405 else None)


async def test_what_may_pass_later_says_when(inside, source, session) -> None:
    inside.fill()
    status, headers, body = await post(source, session)
    assert (status, body["reason"]) == (503, "medium_full")
    assert int(headers["Retry-After"]) > 0


async def test_a_sender_that_passed_its_rate_is_told_429(session) -> None:
    inside = OuterInside([channel("orders", rate_per_s=0.001, burst=1)])
    source = listener(inside)
    await source.start()
    assert (await post(source, session))[0] == 202
    status, headers, body = await post(source, session)
    await source.stop()
    assert (status, body["reason"]) == (429, "rate_limited")
    assert "Retry-After" in headers


async def test_an_idempotency_key_makes_a_repetition_known(inside, source, session) -> None:
    headers = KEY | {"Idempotency-Key": "order-1"}
    _, _, first = await post(source, session, b"[1]", headers=headers)
    _, _, again = await post(source, session, b"[1]", headers=headers)
    _, _, other = await post(source, session, b"[2]", headers=headers)
    assert again == first | {"duplicate": True}
    assert other["message_id"] != first["message_id"]
    assert inside.publisher.payloads == [b"[1]", b"[2]"]


async def test_a_failed_commit_frees_the_key_for_the_next_try(inside, source, session) -> None:
    headers = KEY | {"Idempotency-Key": "order-1"}
    inside.publisher.failing = [unavailable()]
    assert (await post(source, session, headers=headers))[0] == 503
    status, _, body = await post(source, session, headers=headers)
    assert (status, body["duplicate"]) == (202, False)


async def test_an_hl7_message_is_known_by_its_header(inside, source, session) -> None:
    path = "/channels/adt/messages"
    answers = [await post(source, session, adt("1"), path=path) for _ in range(2)]
    assert [body["duplicate"] for _, _, body in answers] == [False, True]


async def test_nothing_of_the_transport_goes_any_further(inside, source, session) -> None:
    headers = KEY | {"User-Agent": "marker-agent", "X-Marker": "marker-header"}
    await post(source, session, headers=headers, params={"marker-query": "1"})
    told = repr(inside.publisher.taken) + repr(inside.audit.records)
    for marker in ("marker", "127.0.0.1", API_KEY, str(source.port)):
        assert marker not in told


async def test_the_answer_does_not_tell_what_software_gave_it(source, session) -> None:
    for fields in ({}, {"path": "/"}, {"headers": {}}):
        _, headers, _ = await post(source, session, **fields)
        assert headers["Server"] == "ferry"


async def test_a_body_in_chunks_is_taken_and_bounded_all_the_same(inside, source, session) -> None:
    async def chunks(number: int) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield b"x" * 1000

    assert (await post(source, session, chunks(99)))[0] == 202
    assert inside.publisher.payloads == [b"x" * 99_000]
    status, _, body = await post(source, session, chunks(101))
    assert (status, body["reason"]) == (413, "message_too_large")


async def raw(port: int, request: bytes, *, wait_s: float = 5.0) -> bytes:
    """All that comes back until the other side closes, or for so long."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = b""
    try:
        async with asyncio.timeout(wait_s):
            while part := await reader.read(65536):
                answer += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answer


async def test_a_head_that_does_not_come_ends_the_connection(inside) -> None:
    source = listener(inside, idle_s=0.2)
    await source.start()
    for sent in (b"", b"POST /channels/orders/messages HTTP/1.1\r\nHost: x\r\nX-API"):
        async with asyncio.timeout(3):
            assert await raw(source.port, sent) == b""
    await source.stop()


async def test_a_head_that_dribbles_ends_the_connection(inside) -> None:
    source = listener(inside, idle_s=0.3)
    await source.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", source.port)
    writer.write(b"POST /channels/orders/messages HTTP/1.1\r\n")

    async def dribble() -> None:
        while True:
            writer.write(b"X-Slow: 1\r\n")
            await asyncio.sleep(0.05)

    dribbling = asyncio.create_task(dribble())
    with suppress(ConnectionError):
        async with asyncio.timeout(3):
            assert await reader.read() == b""
    dribbling.cancel()
    writer.close()
    await source.stop()


async def test_a_body_that_does_not_come_is_answered_and_freed(inside) -> None:
    source = listener(inside, body_s=-0.8)  # a second is added for the channel's 100 kB
    await source.start()
    head = (
        b"POST /channels/orders/messages HTTP/1.1\r\nHost: x\r\nX-API-Key: "
        + API_KEY.encode()
        + b"\r\nContent-Length: 100\r\n\r\nhalf"
    )
    answer = await raw(source.port, head, wait_s=4)
    await source.stop()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert inside.pool.seen == []


async def test_stopping_does_not_wait_for_a_body_that_does_not_come(inside, source) -> None:
    head = (
        b"POST /channels/orders/messages HTTP/1.1\r\nHost: x\r\nX-API-Key: "
        + API_KEY.encode()
        + b"\r\nContent-Length: 100\r\n\r\nhalf"
    )
    sending = asyncio.create_task(raw(source.port, head))
    await until(lambda: source._reading)
    async with asyncio.timeout(5):
        await source.stop()
    assert (await sending).startswith(b"HTTP/1.1 503 ")


async def test_connections_are_counted_and_limited(inside) -> None:
    source = listener(inside, connections_max=2)
    await source.start()

    def connections() -> float | None:
        return inside.registry.get_sample_value(
            "ferry_outer_source_connections", {"source": "front-http"}
        )

    held = [await asyncio.open_connection("127.0.0.1", source.port) for _ in range(2)]
    await until(lambda: connections() == 2)
    async with asyncio.timeout(3):
        assert await raw(source.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
    await until(lambda: connections() == 0)
    assert await raw(source.port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await source.stop()


# --- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def tls_source(inside, certificates) -> AsyncIterator[HttpListener]:
    made = listener(inside, tls=certificates.settings())
    await made.start()
    yield made
    await made.stop()


async def tls_post(source, session, context, headers=None):
    url = f"https://127.0.0.1:{source.port}/channels/orders/messages"
    async with session.post(url, data=b"{}", ssl=context, headers=headers or {}) as answer:
        return answer.status


async def test_a_certificate_names_its_sender(inside, tls_source, session, certificates) -> None:
    assert await tls_post(tls_source, session, certificates.client("his.example")) == 202
    assert inside.audit.records[-1][1]["sender"] == "his-front"
    assert await tls_post(tls_source, session, certificates.client("pacs.example")) == 403
    assert await tls_post(tls_source, session, certificates.client("stranger.example")) == 401


async def test_a_key_may_not_contradict_the_certificate(tls_source, session, certificates) -> None:
    client = certificates.client("his.example")
    assert await tls_post(tls_source, session, client, {"X-API-Key": API_KEY}) == 202
    assert await tls_post(tls_source, session, client, {"X-API-Key": OTHER_API_KEY}) == 401


async def test_without_a_certificate_of_our_ca_there_is_no_request(
    inside, tls_source, session, certificates
) -> None:
    for client in (
        certificates.client(None),
        certificates.client("his.example", trustme.CA()),
    ):
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await tls_post(tls_source, session, client, KEY)
    assert inside.audit.records == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_1_is_not_spoken(tls_source, session, certificates) -> None:
    client = certificates.client("his.example")
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(aiohttp.ClientError):
        await tls_post(tls_source, session, client)


# --- curl

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")


async def curl(*arguments: str) -> tuple[int, dict]:
    process = await asyncio.create_subprocess_exec(
        str(CURL),
        *("-sS", "--max-time", "20", "-w", "\n%{http_code}", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    body, _, status = output.decode().rpartition("\n")
    return int(status), json.loads(body)


@needs_curl
async def test_curl_sends_a_message(inside, source, tmp_path: Path) -> None:
    file = tmp_path / "adt.hl7"
    file.write_bytes(adt("curl-1"))
    url = f"http://127.0.0.1:{source.port}/channels/adt/messages"
    kind = ("-H", "Content-Type: application/hl7-v2")
    status, body = await curl(
        "--data-binary", f"@{file}", *kind, "-H", f"Authorization: Bearer {API_KEY}", url
    )
    assert status == 202
    assert bytes.fromhex(body["message_id"]) == inside.publisher.taken[0].message_id
    assert inside.publisher.payloads == [adt("curl-1")]


@needs_curl
async def test_curl_is_told_why_not(source, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * 3_000_000)  # large enough for Expect: 100-continue
    url = f"http://127.0.0.1:{source.port}/channels/adt/messages"
    kind, key = ("-H", "Content-Type: application/hl7-v2"), ("-H", f"X-API-Key: {API_KEY}")
    for way in (("--data-binary", f"@{file}"), ("-T", str(file), "-X", "POST")):
        chunked = ("-H", "Transfer-Encoding: chunked")
        for extra in ((), chunked):
            status, body = await curl(*way, *extra, *kind, *key, url)
            assert (status, body["reason"]) == (413, reasons.MESSAGE_TOO_LARGE.code)


@needs_curl
async def test_curl_with_a_certificate(inside, tls_source, certificates, tmp_path) -> None:
    client = certificates.ca.issue_cert("his.example")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    status, _ = await curl(
        *("--cacert", str(certificates.folder / "ca.pem")),
        *("--cert", str(tmp_path / "client.pem")),
        *("--json", '{"a": 1}'),
        f"https://127.0.0.1:{tls_source.port}/channels/orders/messages",
    )
    assert status == 202
    assert inside.publisher.payloads == [b'{"a": 1}']
