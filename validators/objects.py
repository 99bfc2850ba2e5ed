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
from validators.file_types import starts_as
from validators.verdict import Accepted, Rejected, Verdict

if TYPE_CHECKING:
    from validators.policy import ObjectPolicy

HEAD_BYTES: Final = 4096
"""As much of an object's beginning as the validator asks for; a shorter object is all head."""

_DICOM: Final = "application/dicom"
_PREAMBLE_BYTES: Final = 128


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
        if not starts_as(self._type, payload):
            return Rejected(reasons.NOT_WELL_FORMED, f"not {self._type}")
        if self._type == _DICOM:
            payload = bytes(_PREAMBLE_BYTES) + payload[_PREAMBLE_BYTES:]
        return Accepted(payload, self._type, None)
