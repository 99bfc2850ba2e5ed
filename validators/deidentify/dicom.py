"""DICOM instances, de-identified by PS3.15's annex E in two passes, piece by piece.

What the first pass learns of the patient (dicom_patient) stands in its last answer's state, with
which the second begins. Each piece that the second writes is judged at once by the channel's own
rules, and its texts are looked through. Pixels pass by; nothing is held but one value at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgpack

from ferry_format.reasons import NOT_WELL_FORMED, PERSONAL_DATA_LEFT, Refused
from validators import pieces
from validators.deidentify.deidentifier import Examination
from validators.deidentify.dicom_patient import Patient, Reading
from validators.deidentify.dicom_table import Table
from validators.deidentify.dicom_treatment import LookingThrough, Rewriting
from validators.deidentify.methods import subject_of
from validators.dicom import dictionary
from validators.dicom import state as walk_state
from validators.dicom.dictionary import sop_class_name
from validators.dicom.validator import CONTENT_TYPE, DicomValidator, judge_whole
from validators.dicom.walker import Walker
from validators.dicom.whitelist import Whitelist
from validators.pieces import Piece
from validators.policy.deidentify import DicomProfilePolicy
from validators.verdict import Accepted, Rejected, Verdict

if TYPE_CHECKING:
    from validators.deidentify.deidentifier import Change
    from validators.deidentify.keyed import Keyed
    from validators.deidentify.methods import Methods
    from validators.policy import DicomPolicy
    from validators.policy.deidentify import DeidentificationPolicy

PIECE_BYTES: Final = 1024 * 1024
_PIXELS_GROUP: Final = 0x7FE0
"""Behind the elements of this group nothing of a patient may stand."""


class DicomDeidentifier:
    """Judges like a validator of pieces (validators.pieces), and passes on what may leave.

    It takes instances that the channel's validator has rebuilt.
    """

    content_type = CONTENT_TYPE

    def __init__(
        self, policy: DeidentificationPolicy, content: DicomPolicy, methods: Methods, keyed: Keyed
    ) -> None:
        self._policy = policy
        self._methods = methods
        self._keyed = keyed
        self._table = Table(policy)
        self._patient_tag = dictionary.tag_of(policy.patient or "PatientID")
        self._judging = content
        # Private elements have no row, and file meta information is written with the new UID.
        self._reading = content.model_copy(
            update={
                "header": "lax",
                "values": "any",
                "elements": "any",
                "unknown_elements": "strip",
                "private_creators": (),
                "private_elements": "strip",
            }
        )
        self._whitelists = {id(one): Whitelist(one) for one in (self._judging, self._reading)}

    def validate(self, payload: bytes) -> Verdict:
        """Take one packed piece; what is accepted is a packed answer."""
        try:
            piece = pieces.unpack(payload)
        except ValueError:
            return Rejected(NOT_WELL_FORMED, "piece")
        return self._take(piece, [])

    def examine(self, instance: bytes) -> Examination:
        """The verdict on an instance in memory, and what was done to it on the way."""
        verdict = judge_whole(DicomValidator(self._judging), instance)
        changes: list[Change] = []
        if isinstance(verdict, Accepted):
            verdict = self._passed(verdict.payload, changes)
        return Examination(tuple(changes), verdict)

    def _passed(self, instance: bytes, changes: list[Change]) -> Verdict:
        state, written, at = b"", bytearray(), 0
        while True:
            data, at = instance[at : at + PIECE_BYTES], at + PIECE_BYTES
            verdict = self._take(Piece(state, data, is_last=at >= len(instance)), changes)
            if isinstance(verdict, Rejected):
                return verdict
            answer = pieces.unpack(verdict.payload)
            state = answer.state
            written += answer.data
            if answer.is_last and not state:
                return replace(verdict, payload=bytes(written))
            at = 0 if answer.is_last else at

    def _take(self, piece: Piece, changes: list[Change]) -> Verdict:
        is_second, patient, *rest = msgpack.unpackb(piece.state) if piece.state else (False, [])
        try:
            if is_second:
                return self._write(piece, Patient(*patient), rest, changes)
            return self._read(piece, Patient(*patient), *rest)
        except Refused as refused:
            return Rejected(refused.reason, refused.where)

    def _read(self, piece: Piece, patient: Patient, walk: bytes = b"") -> Verdict:
        state = walk_state.unpack(walk)
        reading = Reading(patient, self._patient_tag)
        self._walker(self._reading, state, reading).feed(piece.data, is_last=piece.is_last)
        if piece.is_last or _has_reached_pixels(state):
            self._check_pixels(patient)
            return _answer([True, patient.packed(), b"", b"", []], b"", is_last=True)
        return _answer([False, patient.packed(), walk_state.pack(state)], b"", is_last=False)

    def _check_pixels(self, patient: Patient) -> None:
        profile = self._policy.dicom or DicomProfilePolicy()
        if patient.is_burned_in and profile.burned_in == "refuse":
            raise Refused(PERSONAL_DATA_LEFT, "BurnedInAnnotation")

    def _write(
        self, piece: Piece, patient: Patient, stands: list[Any], changes: list[Change]
    ) -> Verdict:
        writing, judging, flagged = stands
        write, judge = walk_state.unpack(writing), walk_state.unpack(judging)
        traces = patient.traces()
        rewriting = self._rewriting(patient)
        try:
            data = self._walker(self._reading, write, rewriting).feed(
                piece.data, is_last=piece.is_last
            )
        finally:
            changes += rewriting.changes
        found = rewriting.flagged | set(flagged)
        looking = LookingThrough(traces.whole(), found)
        data = self._walker(self._judging, judge, looking).feed(data, is_last=piece.is_last)
        if not piece.is_last:
            states = [walk_state.pack(write), walk_state.pack(judge), sorted(found)]
            return _answer([True, patient.packed(), *states], data, is_last=False)
        return Accepted(
            Piece(b"", data, is_last=True).packed(),
            sop_class_name(judge.sop_class),
            judge.sop_instance,
            flag=PERSONAL_DATA_LEFT if found else None,
        )

    def _rewriting(self, patient: Patient) -> Rewriting:
        subject = subject_of(
            self._policy,
            self._keyed,
            patient.patients,
            patient.moment,
            has_dates=patient.has_dates,
        )
        return Rewriting(
            self._policy, self._table, self._methods, self._keyed, subject, patient.traces()
        )

    def _walker(
        self,
        policy: DicomPolicy,
        state: walk_state.WalkState,
        treatment: Reading | Rewriting | LookingThrough,
    ) -> Walker:
        return Walker(policy, self._whitelists[id(policy)], state, treatment)


def _has_reached_pixels(state: walk_state.WalkState) -> bool:
    return bool(state.levels) and state.levels[0].last_tag >> 16 >= _PIXELS_GROUP


def _answer(state: list[Any], data: bytes, *, is_last: bool) -> Accepted:
    packed: bytes = msgpack.packb(state)
    return Accepted(Piece(packed, data, is_last).packed(), CONTENT_TYPE, None)
