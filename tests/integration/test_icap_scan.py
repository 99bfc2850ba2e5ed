"""A real ICAP server before a real clamd: what it objects to does not cross."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from ferry_runtime.doctor import scanner as scanner_looks
from ferry_runtime.doctor.findings import Level, Side
from ferry_runtime.sections import ScannerSection
from inner_agent.virus_scan import ScannedValidators
from outer_agent.config import ScannerSection as OuterScannerSection
from outer_agent.virus_scan import VirusScan
from tests.simulator.clamav import CLAMD, EICAR, Clamd
from tests.simulator.folder_crossing import folder_crossing
from tests.simulator.icap_server import PROGRAM, IcapServer
from validators.verdict import Accepted, Rejected, Verdict

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(CLAMD is None, reason="clamd is not there (make packages)"),
    pytest.mark.skipif(not PROGRAM.exists(), reason="c-icap is not there (make packages)"),
]
HL7 = '[channels.content.hl7v2]\nmessages = ["*"]\nsegments = "any"\nescapes = "any"\n'
NOTE = "MSH|^~\\&|LIS|H|EMR|H|20261124080000||ORU^R01^ORU_R01|{}|P|2.5\rNTE|1||{}\r"


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with tempfile.TemporaryDirectory(prefix="clamd-") as folder:  # a socket's path must be short
        scanner = Clamd(Path(folder) / "s")
        scanner.start()
        yield scanner
        scanner.stop()


@pytest.fixture
def server(clamd: Clamd, tmp_path: Path) -> Iterator[IcapServer]:
    made = IcapServer(tmp_path / "icap", clamd)
    made.start()
    yield made
    made.stop()


@contextlib.contextmanager
def forwarded(path: Path, port: int) -> Iterator[None]:
    """A UNIX socket that leads to a port of loopback, as systemd-socket-proxyd makes one."""

    def carry(giver: socket.socket, taker: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := giver.recv(65536):
                taker.sendall(piece)
            taker.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with (
                near,
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port)) as far,
            ):
                back = threading.Thread(target=carry, args=(far, near))
                back.start()
                carry(near, far)
                back.join()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def path(server: IcapServer) -> Iterator[Path]:
    """A UNIX socket that leads to the server: the verifier has no network."""
    with tempfile.TemporaryDirectory() as folder, forwarded(Path(folder) / "icap", server.port):
        yield Path(folder) / "icap"


def test_what_the_server_knows_does_not_cross_and_what_it_does_not_judge_waits(
    tmp_path: Path, server: IcapServer, path: Path
) -> None:
    scanning = {"outer_options": "virus_scan = true", "inner_options": "virus_scan = true"}
    table = f'[scanner]\nicap = "{server.service}"\nsocket = "{path}"\ntimeout_s = 10.0\n'
    with folder_crossing(tmp_path, HL7, ".hl7", tables=table, **scanning) as crossing:

        def put(number: int, text: str) -> None:
            aside = crossing.drop / f".{number}"
            aside.write_text(NOTE.format(number, text))
            aside.rename(crossing.drop / f"{number}.hl7")

        put(1, "a note")
        assert crossing.arrived(1)
        put(2, "another note, " * 100 + EICAR.decode())
        (note,) = crossing.refusals(1)
        assert "virus_found" in note
        assert "Eicar-Test" in note
        server.stop()
        put(3, "waits")
        time.sleep(2)
        assert (crossing.drop / "3.hl7").exists()
        server.start()
        assert len(crossing.arrived(2)) == 2


async def test_an_object_is_scanned_to_its_last_byte(server: IcapServer) -> None:
    scan = VirusScan(OuterScannerSection(icap=server.service, timeout_s=20))
    await asyncio.gather(*(scan.check(bytes(100_000)) for _ in range(12)))
    async with scan.stream() as stream:
        for _ in range(8):
            await stream.send(bytes(1024 * 1024))
        await stream.send(EICAR)
        with pytest.raises(Refused, match="virus_found"):
            await stream.finish()
    server.stop()
    with pytest.raises(Unavailable):
        await scan.check(b"x")


class AcceptsAll:
    def validate_many(self, items: list[tuple[str, bytes]]) -> list[Verdict]:
        return [Accepted(payload, "t", None) for _, payload in items]


def test_the_inner_reaches_it_through_a_unix_socket(server: IcapServer, path: Path) -> None:
    section = ScannerSection(socket=path, icap=server.service, timeout_s=20)
    scanned = ScannedValidators(AcceptsAll(), section, {"lab"}, lambda: None)
    items = [("lab", b"clean"), ("lab", EICAR), ("other", EICAR)]
    clean, infected, unscanned = scanned.validate_many(items)
    assert isinstance(clean, Accepted)
    assert isinstance(unscanned, Accepted)
    assert isinstance(infected, Rejected)
    assert infected.reason is reasons.VIRUS_FOUND


def test_the_doctor_asks_the_service(server: IcapServer) -> None:
    (found,) = scanner_looks.look(ScannerSection(icap=server.service), Side.OUTER)
    assert found.level is Level.WELL
    assert "C-ICAP" in found.seen
    wrong = ScannerSection(icap=server.service.replace("avscan", "none"))
    (found,) = scanner_looks.look(wrong, Side.OUTER)
    assert found.level is Level.FAULT
    server.stop()
    (found,) = scanner_looks.look(ScannerSection(icap=server.service), Side.OUTER)
    assert found.level is Level.FAULT
