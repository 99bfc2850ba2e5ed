"""Every DICOM file of the corpora under a permissive channel: accepted, and the same in meaning.

The judge of meaning is pydicom's reader: equal data sets, pixels included, without what never
crosses: group lengths, padding at the end, and private elements that nobody reserved.
"""

from __future__ import annotations

import io

import pytest
from pydicom import Dataset, dcmread

from tests.simulator.corpora import samples
from tests.simulator.processor_time import processor_time_below
from validators.dicom.syntaxes import NAMES
from validators.dicom.validator import DicomValidator, judge_whole
from validators.policy import DicomPolicy
from validators.verdict import Accepted, Rejected

PERMISSIVE = DicomPolicy(
    sop_classes="any",
    transfer_syntaxes=tuple(NAMES),
    unknown_elements="allow",
    private_creators="any",
    header="lax",
    values="any",
    default_charset="ISO-8859-1",
)
# A DICOMDIR is no instance; the others: deflated, implicit where explicit was said, no preamble,
# an element of group 0001, and nothing but a private element that nobody reserved.
REFUSED_VALID = {
    "dicomdirtests_DICOMDIR-bigEnd": "message_type_not_allowed",
    "dicomdirtests_DICOMDIR-empty": "message_type_not_allowed",
    "dicomdirtests_DICOMDIR-implicit": "message_type_not_allowed",
    "dicomdirtests_DICOMDIR-reordered": "message_type_not_allowed",
    "dicomdirtests_DICOMDIR": "message_type_not_allowed",
    "dicomdirtests_TINY_ALPHA_DICOMDIR": "message_type_not_allowed",
    "image_dfl": "transfer_syntax_not_allowed",
    "SC_rgb_jpeg": "not_well_formed",
    "rtstruct": "not_well_formed",
    "nested_priv_SQ": "not_well_formed",
    "UN_sequence": "message_empty",
}
# Delimiter bytes inside compressed pixels: odd, and lawful.
ACCEPTED_INVALID = {"JPEG2000-embedded-sequence-delimiter"}


@pytest.fixture(scope="module")
def validator() -> DicomValidator:
    return DicomValidator(PERMISSIVE)


def meaning(instance: bytes) -> Dataset:
    read = dcmread(io.BytesIO(instance))
    _leave_out(read)
    return read


def _leave_out(read: Dataset) -> None:
    for one in list(read):
        if one.tag.element == 0 or one.tag == 0xFFFCFFFC or _is_reserved_by_nobody(read, one.tag):
            del read[one.tag]
        elif one.tag == 0x7FE00010:  # compressed is always OB; of zeros behind it nothing is said
            one.VR, one.value = "OB", one.value.rstrip(b"\0")
        elif one.VR == "SQ":
            for item in one.value:
                _leave_out(item)


def _is_reserved_by_nobody(read: Dataset, tag: object) -> bool:
    assert isinstance(tag, int)
    creator = tag >> 16 << 16 | tag >> 8 & 0xFF
    is_creator = 0x10 <= tag & 0xFFFF <= 0xFF
    return bool(tag >> 16 & 1) and not is_creator and creator not in read


@pytest.mark.filterwarnings("ignore")
def test_every_valid_instance_crosses_with_its_meaning(validator: DicomValidator) -> None:
    refused, odd, compared = {}, set(), 0
    for sample in samples("dicom"):
        name = sample.path.stem
        verdict = judge_whole(validator, sample.read())
        if isinstance(verdict, Rejected):
            if sample.kind == "valid":
                refused[name] = verdict.reason.code
            continue
        if sample.kind != "valid":
            odd.add(name)
        assert judge_whole(validator, verdict.payload) == verdict, name
        assert meaning(verdict.payload) == meaning(sample.read()), name
        compared += 1
    assert (refused, odd) == (REFUSED_VALID, ACCEPTED_INVALID)
    assert compared == 79


def test_hostile_files_are_refused_or_neutralised_in_time(validator: DicomValidator) -> None:
    hostile = [one for one in samples("malicious") if one.name.startswith("gen_dicom/")]
    with processor_time_below(2):
        verdicts = {one.path.stem: judge_whole(validator, one.read()) for one in hostile}
    assert {name for name, verdict in verdicts.items() if isinstance(verdict, Accepted)} == {
        "patient_name_gbk",
        "pe_polyglot",
        "tiff_preamble",
    }
    for name in ("pe_polyglot", "tiff_preamble"):
        verdict = verdicts[name]
        assert isinstance(verdict, Accepted)
        assert verdict.payload[:128] == bytes(128)
