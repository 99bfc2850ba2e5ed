"""Any bytes, in any pieces: a refusal, or an instance that is a fixed point of rebuilding."""

from __future__ import annotations

from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from tests.simulator.dicom_files import ct, delimiter, element, file, item, written
from validators.dicom.syntaxes import NAMES
from validators.dicom.validator import DicomValidator, judge_whole
from validators.policy import DicomPolicy
from validators.verdict import Accepted

STRICT = DicomValidator(DicomPolicy(sop_classes=("CTImageStorage",)))
WIDE = DicomValidator(
    DicomPolicy(
        sop_classes="any",
        transfer_syntaxes=tuple(NAMES),
        unknown_elements="allow",
        private_creators="any",
        header="lax",
        values="any",
    )
)


@lru_cache(maxsize=1)
def instances() -> list[bytes]:
    return [ct(), ct(implicit=True), ct(NumberOfFrames=2), _compressed(), _nested()]


def _compressed() -> bytes:
    import io

    from pydicom import dcmread

    made = dcmread(io.BytesIO(ct()))
    made.file_meta.TransferSyntaxUID = RLELossless
    made.PixelData = encapsulate([b"\1\0\0\0\x40" + bytes(59)])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return written(made)


def _nested() -> bytes:
    name = element(0x00100010, b"PN", b"A^B ")
    inner = element(0x00081115, b"SQ", item(name) + item(b""))
    undefined = item(inner, 0xFFFFFFFF) + delimiter(0xFFFEE00D) + delimiter(0xFFFEE0DD)
    private = element(0x00290010, b"LO", b"SITE") + element(0x00291001, b"UN", item(b""))
    return file(element(0x00081140, b"SQ", undefined, 0xFFFFFFFF), private)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(instances())))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(min(120, len(data) - 1), len(data) - 1))
        match draw(st.sampled_from(["flip", "cut", "put", "end"])):
            case "flip":
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 12))]
            case "put":
                data[at:at] = draw(st.binary(min_size=1, max_size=12))
            case _:
                del data[max(at, 121) :]
    return bytes(data)


@settings(deadline=None, max_examples=150)
@given(damaged(), st.integers(40, 700))
def test_whatever_is_damaged_is_refused_or_a_fixed_point(data: bytes, piece_bytes: int) -> None:
    for validator in (STRICT, WIDE):
        verdict = judge_whole(validator, data)
        assert judge_whole(validator, data, piece_bytes) == verdict
        if isinstance(verdict, Accepted):
            assert judge_whole(validator, verdict.payload, piece_bytes) == verdict


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_good_head_give_a_verdict(data: bytes) -> None:
    for validator in (STRICT, WIDE):
        verdict = judge_whole(validator, file(data))
        if isinstance(verdict, Accepted):
            assert judge_whole(validator, verdict.payload) == verdict
