"""FHIR from a drop folder to a folder, through both agents and their sandboxed workers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.folder_crossing import folder_crossing

pytestmark = pytest.mark.timeout(120)
CONTENT = """
[channels.content.fhir]
version = "R4"
resources = ["Patient"]
elements = ["Patient.id", "Patient.text", "Patient.name", "Patient.birthDate", "Patient.photo"]
unknown_elements = "strip"
narrative = "allow"
attachments = ["application/zip"]
"""


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("a.txt", b"hello")
    # A name of old archives, in their character set: nothing says that it is UTF-8.
    return file.getvalue().replace(b"a.txt", b"\x84.txt")


def patient() -> dict[str, Any]:
    file = archive()
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><b>\u738b</b></div>'
    digest = hashlib.sha1(file, usedforsecurity=False).digest()
    photo = {
        "contentType": "application/zip",
        "data": base64.b64encode(file).decode(),
        "size": len(file),
        "hash": base64.b64encode(digest).decode(),
    }
    return {
        "resourceType": "Patient",
        "id": "p1",
        "text": {"status": "generated", "div": div},
        "name": [{"text": "\u738b\u82b3"}],
        "birthDate": "1980-02-29",
        "photo": [photo],
    }


def test_a_patient_crosses_with_the_named_elements_only(tmp_path: Path) -> None:
    crosses = patient()
    sent = crosses | {"telecom": [{"system": "phone", "value": "13800000000"}]}
    with folder_crossing(tmp_path, CONTENT, ".json") as crossing:
        (crossing.drop / "bad.json").write_text(json.dumps(sent | {"birthDate": "1981-02-29"}))
        [note] = crossing.refusals(1)
        assert "schema_mismatch" in note
        assert "1981" not in note
        (crossing.drop / "good.json").write_text(json.dumps(sent, indent=2))
        [arrived] = crossing.arrived(1)
        assert json.loads(arrived.read_bytes()) == crosses
