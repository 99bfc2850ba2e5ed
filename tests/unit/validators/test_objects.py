"""Objects are told by their first bytes, and DICOM's preamble carries nothing across."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry_format.reasons import NOT_WELL_FORMED
from validators.objects import HEAD_BYTES, ObjectValidator
from validators.policy import ObjectPolicy
from validators.verdict import Accepted, Rejected

BEGINNINGS = {
    "application/dicom": bytes(128) + b"DICM",
    "application/pdf": b"%PDF-1.7\n",
    "application/zip": b"PK\x03\x04",
    "application/gzip": b"\x1f\x8b\x08",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/tiff": b"MM\0*",
    "video/mp4": b"\0\0\0\x18ftypisom",
}


@pytest.mark.parametrize("declared", BEGINNINGS)
@pytest.mark.parametrize("actual", BEGINNINGS)
def test_an_object_is_of_the_type_that_its_beginning_says(declared: str, actual: str) -> None:
    head = BEGINNINGS[actual].ljust(200, b"x")
    verdict = ObjectValidator(ObjectPolicy(type=declared)).validate(head)
    if declared == actual:
        assert verdict == Accepted(head, declared, None)
    else:
        assert verdict == Rejected(NOT_WELL_FORMED, f"not {declared}")


def test_nothing_hides_in_the_preamble() -> None:
    hidden = b"MZ executable".ljust(128, b"\x90") + b"DICM" + b"rest"
    verdict = ObjectValidator(ObjectPolicy(type="application/dicom")).validate(hidden)
    assert isinstance(verdict, Accepted)
    assert verdict.payload == bytes(128) + b"DICMrest"


@given(st.binary(min_size=1, max_size=300), st.sampled_from([*BEGINNINGS]))
def test_what_is_accepted_keeps_its_length_and_is_accepted_again(head: bytes, kind: str) -> None:
    validator = ObjectValidator(ObjectPolicy(type=kind))
    for beginning in (head, BEGINNINGS[kind] + head):
        verdict = validator.validate(beginning)
        if isinstance(verdict, Accepted):
            assert len(verdict.payload) == len(beginning)
            assert validator.validate(verdict.payload) == verdict


def test_anything_may_be_bytes() -> None:
    anything = ObjectValidator(ObjectPolicy(type="application/octet-stream"))
    assert anything.validate(b"\0") == Accepted(b"\0", "application/octet-stream", None)
    assert HEAD_BYTES >= 132
