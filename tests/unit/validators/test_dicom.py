"""What a DICOM channel lets cross, how it is rebuilt, and what it refuses."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from ferry_format import reasons
from tests.simulator.dicom_files import (
    META,
    ct,
    delimiter,
    element,
    file,
    item,
    with_preamble,
    written,
)
from validators import pieces
from validators.dicom.validator import DicomValidator, judge_whole
from validators.pieces import Piece
from validators.policy import ContentPolicy
from validators.verdict import Accepted, Rejected

UNDEFINED = 0xFFFFFFFF
NAME = element(0x00100010, b"PN", b"A^B ")
SEQUENCE_END = delimiter(0xFFFEE0DD)


def judged(instance: bytes, piece_bytes: int = 1 << 22, **policy: Any) -> Accepted | Rejected:
    content = ContentPolicy.model_validate({"dicom": {"sop_classes": ["CTImageStorage"]} | policy})
    assert content.dicom is not None
    return judge_whole(DicomValidator(content.dicom), instance, piece_bytes)


def rebuilt(instance: bytes, **policy: Any) -> bytes:
    verdict = judged(instance, **policy)
    assert isinstance(verdict, Accepted), verdict
    assert judged(verdict.payload, **policy) == verdict  # a fixed point
    return verdict.payload


def refusal(instance: bytes, **policy: Any) -> tuple[str, str]:
    verdict = judged(instance, **policy)
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code, verdict.place


def read(instance: bytes) -> Dataset:
    return dcmread(io.BytesIO(instance))


@pytest.mark.parametrize("implicit", [False, True])
def test_an_instance_means_the_same_once_rebuilt(*, implicit: bool) -> None:
    made = ct(7, implicit=implicit)
    verdict = judged(made)
    assert isinstance(verdict, Accepted)
    assert (verdict.message_type, verdict.control_id) == ("CTImageStorage", "2.25.7")
    assert read(rebuilt(made)) == read(made)


@pytest.mark.parametrize("piece_bytes", [1, 3, 64, 1000])
def test_pieces_of_any_size_give_the_same(piece_bytes: int) -> None:
    for instance in (ct(), ct(implicit=True), file(NAME, b"\0" * 7), file(NAME)):
        assert judged(instance, piece_bytes) == judged(instance)


def test_a_worker_takes_no_payload_that_is_no_piece() -> None:
    validator = DicomValidator(
        ContentPolicy.model_validate({"dicom": {"sop_classes": "any"}}).dicom
    )
    assert isinstance(validator.validate(b""), Rejected)
    assert isinstance(validator.validate(b"\0\xff\xff\xff\xffabc"), Rejected)
    assert isinstance(
        validator.validate(Piece(b"no state", b"a", is_last=False).packed()), Rejected
    )
    assert validator.validate(Piece(b"", b"", is_last=True).packed()) == Rejected(
        reasons.MESSAGE_EMPTY, ""
    )
    with pytest.raises(ValueError, match="not a piece"):
        pieces.unpack(b"\0\0\0\0\5abcd")


# --- What is hidden does not cross


HIDDEN = b"<?php hidden ?>."


def test_nothing_hidden_crosses() -> None:
    sequence = element(0x00081115, b"SQ", item(NAME + element(0x00290010, b"LO", HIDDEN)), None)
    elements = [
        sequence,
        element(0x00090010, b"LO", HIDDEN),
        element(0x00091001, b"UN", HIDDEN),
        element(0x00100000, b"UL", HIDDEN[:4]),
        NAME,
        element(0x00100FFE, b"LO", HIDDEN),  # no element of the standard
        element(0x001100FE, b"LO", HIDDEN),  # private, reserved by nobody
        element(0xFFFCFFFC, b"OB", HIDDEN),
    ]
    meta = META + element(0x00020016, b"AE", HIDDEN) + element(0x00020102, b"OB", HIDDEN)
    source = file(*elements, preamble=HIDDEN.ljust(128, b"."), meta=meta)
    assert source.count(HIDDEN) == 9
    crossed = rebuilt(source)
    assert HIDDEN[:4] not in crossed
    assert crossed.count(NAME) == 2


def test_reserved_bytes_and_padding_are_written_anew() -> None:
    value = element(0x00420011, b"OB", b"%PDF")
    odd = value[:6] + b"\xbe\xef" + value[8:]
    crossed = rebuilt(file(element(0x00100010, b"PN", b"A^B     \0\0\0\0"), odd))
    assert crossed.endswith(NAME + value)


def test_private_elements_cross_where_their_creator_is_named() -> None:
    site = element(0x00290010, b"LO", b"SITE") + element(0x00291001, b"LO", b"yes ")
    other = element(0x00290011, b"LO", b"OTHER ") + element(0x00291101, b"LO", b"no")
    both = site[:12] + other[:14] + site[12:] + other[14:]
    assert rebuilt(file(both), private_creators=["SITE"]).endswith(site)
    assert rebuilt(file(both), private_creators="any").endswith(both)
    assert refusal(file(both), private_creators=["SITE"], private_elements="refuse") == (
        "element_not_allowed",
        "(0029,0011)",
    )


def test_elements_cross_where_they_are_named() -> None:
    made = ct()
    crossed = read(rebuilt(made, elements=["PatientID", "StudyDate", "StudyInstanceUID"]))
    assert [one.keyword for one in crossed] == [
        *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyDate"),
        *("PatientID", "StudyInstanceUID"),
    ]
    assert refusal(made, elements=["PatientID"], unknown_elements="refuse") == (
        "element_not_allowed",
        "StudyDate",
    )


def test_unknown_elements_and_group_lengths_go_by_policy() -> None:
    unknown = element(0x00100FFE, b"LO", b"new ")
    length = element(0x00100000, b"UL", b"\1\0\0\0")
    assert rebuilt(file(unknown), unknown_elements="allow").endswith(unknown)
    assert refusal(file(unknown), unknown_elements="refuse")[1] == "(0010,0FFE)"
    assert refusal(file(length + NAME), group_lengths="refuse")[1] == "(0010,0000)"


# --- Whitelists


def test_only_named_classes_and_syntaxes_cross() -> None:
    assert refusal(ct(), sop_classes=["MRImageStorage"]) == (
        "message_type_not_allowed",
        "SOPClassUID",
    )
    assert refusal(ct(), transfer_syntaxes=["JPEG2000"]) == (
        "transfer_syntax_not_allowed",
        "TransferSyntaxUID",
    )
    directory = ct().replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.1.3.10\0\0\0\0\0\0")
    assert refusal(directory, sop_classes="any")[0] == "message_type_not_allowed"


@pytest.mark.parametrize(
    ("policy", "hint"),
    [
        ({"sop_classes": ["CTImage"]}, "no SOP class"),
        ({"sop_classes": "any", "elements": ["PatientNames"]}, "no element"),
        ({"sop_classes": "any", "elements": ["PatientName"], "unknown_elements": "allow"}, "any"),
        ({"sop_classes": "any", "transfer_syntaxes": ["DeflatedExplicitVRLittleEndian"]}, "Input"),
    ],
)
def test_a_policy_that_names_what_is_not_there_is_refused(
    policy: dict[str, Any], hint: str
) -> None:
    with pytest.raises(ValueError, match=hint):
        ContentPolicy.model_validate({"dicom": policy})


def test_the_file_meta_information_must_tell_of_the_data_set() -> None:
    other = ct(1).replace(b"2.25.1", b"2.25.2", 1)
    assert refusal(other) == ("not_well_formed", "MediaStorageSOPInstanceUID")
    assert read(rebuilt(other, header="lax")).file_meta.MediaStorageSOPInstanceUID == "2.25.1"
    bare = file()[: -len(element(0x00080018, b"UI", b"2.25.1\0\0"))] + NAME
    assert refusal(bare) == ("field_missing", "SOPInstanceUID")
    assert read(rebuilt(bare, header="lax")).file_meta.MediaStorageSOPInstanceUID == "2.25.1"


# --- Structure


def test_nested_sequences_of_either_length_are_the_same() -> None:
    defined = element(0x00081115, b"SQ", item(NAME) + item(b""))
    undefined = element(
        0x00081115,
        b"SQ",
        item(NAME, UNDEFINED)
        + delimiter(0xFFFEE00D)
        + item(b"", UNDEFINED)
        + delimiter(0xFFFEE00D)
        + SEQUENCE_END,
        UNDEFINED,
    )
    assert rebuilt(file(defined)) == rebuilt(file(undefined))


@pytest.mark.parametrize(
    "elements",
    [
        [NAME, NAME],
        [NAME, element(0x00080020, b"DA", b"20261124")],
        [element(0x00100010, b"LO", b"A^B ")],
        [element(0x00100010, b"ZZ", b"A^B ")],
        [element(0x00100010, b"PN", b"A^B")],
        [element(0x00100010, b"PN", b"A^B ", 400)],
        [element(0x00081115, b"SQ", item(NAME), 1 << 20)],
        [element(0x00081115, b"SQ", item(NAME, 400))],
        [element(0x00081115, b"SQ", item(NAME, 8))],
        [element(0x00081115, b"SQ", item(NAME), UNDEFINED)],
        [element(0x00081115, b"SQ", item(NAME, UNDEFINED))],
        [element(0x00081115, b"SQ", NAME)],
        [element(0x00081115, b"SQ", item(NAME) + SEQUENCE_END)],
        [delimiter(0xFFFEE00D)],
        [SEQUENCE_END],
        [element(0x00020010, b"UI", b"1.2 ")],
        [element(0x00010010, b"LO", b"AB")],
        [element(0x00420011, b"OB", b"%PDF", UNDEFINED)],
        [element(0x00280010, b"US", b"\0\0\0")],
        [element(0x00420011, b"OB", b"%PDF", 0xFFFFFFF0)],
        [NAME, b"\0"],
        [NAME, b"PK\3\4"],
        [NAME, b"PK\3\4 and so on, behind the end of the data set"],
    ],
)
def test_what_is_no_lawful_structure_is_refused(elements: list[bytes]) -> None:
    assert refusal(file(*elements))[0] == "not_well_formed"


def test_limits_hold() -> None:
    deep = NAME
    for _ in range(17):
        deep = element(0x00081115, b"SQ", item(deep))
    assert refusal(file(deep))[0] == "limit_exceeded"
    assert refusal(file(*(element(0x00091000 + at, b"LO", b"") for at in range(11))),
                   elements_max=10)[0] == "limit_exceeded"  # fmt: skip
    assert refusal(ct(), bytes_max=1000)[0] == "limit_exceeded"
    text = element(0x00400A160 & 0xFFFFFFFF, b"UT", b"a" * 2048)
    assert refusal(file(text), value_bytes_max=1024)[0] == "limit_exceeded"


def test_an_unknowing_systems_sequence_is_walked() -> None:
    implicit = b"\x08\0\x50\x11\x04\0\0\0" + b"1.2\0"
    sequence = element(0x00081115, b"UN", item(implicit))
    assert read(rebuilt(file(sequence))).ReferencedSeriesSequence[0].ReferencedSOPClassUID == "1.2"
    broken = element(0x00081115, b"UN", item(implicit[:-2], 12))
    assert refusal(file(broken))[0] == "not_well_formed"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        bytes(131),
        bytes(128) + b"DICM",
        bytes(128) + b"DCIM" + ct()[132:],
        ct()[:200],
        ct()[:132] + element(0x00020000, b"UL", b"\1\0\0\0") + ct()[144:],
        ct()[:132] + ct()[144:],
    ],
)
def test_a_head_that_is_none_is_refused(head: bytes) -> None:
    assert refusal(head)[0] in {"not_well_formed", "field_missing", "message_empty"}


# --- Values


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (element(0x00080020, b"DA", b"tomorrow"), "not_well_formed"),
        (element(0x00080060, b"CS", b"ct"), "not_well_formed"),
        (element(0x00200013, b"IS", b"1e4 "), "not_well_formed"),
        (element(0x0020000D, b"UI", b"1..2"), "not_well_formed"),
        (element(0x00100020, b"LO", b"a" * 66), "limit_exceeded"),
        (element(0x00100010, b"PN", b"a" * 66), "limit_exceeded"),
    ],
)
def test_values_have_the_form_of_their_representation(value: bytes, code: str) -> None:
    assert refusal(file(value))[0] == code
    rebuilt(file(value), values="any")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (element(0x00100010, b"PN", b"A\r\nB"), "control_character"),
        (element(0x00100020, b"LO", b"A\0B "), "control_character"),
        (element(0x00100010, b"PN", "张三".encode("gbk")), "not_decodable"),
        (element(0x00100010, b"PN", b"\x1b$BAAA"), "not_decodable"),
        (element(0x00080060, b"CS", b"\xff\xfe"), "not_decodable"),
    ],
)
def test_characters_are_judged_whatever_the_policy(value: bytes, code: str) -> None:
    assert refusal(file(value), values="any")[0] == code


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (b"GB18030", "张^三".encode("gb18030")),
        (b"GBK ", "張^三".encode("gbk")),
        (b"ISO_IR 192", "张^三".encode()),
        (b"\\ISO 2022 IR 58", b"Zhang^San=\x1b$)A\xd5\xc5^\x1b$)A\xc8\xfd"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
    ],
)  # fmt: skip
def test_chinese_and_japanese_names_cross_as_they_are(terms: bytes, text: bytes) -> None:
    even = text + b" " * (len(text) % 2)
    declared = element(0x00080005, b"CS", terms + b" " * (len(terms) % 2))
    whole = file()
    source = whole.replace(b"\x08\0\x16\0", declared + b"\x08\0\x16\0", 1)
    name = element(0x00100010, b"PN", even)
    assert rebuilt(source + name).endswith(name)


def test_character_sets_are_known_ones_and_have_a_default() -> None:
    name = element(0x00100010, b"PN", "张三".encode("gbk"))
    assert rebuilt(file(name), default_charset="GB18030").endswith(name)
    strange = file().replace(
        b"\x08\0\x16\0", element(0x00080005, b"CS", b"EBCDIC") + b"\x08\0\x16\0", 1
    )
    assert refusal(strange)[0] == "charset_not_allowed"


# --- Pixels


def test_native_pixels_have_exactly_their_size() -> None:
    assert refusal(ct(pixels=b"\1" * 510)) == ("not_well_formed", "PixelData")
    assert refusal(ct(pixels=b"\1" * 514)) == ("not_well_formed", "PixelData")
    padded = read(rebuilt(ct(pixels=b"\1" * 512 + bytes(2))))
    assert padded.PixelData == b"\1" * 512
    made = read(ct())
    del made.Rows
    assert refusal(written(made)) == ("field_missing", "Rows")
    assert refusal(ct(NumberOfFrames=0)) == ("not_well_formed", "NumberOfFrames")
    assert refusal(ct(NumberOfFrames=2, pixels=bytes(512)))[1] == "PixelData"


def compressed(value: bytes, **values: Any) -> bytes:
    made = read(ct(**values))
    made.file_meta.TransferSyntaxUID = RLELossless
    made.PixelData = value
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return written(made)


FRAME = b"\1\0\0\0\x40" + bytes(59)


def test_compressed_pixels_are_walked_fragment_by_fragment() -> None:
    good = compressed(encapsulate([FRAME, FRAME]), NumberOfFrames=2, pixels=bytes(1024))
    assert read(rebuilt(good)) == read(good)
    bare = compressed(encapsulate([FRAME], has_bot=False))
    assert read(rebuilt(bare)) == read(bare)


@pytest.mark.parametrize(
    ("value", "frames"),
    [
        (encapsulate([FRAME]), 2),
        (encapsulate([b"MZ" + FRAME]), 1),
        (item(b"\4\0\0\0") + item(FRAME), 1),
        (item(b"\0\0\0") + item(FRAME), 1),
        (item(b""), 1),
        (b"", 1),
        (item(b"") + item(FRAME, 1 << 20), 1),
        (item(b"") + item(FRAME, UNDEFINED), 1),
        (item(b"") + NAME, 1),
    ],
)
def test_compressed_pixels_that_hide_something_are_refused(value: bytes, frames: int) -> None:
    made = compressed(encapsulate([FRAME]), NumberOfFrames=frames, pixels=bytes(512 * frames))
    begins = made.index(encapsulate([FRAME]))
    assert refusal(made[:begins] + value + SEQUENCE_END)[0] == "not_well_formed"


def test_an_icon_has_pixels_of_its_own_size() -> None:
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME2"
    icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 8, 8, 7, 0
    icon.add_new(0x7FE00010, "OB", b"\1\2\3\4")
    good = ct(IconImageSequence=Sequence([icon]))
    assert read(rebuilt(good)) == read(good)
    icon.PixelData = b"\1\2\3\4\5\6"
    assert refusal(ct(IconImageSequence=Sequence([icon]))) == ("not_well_formed", "PixelData")


def test_a_preamble_that_is_a_program_crosses_as_zeros() -> None:
    assert rebuilt(with_preamble(ct(), b"MZ")) == rebuilt(ct())
