"""Unique markers in every field that says who somebody is: none of them in what comes out."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib import resources

import pytest

from ferry_format.reasons import FIELD_NOT_ALLOWED
from tests.simulator.deidentified import (
    CDA,
    FHIR,
    HL7,
    channel,
    crossed,
    dicom_channel,
    instance,
)
from tests.simulator.dicom_files import element, file, item
from tests.simulator.dicom_people import UID_ROOT, people
from tests.simulator.personal_data import Markers, cda_document, fhir_resource
from validators.deidentify.leftovers import NOTHING
from validators.fhir import model
from validators.fhir.model import Version
from validators.verdict import Rejected

FIELDS = json.loads(
    (resources.files("validators.deidentify") / "hl7v2_fields.json").read_text(encoding="utf-8")
)
PERSONAL_TYPES = {
    "XPN": 5,
    "PN": 5,
    "XCN": 7,
    "CN": 7,
    "PPN": 7,
    "XAD": 4,
    "AD": 4,
    "XTN": 12,
    "TN": 1,
    "CX": 2,
    "EI": 1,
    "DLN": 1,
    "XON": 1,
    "NDL": 1,
}
"""Of each type, how many components from the first on say who somebody is."""
# fmt: off
PERSONAL_FIELDS = frozenset((
    "PID-19", "PID-23", "NK1-37", "NK1-38", "GT1-12", "GT1-16", "GT1-56", "IN1-8", "IN1-36",
    "IN1-52", "IN2-2", "IN2-6", "IN2-8", "IN2-10", "STF-15", "ACC-3", "ACC-9", "MSH-10",
))
# fmt: on
DATE = "19870617"
EMPTY_SCHEMA = b"{}"
HEADER = "MSH|^~\\&|A|B|C|D|20260301||ORU^R01|{}|P|2.5\r"
PATIENT = "PID|1||P1\r"


def segment(name: str, markers: Markers) -> str:
    texts = []
    for number, kind in enumerate(FIELDS[name], 1):
        if f"{name}-{number}" in PERSONAL_FIELDS:
            texts.append(markers.word())
        elif kind in PERSONAL_TYPES:
            texts.append("^".join(markers.word() for _ in range(PERSONAL_TYPES[kind])))
        elif kind in {"TS", "DTM", "DT"}:
            texts.append(f"{DATE}1200")
        else:
            texts.append("")
    return "|".join([name, *texts]) + "\r"


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"MSH", "FHS", "BHS", "BTS", "FTS"}))
def test_no_field_of_any_segment_leaks(name: str) -> None:
    markers = Markers()
    planted = segment(name, markers)
    patient = planted if name == "PID" else PATIENT + planted
    text = crossed(channel(HL7), HEADER.format(markers.word()) + patient)
    assert markers.left_in(text) == []
    assert DATE not in text


def test_segments_and_fields_that_no_version_has_are_emptied() -> None:
    markers = Markers()
    unknown = f"ZPI|{markers.word()}|a^{markers.word()}~{markers.word()}\r"
    beyond = f"PV1|{'|' * 70}{markers.word()}\r"
    text = crossed(channel(HL7), HEADER.format("1") + PATIENT + unknown + beyond)
    assert markers.left_in(text) == []


@pytest.mark.parametrize("version", ["R4", "R5"])
def test_no_element_of_any_resource_leaks(version: Version) -> None:
    types = model.load(version)
    content = {"fhir": {**FHIR["fhir"], "version": version}}
    made = channel(content, without_patient="year", files="remove")
    leaks = {}
    for name, each in types.items():
        if not each.is_resource:
            continue
        markers = Markers()
        planted = json.dumps(fhir_resource(types, name, markers)).encode()
        # Not every combination is lawful, and the family must not rely on what is.
        document = made._family.open(planted)
        for part in document.parts:
            made._changes(part, NOTHING)
        text = document.write().decode()
        if left := [*markers.left_in(text), *(["date"] if "1987-06" in text else [])]:
            leaks[name] = left
    assert leaks == {}


def test_no_part_of_a_document_leaks() -> None:
    markers = Markers()
    text = crossed(channel(CDA), cda_document(markers.word(), markers=markers))
    assert markers.left_in(text) == []
    assert DATE not in text


def test_nothing_hides_beside_a_birth_date() -> None:
    markers = Markers()
    patient = {
        "resourceType": "Patient",
        "birthDate": "1987-06-17",
        "_birthDate": {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
                    "valueDateTime": "1987-06-17T08:11:12Z",
                }
            ]
        },
        "contained": [
            {"resourceType": "Person", "id": "c", "name": [{"family": markers.word()}]},
        ],
        "link": [{"other": {"reference": "#c"}, "type": "seealso"}],
    }
    text = crossed(channel(FHIR), json.dumps(patient))
    assert "08:11:12" not in text
    assert markers.left_in(text) == []


def test_json_crosses_with_no_place_that_nobody_named() -> None:
    made = channel(
        {"json": {"schema_file": "s", "schema_sha256": sha256(EMPTY_SCHEMA).hexdigest()}},
        schemas={"s": EMPTY_SCHEMA},
        places=[{"at": "/name", "holds": "name"}, {"at": "/id", "holds": "internal"}],
        patient="/id",
    )
    verdict = made.validate(b'{"name": "x", "id": "1", "other": "Qz"}')
    assert isinstance(verdict, Rejected)
    assert verdict.reason is FIELD_NOT_ALLOWED
    assert "Qz" not in verdict.place
    assert "Qz" not in crossed(made, '{"name": "Qz00001Xk", "id": "Qz00002Xk", "ok": true}')


@pytest.mark.parametrize("is_nested", [False, True])
def test_no_element_of_an_instance_leaks(*, is_nested: bool) -> None:
    markers = Markers()
    planted = people(markers)
    if is_nested:
        report = element(0x0040A730, b"SQ", item(element(0x00081140, b"SQ", item(planted))))
        planted = element(0x00100020, b"LO", b"P1") + report
    made = dicom_channel(files="remove", dicom={"characteristics": "remove"})
    out = instance(made, file(planted)).decode("latin-1")
    assert len(markers.given) > 300
    assert markers.left_in(out) == []
    assert DATE not in out
    assert UID_ROOT not in out


def test_nothing_hides_in_elements_that_no_table_names() -> None:
    markers = Markers()
    private = ((0x00090010, b"LO"), (0x00091001, b"UN"), (0x00091002, b"PN"))
    graphics = (
        *((0x50000022, b"LO"), (0x50003000, b"OB"), (0x60000022, b"LO"), (0x60001500, b"LO")),
        *((0x60003000, b"OB"), (0x60020022, b"LO")),
    )
    hidden = b"".join(
        element(tag, code, f"{markers.word()} ".encode())
        for tag, code in ((0x00081301, b"UN"), *private, *graphics, (0xFFFCFFFC, b"OB"))
    )
    out = instance(dicom_channel(), file(hidden)).decode("latin-1")
    assert markers.left_in(out) == []
