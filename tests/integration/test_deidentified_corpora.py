"""Real messages of the corpora: none ends a worker, no long name or number of theirs is left."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.simulator.corpora import samples
from tests.simulator.deidentified import channel, dicom_channel
from validators.deidentify.slots import Part
from validators.dicom.syntaxes import NAMES
from validators.dicom.validator import DicomValidator, judge_whole
from validators.verdict import Accepted

PERMISSIVE: dict[str, dict[str, Any]] = {
    "hl7v2": {
        "hl7v2": {
            "messages": ["*"],
            "segments": "any",
            "header": "lax",
            "escapes": "any",
            "default_charset": "ISO-8859-1",
        }
    },
    "fhir": {
        "fhir": {
            "version": "R4",
            "resources": "any",
            "narrative": "allow",
            "extensions": "any",
            "attachment_urls": "any",
        }
    },
    "cda": {"xml": {"roots": "any", "elements": "any", "cda": {"documents": "any"}}},
}
CHARS_MIN = 8


def traces(part: Part) -> list[str]:
    """What is long enough to be nobody else's: names, identity numbers, numbers of patients."""
    named = [slot.value for slot in part.slots if slot.kind in {"name", "identity"}]
    numbers = [each for each in part.patients if any(map(str.isdigit, each))]
    return [each for each in [*named, *numbers] if len(each.strip()) >= CHARS_MIN]


@pytest.mark.parametrize("family", PERMISSIVE)
def test_nothing_long_of_a_person_is_left(family: str) -> None:
    made = channel(PERMISSIVE[family], leftovers="blank", files="remove", without_patient="year")
    crossed = 0
    leaks = []
    for sample in samples(family):
        judged = made._validator.validate(sample.read())
        verdict = made.validate(sample.read())
        if not isinstance(judged, Accepted) or not isinstance(verdict, Accepted):
            continue
        crossed += 1
        words = re.split(r"[^\w.-]+", made._text_of(verdict.payload))
        parts = made._family.open(judged.payload).parts
        leaks += [sample.name for part in parts for each in traces(part) if each in words]
    assert crossed >= {"hl7v2": 500, "fhir": 250, "cda": 10}[family]
    assert leaks == []


IMAGES: dict[str, Any] = {
    "dicom": {
        "sop_classes": "any",
        "transfer_syntaxes": list(NAMES),
        "header": "lax",
        "values": "any",
        "default_charset": "ISO-8859-1",
    }
}
IMAGE_BYTES_MAX = 1024 * 1024
PERSONAL = {"AccessionNumber", "PatientID", "SOPInstanceUID", "SeriesInstanceUID", "StudyDate"}


def personal(data_set: Dataset) -> Iterator[str]:
    """The names, numbers, UIDs and dates of an instance that are its own, at any depth."""
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield from personal(item)
        elif element.VR == "PN" or element.keyword in PERSONAL:
            yield str(element.value).strip()


def test_no_name_or_number_of_an_instance_is_left() -> None:
    made = dicom_channel(
        content=IMAGES,
        leftovers="blank",
        files="remove",
        without_patient="year",
        dicom={"burned_in": "pass"},
    )
    validator = DicomValidator(made._judging)
    crossed = 0
    leaks = []
    for sample in samples("dicom"):
        data = sample.read()
        judged = judge_whole(validator, data) if len(data) < IMAGE_BYTES_MAX else None
        if not isinstance(judged, Accepted):
            continue
        verdict = made.examine(data).verdict
        assert isinstance(verdict, Accepted), sample.name
        crossed += 1
        known = set(personal(dcmread(io.BytesIO(judged.payload))))
        leaks += [
            (sample.name, each)
            for each in known
            if len(each) >= CHARS_MIN and each.isascii() and each.encode() in verdict.payload
        ]
    assert crossed >= 60
    assert leaks == []
