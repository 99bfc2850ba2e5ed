"""From a channel's policies to its de-identification: the one place that knows every family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from validators.deidentify.csv import CsvFamily
from validators.deidentify.deidentifier import Deidentifier
from validators.deidentify.fhir import FhirFamily
from validators.deidentify.form import FormFamily
from validators.deidentify.hl7v2 import HL7v2Family
from validators.deidentify.json import JsonFamily
from validators.deidentify.keyed import Keyed
from validators.deidentify.methods import Methods
from validators.deidentify.text import reader
from validators.deidentify.xml import XmlFamily
from validators.verdict import Validator

if TYPE_CHECKING:
    from validators.deidentify.deidentifier import Examination
    from validators.deidentify.slots import Family
    from validators.policy import ContentPolicy, DicomPolicy
    from validators.policy.deidentify import DeidentificationPolicy


@dataclass(frozen=True, slots=True)
class Deidentification:
    """A channel's policy and the 32 bytes of its key."""

    policy: DeidentificationPolicy
    secret: bytes = field(repr=False)


class Examiner(Validator, Protocol):
    """Judges like a validator, and passes on what may leave."""

    def examine(self, payload: bytes) -> Examination:
        """The verdict on a message, and what was done to it on the way."""


def deidentifier(
    described: Deidentification, content: ContentPolicy, validator: Validator
) -> Examiner:
    """What de-identifies a channel's messages; of DICOM, what its validator has rebuilt.

    `validator` is the channel's own; it judges what comes out.
    """
    policy, keyed = described.policy, Keyed(described.secret)
    if content.dicom is not None:
        return _dicom(policy, content.dicom, keyed)
    family = _family(policy, content)
    return Deidentifier(policy, family, Methods(policy, keyed), keyed, validator, reader(content))


def _dicom(policy: DeidentificationPolicy, content: DicomPolicy, keyed: Keyed) -> Examiner:
    """The same for DICOM, imported where a channel needs it: the dictionary is slow to load."""
    from validators.deidentify.dicom import DicomDeidentifier

    return DicomDeidentifier(policy, content, Methods(policy, keyed), keyed)


def _family(policy: DeidentificationPolicy, content: ContentPolicy) -> Family:
    if content.hl7v2 is not None:
        return HL7v2Family(policy, content.hl7v2)
    if content.fhir is not None:
        return FhirFamily(policy, content.fhir)
    if content.xml is not None:
        return XmlFamily(policy, content.xml)
    if content.json_ is not None:
        return JsonFamily(policy, content.json_)
    if content.csv is not None:
        return CsvFamily(policy, content.csv)
    if content.form is not None:
        return FormFamily(policy, content.form)
    raise AssertionError("the policy lets no other family be de-identified")
