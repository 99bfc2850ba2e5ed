"""The content part of a channel: exactly one family."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from validators.policy.csv import CsvPolicy
from validators.policy.dicom import DicomPolicy
from validators.policy.fhir import FhirPolicy
from validators.policy.form import FormPolicy
from validators.policy.hl7v2 import HL7v2Policy
from validators.policy.json import JsonPolicy
from validators.policy.objects import ObjectPolicy
from validators.policy.terms import PolicyModel
from validators.policy.xml import XmlPolicy


class SchemaFile(NamedTuple):
    """A schema in the policy's folder, and the family and the key that name it."""

    family: str
    file: str
    sha256: str
    key: str = "schema_file"


class ContentPolicy(PolicyModel):
    """Exactly one family a channel."""

    hl7v2: HL7v2Policy | None = None
    json_: Annotated[JsonPolicy | None, Field(alias="json")] = None
    fhir: FhirPolicy | None = None
    xml: XmlPolicy | None = None
    csv: CsvPolicy | None = None
    form: FormPolicy | None = None
    dicom: DicomPolicy | None = None
    object_: Annotated[ObjectPolicy | None, Field(alias="object")] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        families = (
            *(self.hl7v2, self.json_, self.fhir, self.xml, self.csv),
            *(self.form, self.dicom, self.object_),
        )
        if sum(each is not None for each in families) != 1:
            raise ValueError(
                "name exactly one content family: hl7v2, json, fhir, xml, csv, form, dicom or "
                "object"
            )
        return self

    @property
    def family(self) -> tuple[str, PolicyModel]:
        """The key of the family that is named, and its policy."""
        families = {
            "hl7v2": self.hl7v2,
            "json": self.json_,
            "fhir": self.fhir,
            "xml": self.xml,
            "csv": self.csv,
            "form": self.form,
            "dicom": self.dicom,
            "object": self.object_,
        }
        return next((name, each) for name, each in families.items() if each is not None)

    @property
    def objects(self) -> ObjectPolicy | DicomPolicy | None:
        """The family, if its messages are objects, which cross in parts."""
        return self.object_ if self.dicom is None else self.dicom

    @property
    def files_stay_as_spelt(self) -> bool:
        """Whether files cross as their sender spelt them: perhaps in pieces that no scanner joins.

        Rebuilt messages have each file in one run of digits; `verbatim` ones need not.
        """
        cda = None if self.xml is None else self.xml.cda
        named = (
            (self.hl7v2, self.hl7v2 and self.hl7v2.attachments),
            (self.json_, self.json_ and self.json_.files),
            (self.fhir, self.fhir and self.fhir.attachments),
            (self.xml, cda and cda.attachments),
        )
        return any(family and family.fidelity == "verbatim" and files for family, files in named)

    def schema_files(self) -> Iterator[SchemaFile]:
        """Every schema that the family names."""
        for key, family in (("json", self.json_), ("fhir", self.fhir)):
            if family is not None and family.schema_file and family.schema_sha256:
                yield SchemaFile(key, family.schema_file, family.schema_sha256)
        if self.xml is not None:
            for file, sha256 in self.xml.schema_digests.items():
                key = "schema_file" if file == self.xml.schema_file else "schema_parts"
                yield SchemaFile("xml", file, sha256, key)
