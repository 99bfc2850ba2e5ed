"""Real agents, a real clamd: what it knows does not cross, and without its word nothing does."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferry_runtime.doctor import scanner as scanner_looks
from ferry_runtime.doctor.findings import Level, Side
from ferry_runtime.sections import ScannerSection
from tests.simulator.clamav import CLAMD, EICAR, STREAM_BYTES_MAX, Clamd
from tests.simulator.folder_crossing import FolderCrossing, folder_crossing

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(CLAMD is None, reason="clamd is not there (make packages)"),
]

HL7 = (
    '[channels.content.hl7v2]\nmessages = ["*"]\nsegments = "any"\nescapes = "any"\n'
    'attachments = ["text/plain", "application/pdf"]\n'
)
OBJECTS = '[channels.content.object]\ntype = "application/octet-stream"\n'
MSH = "MSH|^~\\&|LIS|H|EMR|H|20261124080000||ORU^R01^ORU_R01|{}|P|2.5\r"
SCANNING = "virus_scan = true"
CLEAN_PDF = base64.b64encode(b"%PDF-1.7 a report" * 10).decode()


@pytest.fixture
def clamd() -> Iterator[Clamd]:
    with tempfile.TemporaryDirectory(prefix="clamd-") as folder:  # a socket's path must be short
        scanner = Clamd(Path(folder) / "s")
        scanner.start()
        yield scanner
        scanner.stop()


def oru(control_id: int, kind: str, value: str) -> bytes:
    return (MSH.format(control_id) + f"OBX|1|{kind}|R^report||{value}||||||F\r").encode()


def ed(data: bytes) -> str:
    return f"LIS^TEXT^plain^Base64^{base64.b64encode(data).decode()}"


def put(crossing: FolderCrossing, name: str, data: bytes) -> None:
    aside = crossing.drop / f".{name}"
    aside.write_bytes(data)
    aside.rename(crossing.drop / name)


def test_what_the_scanner_knows_is_refused_however_it_is_wrapped(
    tmp_path: Path, clamd: Clamd
) -> None:
    with folder_crossing(
        tmp_path, HL7, ".hl7", outer_options=SCANNING, tables=clamd.table
    ) as crossing:
        put(crossing, "clean.hl7", oru(1, "ED", f"^application^pdf^Base64^{CLEAN_PDF}"))
        assert crossing.arrived(1)
        put(crossing, "base64.hl7", oru(2, "ED", ed(EICAR)))
        put(crossing, "in-a-text.hl7", oru(3, "FT", base64.b64encode(b"x" + EICAR).decode()))
        put(crossing, "hex.hl7", oru(4, "ED", f"LIS^TEXT^plain^Hex^{EICAR.hex().upper()}"))
        notes = crossing.refusals(3)
        assert all("virus_found" in note and "Eicar-Test" in note for note in notes), notes
        assert len(crossing.arrived(1)) == 1


def test_nothing_passes_while_the_scanner_is_away_and_nothing_is_lost(
    tmp_path: Path, clamd: Clamd
) -> None:
    with folder_crossing(
        tmp_path, HL7, ".hl7", outer_options=SCANNING, tables=clamd.table
    ) as crossing:
        clamd.stop()
        put(crossing, "waits.hl7", oru(1, "FT", "a note"))
        time.sleep(2)
        assert crossing.arrived(0) == []
        assert (crossing.drop / "waits.hl7").exists()
        clamd.start()
        assert len(crossing.arrived(1)) == 1


def test_the_inner_scans_by_itself(tmp_path: Path, clamd: Clamd) -> None:
    with folder_crossing(
        tmp_path, HL7, ".hl7", inner_options=SCANNING, tables=clamd.table
    ) as crossing:
        put(crossing, "infected.hl7", oru(1, "ED", ed(EICAR)))
        put(crossing, "clean.hl7", oru(2, "FT", "a note"))
        assert b"a note" in crossing.arrived(1)[0].read_bytes()
        clamd.stop()
        put(crossing, "waits.hl7", oru(3, "FT", "another"))
        time.sleep(2)
        assert len(crossing.arrived(1)) == 1
        clamd.start()
        assert len(crossing.arrived(2)) == 2
        refusals = [
            one
            for one in crossing.pair.log_events("verifier")
            if one.get("reason") == "virus_found"
        ]
        assert len(refusals) == 1


def test_an_object_is_scanned_to_its_last_byte(tmp_path: Path, clamd: Clamd) -> None:
    with folder_crossing(
        tmp_path, OBJECTS, ".bin", outer_options=SCANNING, tables=clamd.table
    ) as crossing:
        put(crossing, "clean.bin", bytes(9 * 1024 * 1024))
        assert crossing.arrived(1)[0].stat().st_size == 9 * 1024 * 1024
        put(crossing, "infected.bin", bytes(9 * 1024 * 1024) + EICAR)
        put(crossing, "long.bin", bytes(STREAM_BYTES_MAX + 1))
        put(crossing, "longer.bin", bytes(3 * STREAM_BYTES_MAX))
        notes = "".join(crossing.refusals(3))
        assert "virus_found" in notes
        assert notes.count("StreamMaxLength") == 2, notes
        assert len(crossing.arrived(1)) == 1


def test_the_doctor_asks_the_scanner(clamd: Clamd) -> None:
    section = ScannerSection(socket=clamd.socket)
    (found,) = scanner_looks.look(section, Side.OUTER)
    assert found.level is Level.WELL
    assert "ClamAV" in found.seen
    clamd.stop()
    (found,) = scanner_looks.look(section, Side.OUTER)
    assert found.level is Level.FAULT
