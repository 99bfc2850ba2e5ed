"""What stands in each element of DICOM, and what stays where nothing of its value may.

The table E.1-1 of PS3.15 says what becomes of the elements that it names (dicom_actions.tsv). Where
it removes a date, its option of modified dates keeps it, moved. What it does not name is judged by
its representation: names, dates, ages, UIDs and texts are so wherever they stand.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from validators.dicom import dictionary
from validators.dicom.values import BULK
from validators.policy.deidentify import DicomProfilePolicy

if TYPE_CHECKING:
    from validators.policy.deidentify import DeidentificationPolicy, Kind

ENCAPSULATED_DOCUMENT: Final = 0x00420011
PATIENT_ID: Final = 0x00100020
_BIRTH_DATE: Final = 0x00100030
_BIRTH_TIME: Final = 0x00100032
_REPEATING: Final = range(0x5000, 0x6100)
"""Groups of curves and overlays."""

_CHARACTERISTICS: Final = frozenset(
    map(
        dictionary.tag_of,
        (
            *("EthnicGroup", "PatientAge", "PatientSex", "PatientSexNeutered", "PatientSize"),
            *("PatientWeight", "PregnancyStatus", "SmokingStatus"),
        ),
    )
)
"""Those that the option Retain Patient Characteristics keeps."""

NUMBERS: Final = frozenset(
    map(
        dictionary.tag_of,
        (
            *("AccessionNumber", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID"),
            *("ContainerIdentifier", "FillerOrderNumberImagingServiceRequest", "PatientID"),
            *("PlacerOrderNumberImagingServiceRequest", "SpecimenIdentifier", "StudyID"),
        ),
    )
)
"""The hospital's own numbers that the table empties or replaces."""

_DESCRIPTORS: Final = frozenset(
    {
        *("AdditionalPatientHistory", "Allergies", "ContrastBolusAgent", "Impressions"),
        *("MedicalAlerts", "PatientState", "PreMedication", "ProtocolName", "ReasonForStudy"),
        *("ReasonForTheImagingServiceRequest", "ReasonForTheRequestedProcedure", "ReasonForVisit"),
        *("RequestedContrastAgent", "SpecialNeeds", "TextValue", "UnformattedTextValue"),
    }
)
_DESCRIPTOR_ENDS: Final = ("Description", "Comments", "Label")
"""Those that the option Clean Descriptors keeps, cleaned."""

_REPORT_TEXT: Final = dictionary.tag_of("TextValue")
"""Of structured reports, whose content the table replaces as a whole."""

_PERSONS: Final = frozenset(
    map(
        dictionary.tag_of,
        (
            *("InstitutionCodeSequence", "OperatorIdentificationSequence"),
            "PersonIdentificationCodeSequence",
        ),
    )
)
"""Sequences of codes that say who it is: no item of them can be a dummy."""

_CODING_UIDS: Final = frozenset(map(dictionary.tag_of, ("CodingSchemeUID", "ContextUID")))
_TEXTS: Final = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})


class Absent(enum.Enum):
    """What stands for a value of which nothing may stay."""

    LEFT_OUT = enum.auto()
    EMPTY = enum.auto()
    DUMMY = enum.auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """`is_listed`: the table names the element. A sequence is "keep" if its items are judged."""

    kind: Kind
    absent: Absent
    is_listed: bool


def _actions() -> dict[int, str]:
    file = resources.files("validators.deidentify") / "dicom_actions.tsv"
    rows = (line.split("\t") for line in file.read_text(encoding="ascii").splitlines())
    return {int(tag, 16): action for tag, action in rows}


_ACTIONS: Final = _actions()


class Table:
    """The table under a channel's policy."""

    def __init__(self, policy: DeidentificationPolicy) -> None:
        self._places = {dictionary.tag_of(place.at): place.holds for place in policy.places}
        self._profile = policy.dicom or DicomProfilePolicy()
        self.rule = lru_cache(maxsize=8192)(self._rule)

    def _rule(self, tag: int, representation: str) -> Rule:
        """What to do with an element of this representation."""
        action = "D" if tag == _REPORT_TEXT else _ACTIONS.get(tag)
        if tag >> 16 in _REPEATING:
            action = "X"
        kind = self._places.get(tag)
        if kind is None and action is None:
            kind = _unlisted(tag, representation)
        elif kind is None:
            kind = self._listed(tag, representation, action or "")
        return Rule(kind, _absent(action), is_listed=action is not None)

    def _listed(self, tag: int, representation: str, action: str) -> Kind:
        stays = any(each in action for each in "ZDU")
        if tag >> 16 in _REPEATING or representation in BULK:
            return "remove"
        if tag in _CHARACTERISTICS and self._profile.characteristics == "remove":
            return "remove"
        match representation:
            case "SQ":
                walks = tag not in _PERSONS and ("D" in action or "U" in action)
                return "keep" if walks else "remove"
            case "UI":
                return "uid"
            case "DA" | "DT" | "TM" if tag != _BIRTH_TIME:
                return "birth-date" if tag == _BIRTH_DATE else "date"
            case "AS":
                return "age"
            case "PN" if stays:
                return "name"
        return self._listed_text(tag, representation)

    def _listed_text(self, tag: int, representation: str) -> Kind:
        if tag in _CHARACTERISTICS:
            return "text" if representation in _TEXTS else "keep"
        if tag in NUMBERS:
            return "internal"
        name = dictionary.name_of(tag)
        is_descriptor = name in _DESCRIPTORS or name.endswith(_DESCRIPTOR_ENDS)
        return "text" if is_descriptor and self._profile.descriptors == "clean" else "remove"


def _unlisted(tag: int, representation: str) -> Kind:
    if representation == "UI":
        return "keep" if tag in _CODING_UIDS else "uid"
    if representation in _TEXTS:
        return "text"
    return _BY_REPRESENTATION.get(representation, "keep")


_BY_REPRESENTATION: Final[dict[str, Kind]] = {
    "AE": "remove",
    "AS": "age",
    "DA": "date",
    "DT": "date",
    "PN": "name",
    "TM": "date",
    "UR": "remove",
}


def _absent(action: str | None) -> Absent:
    if action is None:
        return Absent.EMPTY
    if "D" in action:
        return Absent.DUMMY
    return Absent.EMPTY if "Z" in action else Absent.LEFT_OUT
