"""DICOM instances written for tests: by pydicom, and byte by byte where they must be wrong."""

from __future__ import annotations

import io
import struct
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from validators.dicom.validator import DicomValidator, judge_whole
from validators.policy import DicomPolicy
from validators.verdict import Accepted

SYNTAX = ExplicitVRLittleEndian
META = (
    struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2)
    + b"\0\1"
    + b"".join(
        struct.pack("<HH2sH", 2, element, b"UI", len(uid)) + uid
        for element, uid in (
            (0x0002, b"1.2.840.10008.5.1.4.1.1.2\0"),
            (0x0003, b"2.25.1\0\0"),
            (0x0010, b"1.2.840.10008.1.2.1\0"),
        )
    )
)


def ct(
    number: int = 1, rows: int = 16, *, implicit: bool = False, pixels: bytes = b"", **values: Any
) -> bytes:
    """A CT slice of a patient called 张三, with a referenced image, and further `values`."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    made = Dataset()
    made.file_meta = meta
    made.SpecificCharacterSet = "GB18030"
    made.SOPClassUID = meta.MediaStorageSOPClassUID = CTImageStorage
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
    made.StudyDate, made.Modality = "20261124", "CT"
    made.PatientName, made.PatientID, made.PatientBirthDate = "张^三", "4711", "19800102"
    made.StudyInstanceUID, made.SeriesInstanceUID = "2.25.100", "2.25.101"
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = CTImageStorage, "2.25.9"
    made.ReferencedImageSequence = Sequence([referenced])
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows = made.Columns = rows
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    for keyword, value in values.items():
        setattr(made, keyword, value)
    frames = int(values.get("NumberOfFrames", 1))
    noise = struct.pack("<H", number & 0xFFFF) * (rows * rows * frames)
    made.add_new(0x7FE00010, "OW", pixels or noise)
    return written(made)


def document(number: int, content: bytes) -> bytes:
    """An instance that holds a document of any size, as the ferry writes it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = Dataset()
    made.file_meta = meta
    made.SOPClassUID = meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
    made.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    verdict = judge_whole(DicomValidator(DicomPolicy(sop_classes="any")), written(made))
    assert isinstance(verdict, Accepted)
    return verdict.payload


def written(made: Dataset) -> bytes:
    file = io.BytesIO()
    dcmwrite(file, made, enforce_file_format=True)
    return file.getvalue()


def with_preamble(instance: bytes, preamble: bytes) -> bytes:
    return preamble.ljust(128, b"\0") + instance[128:]


def element(tag: int, code: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit little endian, with any length that is asked for."""
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, code)
    if code in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"UC", b"UR"}:
        return head + struct.pack("<HI", 0, size) + value
    return head + struct.pack("<H", size & 0xFFFF) + value


def item(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value) if length is None else length) + value


def delimiter(tag: int) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, 0)


def file(*elements: bytes, preamble: bytes = bytes(128), meta: bytes = META) -> bytes:
    """A file in explicit little endian whose data set has its two UIDs and these elements."""
    length = element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    named = element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0") + element(
        0x00080018, b"UI", b"2.25.1\0\0"
    )
    return preamble + b"DICM" + length + meta + named + b"".join(elements)
