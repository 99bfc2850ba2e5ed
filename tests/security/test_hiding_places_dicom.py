"""Where data could hide in DICOM instances and in forms: refused, or gone on the other side."""

from __future__ import annotations

import struct

import pytest

from tests.simulator.dicom_files import element, file, item, with_preamble
from tests.simulator.hiding import HIDDEN, Place, check, traces
from validators.dicom.validator import DicomValidator, judge_whole
from validators.policy import DicomPolicy
from validators.verdict import Accepted, Rejected

WORD = HIDDEN.encode() + b" "
NAME = element(0x00100010, b"PN", b"Zhang^San ")
CLEAN = file(NAME)
NAMED = DicomPolicy(sop_classes="any", elements=("PatientName",))
LENGTH = element(0x00100000, b"UL", struct.pack("<I", 18))

GONE = {
    "the preamble": with_preamble(CLEAN, b"MZ" + WORD),
    "a private element": file(
        element(0x00090010, b"LO", b"X "), element(0x00091001, b"LO", WORD), NAME
    ),
    "a private creator": file(element(0x00090010, b"LO", WORD), NAME),
    "a group length": file(LENGTH, NAME),
    "an element that is not named": file(element(0x00080080, b"LO", WORD), NAME),
    "an element that the standard does not know": file(element(0x000800FF, b"LO", WORD), NAME),
    "a sequence": file(element(0x00081140, b"SQ", item(element(0x00081150, b"UI", WORD))), NAME),
    "the data set's padding": file(NAME, element(0xFFFCFFFC, b"OB", WORD)),
}
REFUSED = {
    "behind the data set": CLEAN + WORD,
    "an element twice": file(NAME, NAME),
    "an element out of order": file(NAME, element(0x00080080, b"LO", WORD)),
    "before the preamble": WORD + CLEAN,
    "a shorter length than the value": file(element(0x00100010, b"PN", WORD, 4)),
}


@pytest.mark.parametrize("where", GONE)
def test_gone_from_dicom(where: str) -> None:
    validator = DicomValidator(NAMED)
    verdict = judge_whole(validator, GONE[where])
    assert isinstance(verdict, Accepted), verdict
    assert traces(verdict.payload) == []
    assert verdict == judge_whole(validator, CLEAN)


@pytest.mark.parametrize("where", REFUSED)
def test_refused_in_dicom(where: str) -> None:
    verdict = judge_whole(DicomValidator(NAMED), REFUSED[where])
    assert isinstance(verdict, Rejected)
    assert traces(verdict.place.encode()) == []


FORM = {"form": {"fields": [{"name": "id"}, {"name": "name"}], "unknown_fields": "strip"}}
FORM_CLEAN = b"id=7&name=a"
FORMS = [
    Place("an unknown field", b"id=7&name=a&x=" + WORD.strip(), "gone"),
    Place("its name", b"id=7&name=a&" + WORD.strip() + b"=1", "gone"),
    Place(
        "an unknown field, refusing",
        b"id=7&name=a&x=" + WORD.strip(),
        ("field_not_allowed",),
        {"unknown_fields": "refuse"},
    ),
    Place("order and escapes", b"name=%61&id=%37", "gone"),
    Place("over-long UTF-8", b"id=7&name=%C1%A1", ("not_decodable",)),
    Place("a NUL", b"id=7&name=a%00" + WORD.strip(), ("control_character",)),
    Place("behind a line end", b"id=7&name=a\r\n" + WORD.strip(), ("not_well_formed",)),
    Place("a fragment", b"id=7&name=a#" + WORD.strip(), ("not_well_formed",)),
]


@pytest.mark.parametrize("place", FORMS, ids=str)
def test_forms(place: Place) -> None:
    check(place, FORM_CLEAN, FORM)
