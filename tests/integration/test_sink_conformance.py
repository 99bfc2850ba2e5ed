"""The contract of inner_agent/sinks/base.py, run against every sink on loopback.

A `Bench` is one sink with its far side: how to make the far side take, refuse, hang or vanish, and
what it received. A new sink adds one bench.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import trustme

from ferry_format import reasons
from inner_agent import config
from inner_agent.journal import JournaledMessage
from inner_agent.sinks import build
from inner_agent.sinks.base import Delivered, Failed
from inner_agent.sinks.tls import TlsSettings
from tests.simulator.dicom_files import document
from tests.simulator.dicom_receiver import HANG, DicomReceiver
from tests.simulator.hl7_receiver import Hl7Behaviour, Hl7Receiver
from tests.simulator.http_receiver import HttpBehaviour, HttpReceiver
from tests.simulator.journal import message
from tests.simulator.messages import adt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from inner_agent.sinks.base import Sink

BOTH_LOOPS = True
# What pynetdicom's far side says of connections that only probe.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Bench(Protocol):
    @property
    def sink(self) -> Sink: ...

    def some(self, position: int, text: str = "张三") -> JournaledMessage:
        """A message that the sink can carry."""

    def seen(self) -> list[tuple[str, bytes]]:
        """(what identifies it, bytes) of all that the far side has taken, in order."""

    async def vanish(self) -> None: ...
    async def appear(self) -> None: ...


def some(position: int, text: str = "张三") -> JournaledMessage:
    return message(position, adt(f"{position:032x}", text))


@dataclass
class ReceiverBench:
    sink: Sink
    far_side: Hl7Receiver | HttpReceiver

    def some(self, position: int, text: str = "张三") -> JournaledMessage:
        return some(position, text)

    def seen(self) -> list[tuple[str, bytes]]:
        return [(e.message_id, e.data) for e in self.far_side.recording.received if e.taken]

    async def vanish(self) -> None:
        await self.far_side.stop()

    async def appear(self) -> None:
        await self.far_side.start()

    def refuse_once(self) -> None:
        script: Any = self.far_side.script
        script.append(Hl7Behaviour.REJECT if isinstance(self.far_side, Hl7Receiver) else 422)

    def hang_once(self) -> None:
        script: Any = self.far_side.script
        hl7 = isinstance(self.far_side, Hl7Receiver)
        script.append(Hl7Behaviour.HANG if hl7 else HttpBehaviour.HANG)


@dataclass
class DicomBench:
    sink: Sink
    far_side: DicomReceiver

    def some(self, position: int, text: str = "张三") -> JournaledMessage:
        return message(position, document(position, text.encode()))

    def seen(self) -> list[tuple[str, bytes]]:
        return [
            (int(uid.rpartition(".")[2]).to_bytes(16, "big").hex(), instance)
            for uid, instance in self.far_side.stored
        ]

    async def vanish(self) -> None:
        await asyncio.to_thread(self.far_side.vanish)

    async def appear(self) -> None:
        await asyncio.to_thread(self.far_side.appear)

    def refuse_once(self) -> None:
        self.far_side.script.append(0xC000)

    def hang_once(self) -> None:
        self.far_side.script.append(HANG)


@dataclass
class FolderBench:
    sink: Sink
    folder: Path

    def some(self, position: int, text: str = "张三") -> JournaledMessage:
        return some(position, text)

    def seen(self) -> list[tuple[str, bytes]]:
        return [
            (path.stem.split("-")[1], path.read_bytes())
            for path in sorted(self.folder.iterdir())
            if not path.name.startswith(".")
        ]

    async def vanish(self) -> None:
        self.folder.rename(self.folder.with_suffix(".away"))

    async def appear(self) -> None:
        self.folder.with_suffix(".away").rename(self.folder)


@dataclass
class Certificates:
    tls: TlsSettings
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, the server's context that wants a client certificate, and the client's files."""
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    client = ca.issue_cert("ferry-inner")
    client.private_key_pem.write_to_path(folder / "key.pem")
    client.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    ca.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    return Certificates(
        TlsSettings(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem"), server
    )


def tls_keys(certificates: Certificates | None) -> dict[str, Any]:
    """The TLS keys of a [[sinks]] table."""
    if certificates is None:
        return {}
    tls = certificates.tls
    return {"tls_ca": tls.ca, "tls_certificate": tls.certificate, "tls_key": tls.key}


@asynccontextmanager
async def mllp_bench(tls: Certificates | None) -> AsyncIterator[ReceiverBench]:
    async with Hl7Receiver(tls=None if tls is None else tls.server) as receiver:
        section = config.MllpSink(
            kind="mllp",
            name="sink",
            host="127.0.0.1",
            port=receiver.port,
            timeout_s=0.3,
            **tls_keys(tls),
        )
        yield ReceiverBench(build(section), receiver)


@asynccontextmanager
async def http_bench(tls: Certificates | None) -> AsyncIterator[ReceiverBench]:
    async with HttpReceiver(tls=None if tls is None else tls.server) as receiver:
        section = config.HttpSink(
            kind="http", name="sink", url=receiver.url, timeout_s=0.3, **tls_keys(tls)
        )
        yield ReceiverBench(build(section), receiver)


@asynccontextmanager
async def dicom_bench() -> AsyncIterator[DicomBench]:
    with DicomReceiver() as receiver:
        section = config.DicomSink(
            kind="dicom",
            name="sink",
            host="127.0.0.1",
            port=receiver.port,
            ae_title="FERRY",
            called_ae_title="PACS",
            timeout_s=0.5,
        )
        yield DicomBench(build(section), receiver)


# Those that answer: a folder neither refuses nor, on loopback, hangs.
ANSWERING = pytest.mark.parametrize(
    "bench", ["mllp", "mllps", "http", "https", "dicom"], indirect=True
)


@pytest.fixture(params=["mllp", "mllps", "http", "https", "folder", "dicom"])
async def bench(
    request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path
) -> AsyncIterator[Bench]:
    tls = certificates if request.param in {"mllps", "https"} else None
    if request.param == "folder":
        (tmp_path / "out").mkdir()
        section = config.FolderSink(kind="folder", name="sink", path=tmp_path / "out")
        folder = FolderBench(build(section), tmp_path / "out")
        yield folder
        await folder.sink.close()
        return
    if request.param == "dicom":
        async with dicom_bench() as dicom:
            yield dicom
            await dicom.sink.close()
        return
    make: Callable[..., Any] = mllp_bench if request.param.startswith("mllp") else http_bench
    async with make(tls) as made:
        yield made
        await made.sink.close()


async def test_it_hands_over_the_exact_bytes_with_the_messages_own_id(bench: Bench) -> None:
    sent = [bench.some(n) for n in range(1, 6)]
    for each in sent:
        assert await bench.sink.deliver(each) == Delivered()
    assert bench.seen() == [(each.message_id.hex(), each.payload) for each in sent]


async def test_it_hands_over_a_large_message(bench: Bench) -> None:
    large = bench.some(1, "大" * 1_000_000)
    assert await bench.sink.deliver(large) == Delivered()
    assert bench.seen() == [(large.message_id.hex(), large.payload)]


async def test_a_repeat_carries_the_same_id(bench: Bench) -> None:
    for _ in range(2):
        assert await bench.sink.deliver(bench.some(1)) == Delivered()
    assert len(set(bench.seen())) == 1


async def test_it_names_itself(bench: Bench) -> None:
    assert bench.sink.name == "sink"


async def test_an_absent_far_side_is_unreachable_and_found_again(bench: Bench) -> None:
    assert await bench.sink.probe() is None
    assert await bench.sink.deliver(bench.some(1)) == Delivered()
    await bench.vanish()
    await asyncio.sleep(0.05)
    assert await bench.sink.probe() is reasons.SINK_UNREACHABLE
    failed = await bench.sink.deliver(bench.some(2))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.permanent) == (reasons.SINK_UNREACHABLE, False)
    await bench.appear()
    assert await bench.sink.deliver(bench.some(2)) == Delivered()
    assert await bench.sink.probe() is None
    assert len(bench.seen()) == 2


async def test_probing_hands_nothing_over(bench: Bench) -> None:
    for _ in range(3):
        assert await bench.sink.probe() is None
    assert bench.seen() == []


@ANSWERING
async def test_a_refusal_for_good_is_permanent_and_the_next_message_passes(
    bench: ReceiverBench | DicomBench,
) -> None:
    bench.refuse_once()
    failed = await bench.sink.deliver(bench.some(1))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.permanent) == (reasons.SINK_REFUSED, True)
    assert await bench.sink.deliver(bench.some(2)) == Delivered()


@ANSWERING
async def test_a_hanging_far_side_ends_in_time_and_the_next_message_passes(
    bench: ReceiverBench | DicomBench,
) -> None:
    bench.hang_once()
    async with asyncio.timeout(6):
        failed = await bench.sink.deliver(bench.some(1))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.permanent) == (reasons.SINK_NO_ANSWER, False)
    assert await bench.sink.deliver(bench.some(2)) == Delivered()


async def test_channels_may_share_it(bench: Bench) -> None:
    sent = [bench.some(n) for n in range(1, 21)]
    assert set(await asyncio.gather(*map(bench.sink.deliver, sent))) == {Delivered()}
    assert sorted(bench.seen()) == [(each.message_id.hex(), each.payload) for each in sent]


async def test_closing_twice_is_harmless(bench: Bench) -> None:
    assert await bench.sink.deliver(bench.some(1)) == Delivered()
    await bench.sink.close()
    await bench.sink.close()


@ANSWERING
async def test_no_failure_tells_anything_of_the_message(bench: ReceiverBench | DicomBench) -> None:
    bench.refuse_once()
    failed = await bench.sink.deliver(bench.some(1, "ZHANG^SAN"))
    assert isinstance(failed, Failed)
    assert "ZHANG" not in failed.detail
    assert len(failed.detail) < 60
