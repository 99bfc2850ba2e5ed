"""The first pass through an instance: what the second must know before its first element.

The patient's number stands behind dates that move by it, names behind texts that may hold them.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import Any, Final

from ferry_format.reasons import LIMIT_EXCEEDED, Refused
from validators.deidentify.dicom_table import NUMBERS
from validators.deidentify.leftovers import Traces
from validators.dicom import dictionary
from validators.dicom.treatment import Fate, Untreated, Value, Written
from validators.dicom.values import BULK

_DISTINCT_MAX: Final = 1000
_DAYS: Final = tuple(
    map(dictionary.tag_of, ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"))
)
_BURNED_IN: Final = dictionary.tag_of("BurnedInAnnotation")
_MORE_NUMBERS: Final = frozenset(
    map(
        dictionary.tag_of,
        (
            *("AdmissionID", "MedicalRecordLocator", "OtherPatientIDs", "PatientTelephoneNumbers"),
            *("RequestedProcedureID", "ScheduledProcedureStepID", "ServiceEpisodeID"),
        ),
    )
)


@dataclass(slots=True)
class Patient:
    """What an instance says of its patient and of other people; grows while it is read.

    `moment` is the study's date, or the next best; `numbers` are those by which people are known.
    """

    patients: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    moment: str | None = None
    has_dates: bool = False
    is_burned_in: bool = False

    def packed(self) -> list[Any]:
        """As plain values."""
        return list(astuple(self))

    def traces(self) -> Traces:
        """What of it must stand in no text."""
        people = [
            group.split("^")
            for name in self.names
            for one in name.split("\\")
            for group in one.split("=")
        ]
        return Traces.of(people, [*self.numbers, *self.patients], self.patients)


class Reading(Untreated):
    """A treatment whose output nobody takes."""

    def __init__(self, patient: Patient, patient_tag: int) -> None:
        self._patient = patient
        self._patient_tag = patient_tag

    def fate(self, _tag: int, representation: str) -> Fate:
        """Values that are bulk are passed over."""
        return Fate.LEFT_OUT if representation in BULK else Fate.CROSSES

    def value(self, found: Value) -> Written | None:
        """Remember what matters."""
        tag, text, patient = found.tag, found.text, self._patient
        if text and found.representation in {"DA", "DT"}:
            patient.has_dates = True
            if not found.depth and tag in _DAYS and patient.moment is None:
                patient.moment = text.split("\\")[0]
        elif text and found.representation == "PN":
            _add(patient.names, text)
        elif text and not found.depth and tag == self._patient_tag:
            _add(patient.patients, text)
        elif text and (tag in NUMBERS or tag in _MORE_NUMBERS):
            for number in text.split("\\"):
                _add(patient.numbers, number)
        elif tag == _BURNED_IN:
            patient.is_burned_in = text == "YES"
        return found.data, found.text


def _add(known: list[str], text: str) -> None:
    if text in known:
        return
    if len(known) >= _DISTINCT_MAX:
        raise Refused(LIMIT_EXCEEDED, f"more than {_DISTINCT_MAX} names or numbers")
    known.append(text)
