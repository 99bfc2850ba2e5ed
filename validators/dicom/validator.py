"""One DICOM channel: its policy, applied to each piece of each instance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import MESSAGE_EMPTY, NOT_WELL_FORMED, Refused
from validators import pieces
from validators.dicom import state as walk_state
from validators.dicom.dictionary import sop_class_name
from validators.dicom.walker import Walker
from validators.dicom.whitelist import Whitelist
from validators.pieces import Piece
from validators.verdict import Accepted, Rejected, Verdict

if TYPE_CHECKING:
    from validators.dicom.treatment import Treatment
    from validators.policy import DicomPolicy

CONTENT_TYPE: Final = "application/dicom"
PIECE_BYTES: Final = 4 * 1024 * 1024
_NOT_WHOLE: Final = "DICOM"


class DicomValidator:
    """A channel's policy, prepared once."""

    def __init__(self, policy: DicomPolicy, treatment: Treatment | None = None) -> None:
        self._policy = policy
        self._whitelist = Whitelist(policy)
        self._treatment = treatment

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge one packed piece (validators.pieces); what is accepted is a packed answer.

        The verdict on the last piece has the SOP class as message type and the SOP Instance UID as
        control id.
        """
        try:
            piece = pieces.unpack(payload)
            state = walk_state.unpack(piece.state)
        except ValueError:
            return Rejected(NOT_WELL_FORMED, "piece")
        if not (piece.data or piece.state):
            return Rejected(MESSAGE_EMPTY, "")
        try:
            walker = Walker(self._policy, self._whitelist, state, self._treatment)
            data = walker.feed(piece.data, is_last=piece.is_last)
        except Refused as refused:
            return Rejected(refused.reason, refused.where)
        if piece.is_last:
            answer = Piece(b"", data, is_last=True).packed()
            return Accepted(answer, sop_class_name(state.sop_class), state.sop_instance)
        answer = Piece(walk_state.pack(state), data, is_last=False).packed()
        return Accepted(answer, _NOT_WHOLE, None)


def judge_whole(
    validator: DicomValidator, instance: bytes, piece_bytes: int = PIECE_BYTES
) -> Verdict:
    """The verdict on an instance that is in memory, taken in pieces of that size."""
    state, rebuilt, at = b"", bytearray(), 0
    while True:
        data, at = instance[at : at + piece_bytes], at + piece_bytes
        is_last = at >= len(instance)
        verdict = validator.validate(Piece(state, data, is_last).packed())
        if isinstance(verdict, Rejected):
            return verdict
        answer = pieces.unpack(verdict.payload)
        state = answer.state
        rebuilt += answer.data
        if is_last:
            return replace(verdict, payload=bytes(rebuilt))
