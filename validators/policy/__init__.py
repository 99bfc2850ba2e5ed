"""The content part of a channel in policy.toml: what the security administrator decides.

Models only, a file a family; `registry.build` turns them into validators. Unknown keys are refused.
"""

from __future__ import annotations

from validators.policy.content import ContentPolicy, SchemaFile
from validators.policy.csv import CsvColumn, CsvPolicy
from validators.policy.deidentify import DeidentificationPolicy
from validators.policy.dicom import DicomPolicy
from validators.policy.fhir import FhirPolicy
from validators.policy.form import FormField, FormPolicy
from validators.policy.hl7v2 import Hl7FieldRule, HL7v2Policy
from validators.policy.json import JsonFile, JsonPolicy
from validators.policy.objects import OBJECT_BYTES_MAX, ObjectPolicy
from validators.policy.terms import PAYLOAD_BYTES_MAX, CharsetName, OrderBy
from validators.policy.text_fields import TextField
from validators.policy.xml import CdaPolicy, XmlCallPolicy, XmlPolicy, XmlSchemaPart

__all__ = [
    "OBJECT_BYTES_MAX",
    "PAYLOAD_BYTES_MAX",
    "CdaPolicy",
    "CharsetName",
    "ContentPolicy",
    "CsvColumn",
    "CsvPolicy",
    "DeidentificationPolicy",
    "DicomPolicy",
    "FhirPolicy",
    "FormField",
    "FormPolicy",
    "HL7v2Policy",
    "Hl7FieldRule",
    "JsonFile",
    "JsonPolicy",
    "ObjectPolicy",
    "OrderBy",
    "SchemaFile",
    "TextField",
    "XmlCallPolicy",
    "XmlPolicy",
    "XmlSchemaPart",
]
