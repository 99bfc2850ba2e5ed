"""What only HTTP can do wrong, and what goes into a request."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme

from ferry_format import reasons
from ferry_format.reasons import Refused
from inner_agent import config
from inner_agent.sinks.base import Delivered, Failed
from inner_agent.sinks.http import HttpSettings, HttpSink, settings_of
from inner_agent.sinks.tls import TlsSettings, client_context
from tests.simulator.http_receiver import Answer, HttpBehaviour, HttpReceiver
from tests.simulator.journal import message
from tests.simulator.messages import adt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BOTH_LOOPS = True

ONE = message(7, adt("M7"), channel="lab")


@asynccontextmanager
async def sink_to(receiver: HttpReceiver, timeout_s: float = 0.3) -> AsyncIterator[HttpSink]:
    async with receiver:
        sink = HttpSink(
            HttpSettings(
                "his",
                receiver.url,
                headers={"X-Site": "1"},
                authorization="Bearer secret",
                timeout_s=timeout_s,
            )
        )
        yield sink
        await sink.close()


async def test_a_request_carries_id_channel_sequence_and_nothing_of_the_sender() -> None:
    receiver = HttpReceiver()
    async with sink_to(receiver) as sink:
        assert await sink.deliver(ONE) == Delivered()
    headers = dict(receiver.recording.received[0].headers)
    assert headers.pop("Host").startswith("127.0.0.1:")
    assert headers == {
        ":path": "/messages",
        "Idempotency-Key": f"{7:032x}",
        "Ferry-Channel": "lab",
        "Ferry-Channel-Sequence": "7",
        "Content-Type": "application/hl7-v2",
        "Content-Length": str(len(ONE.payload)),
        "User-Agent": "message-ferry",
        "X-Site": "1",
        "Authorization": "Bearer secret",
        "Accept": "*/*",
        "Accept-Encoding": headers["Accept-Encoding"],
    }


@pytest.mark.parametrize(
    ("does", "reason", "permanent"),
    [
        (400, reasons.SINK_REFUSED, True),
        (404, reasons.SINK_REFUSED, True),
        (422, reasons.SINK_REFUSED, True),
        (408, reasons.SINK_BUSY, False),
        (425, reasons.SINK_BUSY, False),
        (429, reasons.SINK_BUSY, False),
        (502, reasons.SINK_BUSY, False),
        (503, reasons.SINK_BUSY, False),
        (504, reasons.SINK_BUSY, False),
        (500, reasons.SINK_FAILED, False),
        (501, reasons.SINK_FAILED, False),
        (Answer(307, {"Location": "/elsewhere"}), reasons.SINK_BAD_ANSWER, False),
        (304, reasons.SINK_BAD_ANSWER, False),
        (HttpBehaviour.GARBAGE, reasons.SINK_BAD_ANSWER, False),
        (HttpBehaviour.HANG, reasons.SINK_NO_ANSWER, False),
        (HttpBehaviour.CLOSE_AFTER_READ, reasons.SINK_NO_ANSWER, False),
        (HttpBehaviour.CLOSE_BEFORE_READ, reasons.SINK_NO_ANSWER, False),
    ],
)
async def test_each_answer_has_its_reason_and_the_next_message_passes(
    does: int | Answer | HttpBehaviour, reason: reasons.Reason, *, permanent: bool
) -> None:
    receiver = HttpReceiver([does])
    async with sink_to(receiver) as sink:
        failed = await sink.deliver(ONE)
        assert isinstance(failed, Failed)
        assert (failed.reason, failed.permanent) == (reason, permanent)
        assert await sink.deliver(ONE) == Delivered()
    paths = {each.headers[":path"] for each in receiver.recording.received}
    assert paths == {"/messages"}, "no redirect is followed"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("soon", None), ("-3", None), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)],
)
async def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    receiver = HttpReceiver([Answer(503, {"Retry-After": value})])
    async with sink_to(receiver) as sink:
        failed = await sink.deliver(ONE)
    assert isinstance(failed, Failed)
    assert failed.retry_after_s == seconds


async def test_one_connection_serves_many_messages() -> None:
    receiver = HttpReceiver([200, 500, 404, Answer(200, body=b"x" * 60_000)])
    async with sink_to(receiver) as sink:
        for _ in range(30):
            await sink.deliver(ONE)
    assert receiver.connections == 1


async def test_an_endless_body_is_cut_off_and_the_message_is_delivered() -> None:
    receiver = HttpReceiver([HttpBehaviour.ENDLESS_BODY])
    async with sink_to(receiver) as sink:
        async with asyncio.timeout(4):
            assert await sink.deliver(ONE) == Delivered()
        assert await sink.deliver(ONE) == Delivered()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with sink_to(HttpReceiver()) as sink:
        assert await sink.deliver(ONE) == Delivered()


async def test_a_certificate_of_another_ca_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    trustme.CA().cert_pem.write_to_path(tmp_path / "other-ca.pem")
    async with HttpReceiver(tls=server) as receiver:
        settings = HttpSettings("his", receiver.url, tls=TlsSettings(tmp_path / "other-ca.pem"))
        sink = HttpSink(settings)
        failed = await sink.deliver(ONE)
        assert isinstance(failed, Failed)
        assert failed.reason is reasons.SINK_UNREACHABLE
        assert await sink.probe() is reasons.SINK_UNREACHABLE
        assert receiver.recording.received == []
        await sink.close()


def test_the_hosts_own_roots_are_not_trusted(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    context = client_context(TlsSettings(tmp_path / "ca.pem"))
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("content", [None, b"no PEM"])
def test_an_unusable_ca_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(Refused, match=r"ca\.pem"):
        client_context(TlsSettings(tmp_path / "ca.pem"))


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("https://his/x", False),
        ("http://his/x", True),
        ("ftp://his/x", False),
        ("http:///x", False),
    ],
)
def test_contradicting_settings_are_refused(url: str, tmp_path: Path, *, tls: bool) -> None:
    settings = HttpSettings("his", url, tls=TlsSettings(tmp_path / "ca.pem") if tls else None)
    with pytest.raises(ValueError, match="his"):
        HttpSink(settings)


def test_the_secret_is_not_in_the_settings_text() -> None:
    assert "secret" not in repr(HttpSettings("his", "http://his", authorization="secret"))


@pytest.mark.parametrize("secret", [b"", b"two\nlines", "密".encode()])
def test_a_secret_that_is_no_header_value_is_refused(tmp_path: Path, secret: bytes) -> None:
    file = tmp_path / "authorization"
    file.write_bytes(secret)
    file.chmod(0o600)
    section = config.HttpSink(kind="http", name="his", url="http://his/", authorization_file=file)
    with pytest.raises(Refused, match="authorization"):
        settings_of(section)


def test_the_secret_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "authorization"
    file.write_bytes(b"Bearer secret\n")
    file.chmod(0o600)
    section = config.HttpSink(kind="http", name="his", url="http://his/", authorization_file=file)
    assert settings_of(section).authorization == "Bearer secret"
