"""From a channel's content policy to its validator: the one place that knows every family.

A new family is a module of its own, a model in `policy`, and a line here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from validators.csv.validator import CsvValidator
from validators.deidentify.deidentifier import LeftoverCheck
from validators.deidentify.families import Deidentification, deidentifier
from validators.deidentify.text import reader
from validators.fhir.validator import FhirValidator
from validators.form.validator import FormValidator
from validators.hl7v2.validator import HL7v2Validator
from validators.json_schema import JsonValidator
from validators.objects import ObjectValidator
from validators.policy import ContentPolicy
from validators.xml.validator import XmlValidator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from validators.policy import DicomPolicy
    from validators.verdict import Validator


@dataclass(frozen=True, slots=True)
class ContentSpec:
    """All that a worker needs to build one channel's validator: no files are opened there."""

    policy: ContentPolicy
    schemas: Mapping[str, bytes] = field(default_factory=dict)
    order_by: str | None = None
    deidentification: Deidentification | None = None
    deidentified: bool = False
    """Whether what personal data is left in a message refuses it."""


def build_spec(spec: ContentSpec) -> Validator:
    """Build what a worker judges one channel's messages by. Raises SchemaError, as `build`."""
    validator = build(spec.policy, spec.schemas, spec.order_by)
    if spec.deidentification is not None:
        return deidentifier(spec.deidentification, spec.policy, validator)
    if not spec.deidentified:
        return validator
    if spec.policy.dicom is not None:
        return _looking_through(spec.policy.dicom)
    return LeftoverCheck(validator, reader(spec.policy))


def build(
    content: ContentPolicy, schemas: Mapping[str, bytes], order_by: str | None = None
) -> Validator:
    """Build the validator of one channel.

    `order_by` is where the order key stands (policy.OrderBy, other than channel).
    `schemas` maps file names to bytes; who reads the files is the caller. Raises SchemaError (a
    ValueError) when a schema is absent, is not the one that the policy's hash names, or cannot be
    used.
    """
    if content.hl7v2 is not None:
        return HL7v2Validator(content.hl7v2, order_by)
    if content.json_ is not None:
        return JsonValidator(content.json_, schemas, order_by)
    if content.fhir is not None:
        return FhirValidator(content.fhir, schemas, order_by)
    if content.xml is not None:
        return XmlValidator(content.xml, schemas, order_by)
    if content.csv is not None:
        return CsvValidator(content.csv, order_by)
    if content.form is not None:
        return FormValidator(content.form, order_by)
    if content.dicom is not None:
        return _dicom(content.dicom)
    if content.object_ is not None:
        return ObjectValidator(content.object_)
    raise AssertionError("ContentPolicy holds exactly one family")


def _dicom(policy: DicomPolicy) -> Validator:
    """The validator, imported where a channel needs it: the dictionary takes a while to load."""
    from validators.dicom.validator import DicomValidator

    return DicomValidator(policy)


def _looking_through(policy: DicomPolicy) -> Validator:
    """One that also refuses what personal data is left in texts."""
    from validators.deidentify.dicom_treatment import LookingThrough
    from validators.dicom.validator import DicomValidator

    return DicomValidator(policy, LookingThrough())
