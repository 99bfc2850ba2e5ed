"""DICOM instances cross both agents: walked and rebuilt outside, held against that inside."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.simulator.dicom_files import ct, element, file, with_preamble
from tests.simulator.folder_crossing import folder_crossing

pytestmark = pytest.mark.timeout(240)
CONTENT = '[channels.content.dicom]\nsop_classes = ["CTImageStorage"]\n'
WIDER = CONTENT + 'private_creators = ["SITE"]\n'


def read(instance: bytes) -> Dataset:
    return dcmread(io.BytesIO(instance))


def with_private_element(instance: bytes) -> bytes:
    made = read(instance)
    made.private_block(0x0029, "SITE", create=True).add_new(0x01, "LO", "inside")
    out = io.BytesIO()
    made.save_as(out)
    return out.getvalue()


def test_instances_cross_with_their_meaning_and_hostile_ones_do_not(tmp_path: Path) -> None:
    small = with_preamble(ct(1), b"MZ" + b"\x90" * 100)
    large = ct(2, rows=512, NumberOfFrames=24, implicit=True)  # four parts
    hostile = {
        "truncated": ct(3)[:-2],
        "trailing": ct(4) + b"PK\x03\x04",
        "four-gigabytes": file(element(0x00420011, b"OB", b"", 0xFFFFFFF0)),
    }
    with folder_crossing(tmp_path, WIDER, ".dcm", inner_content=CONTENT) as site:
        for name, instance in hostile.items():
            (site.drop / name).write_bytes(instance)
        # What the inner's own policy would write differently goes no further than the inner.
        (site.drop / "private.dcm").write_bytes(with_private_element(ct(5)))
        (site.drop / "small.dcm").write_bytes(small)
        notes = site.refusals(3)
        [first] = site.arrived(1)
        (site.drop / "large.dcm").write_bytes(large)
        arrived = [path.read_bytes() for path in site.arrived(2)]
        told = site.told("messages", "--control-id", "2.25.2")
        quarantine = site.told("quarantine")
    assert ["not_well_formed" in note for note in notes] == [True] * 3, notes
    assert first.read_bytes()[:132] == bytes(128) + b"DICM"
    assert [read(one) for one in arrived] == [read(small), read(large)]
    assert "CTImageStorage" in told
    assert "rebuilt_differently" in quarantine
