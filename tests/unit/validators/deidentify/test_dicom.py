"""What becomes of the elements of an instance, by PS3.15's table and the channel's options."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

from ferry_format.reasons import (
    ATTACHMENT_NOT_ALLOWED,
    LIMIT_EXCEEDED,
    NOT_WELL_FORMED,
    PATIENT_UNKNOWN,
    PERSONAL_DATA_LEFT,
    Reason,
)
from tests.simulator.deidentified import DICOM, KEY, dicom_channel, instance
from tests.simulator.dicom_files import ct, document, element, file, item
from validators import pieces
from validators.deidentify.dicom import DicomDeidentifier
from validators.deidentify.keyed import Keyed
from validators.pieces import Piece
from validators.policy import ContentPolicy
from validators.registry import ContentSpec, build_spec
from validators.verdict import Accepted, Rejected

KEYED = Keyed(KEY)
IDENTITY = "11010519491231002X"
"""The specimen of GB 11643."""


def crossed(sent: bytes, **policy: Any) -> Dataset:
    return dcmread(io.BytesIO(instance(dicom_channel(**policy), sent)))


def refusal(sent: bytes, **policy: Any) -> tuple[Reason, str]:
    verdict = dicom_channel(**policy).examine(sent).verdict
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason, verdict.place


def in_pieces(made: DicomDeidentifier, rebuilt: bytes, piece_bytes: int) -> bytes:
    """The instance that is written when each pass takes it in pieces of that size."""
    state, out, at = b"", b"", 0
    while True:
        data, at = rebuilt[at : at + piece_bytes], at + piece_bytes
        verdict = made.validate(Piece(state, data, is_last=at >= len(rebuilt)).packed())
        assert isinstance(verdict, Accepted), verdict
        answer = pieces.unpack(verdict.payload)
        state, out = answer.state, out + answer.data
        if answer.is_last and not state:
            return out
        at = 0 if answer.is_last else at


def test_numbers_and_uids_are_replaced_and_references_hold() -> None:
    first = crossed(ct(9, PatientID="4711", AccessionNumber="A-1"))
    second = crossed(ct(1, PatientID="4711"))
    assert first.PatientID == second.PatientID == KEYED.pseudonym("4711")
    assert first.AccessionNumber == KEYED.pseudonym("A-1")
    assert first.SOPInstanceUID == first.file_meta.MediaStorageSOPInstanceUID
    assert first.SOPInstanceUID == KEYED.uid("2.25.9")
    referenced = second.ReferencedImageSequence[0]
    assert referenced.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert referenced.ReferencedSOPClassUID == CTImageStorage
    assert second.SOPClassUID == CTImageStorage


def test_what_was_done_stands_in_the_instance() -> None:
    made = crossed(ct(PatientIdentityRemoved="NO", DeidentificationMethod="by hand"))
    assert made.PatientIdentityRemoved == "YES"
    assert made.DeidentificationMethod == "PS3.15 2026c table E.1-1"
    codes = [each.CodeValue for each in made.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113104", "113107", "113108"]
    assert made.LongitudinalTemporalInformationModified == "MODIFIED"
    without = crossed(
        ct(),
        dates="remove",
        dicom={"characteristics": "remove", "descriptors": "clean"},
        places=[{"at": "Manufacturer", "holds": "remove"}],
    )
    codes = [each.CodeValue for each in without.DeidentificationMethodCodeSequence]
    assert codes == ["113104", "113105"]
    assert without.DeidentificationMethod.endswith("changed by channel")
    assert without.LongitudinalTemporalInformationModified == "REMOVED"


@pytest.mark.parametrize(
    ("policy", "study", "time", "born"),
    [
        ({"dates": "month"}, "20261101", "", "19810101"),
        ({"dates": "year"}, "20260101", "", "19810101"),
        ({"dates": "remove", "birth_dates": "remove"}, "", "", ""),
    ],
)
def test_dates_are_cut_as_the_channel_says(
    policy: dict[str, Any], study: str, time: str, born: str
) -> None:
    made = crossed(ct(StudyTime="101112", SeriesDate="20261125"), **policy)
    assert (made.StudyDate, made.StudyTime or "", made.PatientBirthDate) == (study, time, born)
    assert made.SeriesDate  # it may be demanded, and then has a dummy


def test_characteristics_stay_unless_the_channel_removes_them() -> None:
    sent = ct(
        PatientSex="F", PatientAge="093Y", PatientWeight="61.5", EthnicGroup="X", PatientName="A^B"
    )
    kept = crossed(sent, names="blank")
    assert (kept.PatientSex, kept.PatientAge, kept.PatientWeight) == ("F", "090Y", 61.5)
    assert kept.PatientName == "***"
    removed = crossed(sent, dicom={"characteristics": "remove"})
    assert removed.PatientSex == ""
    for name in ("PatientAge", "PatientWeight", "EthnicGroup"):
        assert name not in removed


def test_descriptions_go_or_are_looked_through() -> None:
    clean, dirty = ct(SeriesDescription="AX T1"), ct(SeriesDescription="张三 AX T1")
    assert "SeriesDescription" not in crossed(clean)
    options = {"descriptors": "clean"}
    assert crossed(clean, dicom=options).SeriesDescription == "AX T1"
    assert refusal(dirty, dicom=options) == (PERSONAL_DATA_LEFT, "SeriesDescription: name")
    assert crossed(dirty, dicom=options, leftovers="blank").SeriesDescription == "***"
    flagged = dicom_channel(dicom=options, leftovers="flag").examine(dirty).verdict
    assert isinstance(flagged, Accepted)
    assert flagged.flag is PERSONAL_DATA_LEFT


def test_texts_that_stay_are_looked_through_for_what_stands_behind_them() -> None:
    # The manufacturer's element stands before the name and the number that are found in it.
    assert refusal(ct(Manufacturer="for ZY4711001", PatientID="ZY4711001")) == (
        PERSONAL_DATA_LEFT,
        "Manufacturer: number",
    )
    assert refusal(ct(Manufacturer=IDENTITY))[0] is PERSONAL_DATA_LEFT
    assert refusal(ct(BodyPartExamined="13800138000"))[0] is PERSONAL_DATA_LEFT


def test_a_report_keeps_its_codes_and_measures_and_no_words() -> None:
    code, said, value = Dataset(), Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "G-D705", "SRT", "Volume"
    said.ValueType, said.TextValue = "TEXT", "Mrs Zhang is well"
    value.ValueType, value.ConceptNameCodeSequence = "NUM", Sequence([code])
    observer = Dataset()
    observer.ValueType, observer.PersonName = "PNAME", "Li^Si"
    read = crossed(ct(ContentSequence=Sequence([said, value, observer])))
    text, number, person = read.ContentSequence
    assert text.TextValue == "***"
    assert number.ConceptNameCodeSequence[0].CodeMeaning == "Volume"
    assert person.PersonName == "***"


def test_a_channel_changes_single_elements() -> None:
    made = crossed(
        ct(InstitutionName="市第一医院", PatientAddress="北京市海淀区中关村1号", Manufacturer="A"),
        contacts="city",
        places=[
            {"at": "InstitutionName", "holds": "keep"},
            {"at": "PatientAddress", "holds": "address"},
            {"at": "Manufacturer", "holds": "remove"},
        ],
    )
    assert made.InstitutionName == "市第一医院"
    assert made.PatientAddress == "北京市"
    assert made.Manufacturer == ""


def test_instances_that_may_not_leave_are_refused() -> None:
    assert refusal(ct(BurnedInAnnotation="YES")) == (PERSONAL_DATA_LEFT, "BurnedInAnnotation")
    assert crossed(ct(BurnedInAnnotation="YES"), dicom={"burned_in": "pass"})
    assert refusal(document(1, b"%PDF-1.7 x"))[0] is ATTACHMENT_NOT_ALLOWED
    assert crossed(document(1, b"%PDF-1.7 x"), files="remove").EncapsulatedDocument is None
    assert refusal(ct(PatientID="")) == (PATIENT_UNKNOWN, "0 patients")
    assert crossed(ct(PatientID=""), without_patient="year").StudyDate == "20260101"
    assert refusal(b"no instance")[0] is NOT_WELL_FORMED


def test_too_many_people_are_refused() -> None:
    many = element(
        0x00081115,
        b"SQ",
        b"".join(item(element(0x00080090, b"PN", f"N{n:05}".encode())) for n in range(1001)),
    )
    assert refusal(file(many))[0] is LIMIT_EXCEEDED


@pytest.mark.parametrize("piece_bytes", [7, 100, 1000])
@pytest.mark.parametrize("implicit", [False, True])
def test_pieces_of_any_size_give_the_same(piece_bytes: int, *, implicit: bool) -> None:
    made = dicom_channel()
    rebuilt = instance(made, ct(implicit=implicit, SeriesDescription="x"))
    # What leaves is itself an instance as the ferry writes it.
    assert in_pieces(made, rebuilt, piece_bytes) == instance(made, rebuilt)


def test_a_worker_takes_no_payload_that_is_no_piece() -> None:
    assert isinstance(dicom_channel().validate(b""), Rejected)
    assert isinstance(dicom_channel().validate(b"\0\xff\xff\xff\xffabc"), Rejected)


def test_the_inner_looks_through_texts_without_a_key() -> None:
    content = ContentPolicy.model_validate(DICOM)
    validator = build_spec(ContentSpec(content, deidentified=True))

    def judged(sent: bytes) -> Accepted | Rejected:
        return validator.validate(Piece(b"", sent, is_last=True).packed())

    assert isinstance(judged(ct()), Accepted)
    assert judged(ct(StudyDescription=f"of {IDENTITY}")) == Rejected(
        PERSONAL_DATA_LEFT, "StudyDescription: identity number"
    )
