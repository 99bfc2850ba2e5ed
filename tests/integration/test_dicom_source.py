"""The C-STORE source, asked by dcmtk's storescu and by pynetdicom."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ferry_format import reasons
from outer_agent.config import DicomSource
from outer_agent.sources import dicom_wire
from outer_agent.sources.dicom import DicomListener
from tests.simulator.dicom_caller import store
from tests.simulator.dicom_files import ct
from tests.simulator.outer_inside import OuterInside, channel, sender
from tests.simulator.source_ways import Certificates
from validators.policy import ContentPolicy

pytestmark = [
    pytest.mark.timeout(120),
    # pynetdicom leaves sockets that could not connect to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DICOM = ContentPolicy.model_validate({"dicom": {"sop_classes": ["CTImageStorage"]}})


@pytest.fixture
def inside(tmp_path: Path) -> OuterInside:
    senders = [sender("ct-1", ae_titles=("CT1",), api_keys_sha256=(), tls_names=(), listeners=())]
    return OuterInside([channel("images", DICOM, senders=("ct-1",))], senders, state_dir=tmp_path)


def listener(inside: OuterInside) -> DicomListener:
    section = DicomSource(
        kind="dicom",
        name="store",
        listen="127.0.0.1:0",
        channel="images",
        ae_title="FERRY",
        peers=("127.0.0.0/8",),
        idle_s=5.0,
    )
    return DicomListener(section, inside.surroundings)


@pytest.fixture
async def source(inside: OuterInside) -> AsyncIterator[DicomListener]:
    made = listener(inside)
    await made.start()
    yield made
    await made.stop()


async def test_a_repeated_instance_crosses_once_and_other_bytes_as_another(
    source: DicomListener, inside: OuterInside
) -> None:
    other = ct(1, PatientID="4712")
    assert await asyncio.to_thread(store, source.port, ct(1), ct(1), other) == [0, 0, 0]
    assert len(inside.publisher.payloads) == 2


async def test_refusals_for_good_and_for_now_have_statuses_of_their_own(
    source: DicomListener, inside: OuterInside
) -> None:
    assert await asyncio.to_thread(store, source.port, ct(1, PatientName="A\x07B")) == [0xC000]
    inside.fill()
    assert await asyncio.to_thread(store, source.port, ct(1)) == [0xA700]
    inside.drain()
    assert await asyncio.to_thread(store, source.port, ct(1)) == [0x0000]
    assert inside.count("refused", reasons.CONTROL_CHARACTER, "images") == 1


async def test_strangers_are_rejected_before_they_send(source: DicomListener) -> None:
    assert await asyncio.to_thread(store, source.port, ct(1), title="CT2") == []
    assert await asyncio.to_thread(store, source.port, ct(1), called="PACS") == []


async def test_a_certificate_says_who_calls_and_its_title_must_fit(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    unlisted = {"api_keys_sha256": (), "listeners": ()}
    senders = [
        sender("ct-1", ae_titles=("CT1",), tls_names=("his.example",), **unlisted),
        sender("ct-2", ae_titles=("CT2",), tls_names=("pacs.example",), **unlisted),
    ]
    inside = OuterInside([channel("images", DICOM, senders=("ct-1",))], senders, state_dir=tmp_path)
    section = DicomSource(
        kind="dicom",
        name="store",
        listen="127.0.0.1:0",
        channel="images",
        ae_title="FERRY",
        **certificates.settings(),
    )
    source = DicomListener(section, inside.surroundings)
    await source.start()
    try:
        one, two = certificates.client("his.example"), certificates.client("pacs.example")
        assert await asyncio.to_thread(store, source.port, ct(1), tls=one) == [0x0000]
        assert await asyncio.to_thread(store, source.port, ct(2), tls=two) == [0x0124]
        assert await asyncio.to_thread(store, source.port, ct(2)) == []
    finally:
        await source.stop()
    assert len(inside.publisher.payloads) == 1


async def test_storescu_is_answered(
    source: DicomListener, inside: OuterInside, tmp_path: Path
) -> None:
    program = shutil.which("storescu")
    if program is None:
        pytest.skip("storescu is not there (make packages)")
    (tmp_path / "1.dcm").write_bytes(ct(1, rows=256))
    command = [
        *(program, "-v", "-aet", "CT1", "-aec", "FERRY", "127.0.0.1", str(source.port)),
        str(tmp_path / "1.dcm"),
    ]
    told = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    assert "Success" in told.stdout + told.stderr
    assert len(inside.publisher.payloads) == 1


async def test_a_pdu_of_four_gigabytes_ends_its_connection_and_nothing_else(
    source: DicomListener, inside: OuterInside
) -> None:
    def attack() -> bytes:
        with socket.create_connection(("127.0.0.1", source.port), 10) as connection:
            connection.sendall(struct.pack(">BBI", 1, 0, 0xFFFFFFF0) + bytes(1 << 20))
            try:
                return connection.recv(1)
            except ConnectionError:
                return b""

    await asyncio.to_thread(attack)
    assert await asyncio.to_thread(store, source.port, ct(1)) == [0x0000]


async def test_a_receiver_that_dies_is_started_again(
    source: DicomListener, inside: OuterInside
) -> None:
    port, process = source.port, source._process
    assert process is not None
    process.kill()
    async with asyncio.timeout(60):
        while await asyncio.to_thread(store, port, ct(1)) != [0]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    assert source.port == port


async def test_an_answer_goes_to_the_receiver_that_asked_and_to_no_later_one(
    inside: OuterInside, tmp_path: Path
) -> None:
    made = listener(inside)
    instance = tmp_path / "1.dcm"
    instance.write_bytes(ct(1))
    kind = (socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (first, asking), (second, next_one) = socket.socketpair(*kind), socket.socketpair(*kind)
    inside.publisher.may_commit.clear()
    with first, asking, second, next_one, instance.open("rb") as opened:
        made._pair = first
        question = dicom_wire.pack(dicom_wire.Question(1, calling_title="CT1"))
        socket.send_fds(asking, [question], [opened.fileno()])
        made._hear()
        (task,) = made._tasks
        await inside.publisher.called.wait()
        made._pair = second  # as a receiver that ended is replaced
        inside.publisher.may_commit.set()
        await task
        next_one.settimeout(0)
        with pytest.raises(BlockingIOError):
            next_one.recv(1000)
