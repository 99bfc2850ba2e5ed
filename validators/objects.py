"""Large objects: judged by how they begin, since nobody holds the whole of one.

What an object is, is told by its first bytes alone: a declared type or a name proves nothing. Its
inside is not parsed, so a channel for objects is for a receiver that can bear whatever such a file
may hold (docs/threat-model.md).

DICOM files (PS3.10, 7.1) begin with a preamble of 128 bytes that DICOM itself never reads, and in
which another kind of file can hide: it crosses as zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format import reasons
from validators.verdict import Accepted, Rejected, Verdict

if TYPE_CHECKING:
    from validators.policy import ObjectPolicy

HEAD_BYTES: Final = 4096
"""As much of an object's beginning as the validator asks for; a shorter object is all head."""

_DICOM: Final = "application/dicom"
_PREAMBLE_BYTES: Final = 128
_SIGNATURES: Final[dict[str, tuple[tuple[int, bytes], ...]]] = {
    "application/octet-stream": ((0, b""),),
    _DICOM: ((_PREAMBLE_BYTES, b"DICM"),),
    "application/pdf": ((0, b"%PDF-"),),
    "application/zip": ((0, b"PK\x03\x04"),),
    "application/gzip": ((0, b"\x1f\x8b\x08"),),
    "image/jpeg": ((0, b"\xff\xd8\xff"),),
    "image/png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "image/tiff": ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),
    "video/mp4": ((4, b"ftyp"),),
}
"""By type: where one of which bytes stand. TIFF has two byte orders, and BigTIFF two more."""


class ObjectValidator:
    """Judges the beginning of an object, its first HEAD_BYTES or all of a shorter one."""

    def __init__(self, policy: ObjectPolicy) -> None:
        self._type = policy.type

    @property
    def content_type(self) -> str:
        """The one type that the channel carries."""
        return self._type

    def validate(self, payload: bytes) -> Verdict:
        """Judge the beginning; what is accepted is the beginning as it may cross."""
        signatures = _SIGNATURES[self._type]
        if not any(payload.startswith(bytes_, at) for at, bytes_ in signatures):
            return Rejected(reasons.NOT_WELL_FORMED, f"not {self._type}")
        if self._type == _DICOM:
            payload = bytes(_PREAMBLE_BYTES) + payload[_PREAMBLE_BYTES:]
        return Accepted(payload, self._type, None)
