"""FHIR resources from a drop folder to a folder, through both agents and their workers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.simulator.ferry_pair import Channel, FerryPair

pytestmark = pytest.mark.timeout(120)
CONTENT = """
[channels.content.fhir]
version = "R4"
resources = ["Patient"]
elements = ["Patient.id", "Patient.name", "Patient.birthDate"]
unknown_elements = "strip"
"""
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"text": "王芳"}],
    "birthDate": "1980-02-29",
    "telecom": [{"system": "phone", "value": "13800000000"}],
}


def test_a_patient_crosses_with_the_named_elements_only(tmp_path: Path) -> None:
    drop, out = tmp_path / "drop", tmp_path / "out"
    drop.mkdir()
    out.mkdir()
    pair = FerryPair(
        tmp_path,
        [Channel("patients", CONTENT, "emr")],
        f'[[sources]]\nkind = "folder"\nname = "resources"\npath = "{drop}"\n'
        f'channel = "patients"\nsettle_s = 0.1\npoll_s = 0.1\n',
        f'[[sinks]]\nkind = "folder"\nname = "emr"\npath = "{out}"\nsuffix = ".json"\n',
        '[[senders]]\nname = "hospital-front"\nlisteners = ["resources"]',
    )
    pair.write()
    pair.start()
    try:
        (drop / "good.json").write_text(json.dumps(PATIENT, indent=2))
        (drop / "bad.json").write_text(json.dumps(PATIENT | {"birthDate": "1981-02-29"}))
        deadline_s = time.monotonic() + 30
        while not (arrived := sorted(path for path in out.iterdir() if path.name[0] != ".")):
            pair.check_alive()
            assert time.monotonic() < deadline_s, pair.tail()
            time.sleep(0.1)
        time.sleep(1)
        [only] = [json.loads(path.read_bytes()) for path in arrived]
        assert only == {key: PATIENT[key] for key in ("resourceType", "id", "name", "birthDate")}
        [note] = [path for path in (drop / "refused").iterdir() if path.name.endswith(".txt")]
        assert "schema_mismatch" in note.read_text()
        assert "1981" not in note.read_text()
    finally:
        for name in list(pair.processes):
            pair.kill(name)
