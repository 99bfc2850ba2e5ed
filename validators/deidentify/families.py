"""From a channel's policies to its de-identification: the one place that knows every family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from validators.deidentify.slots import Family
    from validators.policy import ContentPolicy
    from validators.policy.deidentify import DeidentificationPolicy
    from validators.verdict import Validator


@dataclass(frozen=True, slots=True)
class Deidentification:
    """A channel's policy and the 32 bytes of its key."""

    policy: DeidentificationPolicy
    secret: bytes = field(repr=False)


def deidentifier(
    described: Deidentification, content: ContentPolicy, validator: Validator
) -> Deidentifier:
    """What de-identifies a channel's messages.

    `validator` is the channel's own; it judges what comes out.
    """
    policy, keyed = described.policy, Keyed(described.secret)
    family = _family(policy, content)
    return Deidentifier(policy, family, Methods(policy, keyed), keyed, validator, reader(content))


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
