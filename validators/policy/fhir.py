"""Policy of FHIR channels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from validators.policy.terms import (
    PAYLOAD_BYTES_MAX,
    AttachmentBytesMax,
    Fidelity,
    FileTypes,
    JsonPointer,
    MessageBytesMax,
    PolicyModel,
    Sha256Hex,
    matches,
)

FhirName = Annotated[
    str, matches(r"[A-Z][A-Za-z]{1,63}", "write a resource type as Patient or Observation")
]
FhirPath = Annotated[
    str,
    matches(
        r"[A-Z][A-Za-z]{1,63}(\.[a-z][A-Za-z0-9]{0,63}){0,20}",
        "write an element as Patient.name or Observation.valueQuantity",
    ),
]
UrlPrefix = Annotated[
    str,
    matches(
        r"https?://[a-z0-9.-]+(:[0-9]{1,5})?/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*",
        "write where files may lie, as https://pacs.example/wado/: scheme and host in lower case, "
        "with / at the end",
    ),
]
FhirUri = Annotated[str, matches(r"[^\s|]+", "write a URL, without a version")]


class FhirPolicy(PolicyModel):
    """HL7 FHIR in JSON, judged by HL7's own definitions of one version."""

    version: Literal["R4", "R5"] = Field(description="FHIR version of the messages.")
    resources: Literal["any"] | Annotated[tuple[FhirName, ...], Field(min_length=1)] = Field(
        description=(
            'Resource types that may cross, also in Bundles and contained in others; or "any". A '
            "Bundle must be named like any other."
        )
    )
    elements: Literal["any"] | Annotated[tuple[FhirPath, ...], Field(min_length=1)] = Field(
        default="any",
        description=(
            "Elements that may cross, each with all below it: Patient.name, "
            "Patient.contact.telecom, Observation.valueQuantity, Bundle for a whole resource; or "
            '"any".'
        ),
    )
    unknown_elements: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "refuse: a message with an element that elements or FHIR do not name is refused. "
            "strip: it crosses without it. What changes the meaning of the rest (FHIR's modifier "
            "elements, as status or doNotPerform) is never stripped."
        ),
    )
    extensions: Literal["any"] | tuple[FhirUri, ...] = Field(
        default=(),
        description='URLs of extensions that may cross, each with all that stands in it; or "any".',
    )
    unknown_extensions: Literal["refuse", "strip"] = Field(
        default="refuse",
        description="What becomes of other extensions (a modifierExtension is never stripped).",
    )
    profiles: Literal["any"] | Annotated[tuple[FhirUri, ...], Field(min_length=1)] = Field(
        default="any",
        description=(
            "Profiles of which each message must claim one (meta.profile). A claim is not proved; "
            "schema_file can be the profile's rules."
        ),
    )
    narrative: Literal["strip", "refuse", "allow"] = Field(
        default="strip",
        description=(
            "strip: narratives that say no more than the data (status generated) go, others are "
            "refused, and so are those of sections. allow: they cross, rebuilt, with the XHTML "
            "that FHIR allows."
        ),
    )
    attachments: FileTypes = ()
    attachment_urls: Literal["any"] | tuple[UrlPrefix, ...] = Field(
        default=(),
        description=(
            "Where an Attachment.url may lead: what its address begins with "
            '(https://pacs.example/wado/); or "any". A resource of the receiver (Binary/7) and '
            "urn: always may. What a link leads to never crossed."
        ),
    )
    attachment_bytes_max: AttachmentBytesMax = 4 * 1024 * 1024
    bundles: tuple[
        Literal[
            "document",
            "message",
            "collection",
            "batch",
            "transaction",
            "batch-response",
            "transaction-response",
            "history",
            "searchset",
            "subscription-notification",
        ],
        ...,
    ] = Field(
        default=("document", "message", "collection"), description="Types of Bundle that may cross."
    )
    request_methods: tuple[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], ...] = Field(
        default=("POST", "PUT"),
        description="What the entries of a batch or transaction may ask the receiver to do.",
    )
    schema_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description=(
            "File of a JSON Schema (2020-12) that each message must satisfy besides, in the "
            "policy's folder or below: the closed profile of a site."
        ),
    )
    schema_sha256: Sha256Hex | None = Field(
        default=None, description="SHA-256 of that file, 64 lower-case hex digits (sha256sum FILE)."
    )
    control_id: JsonPointer | None = Field(
        default=None,
        description=(
            "JSON pointer to the id by which the internal system knows a message; it becomes "
            "searchable, and stands in logs: no id of a patient. Without it a Bundle's identifier "
            "is taken, if there."
        ),
    )
    fidelity: Fidelity = "rebuilt"
    elements_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=100_000, description="Most elements in a message, those of narratives among them."
    )
    entries_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1_000, description="Most entries in a Bundle."
    )
    depth_max: Annotated[int, Field(ge=1, le=100)] = Field(
        default=64, description="Deepest nesting of arrays and objects."
    )
    message_bytes_max: MessageBytesMax = PAYLOAD_BYTES_MAX

    @model_validator(mode="after")
    def _every_resource_has_elements(self) -> Self:
        if self.elements == "any" or self.resources == "any":
            return self
        roots = {path.partition(".")[0] for path in self.elements}
        if roots != set(self.resources):
            name = min(roots ^ set(self.resources))
            raise ValueError(f"resources and elements must name the same resources: see {name}")
        return self

    @model_validator(mode="after")
    def _a_schema_has_a_hash(self) -> Self:
        if (self.schema_file is None) != (self.schema_sha256 is None):
            raise ValueError("name schema_file and schema_sha256 together")
        return self

    @model_validator(mode="after")
    def _verbatim_changes_nothing(self) -> Self:
        if self.fidelity == "verbatim" and "strip" in {
            self.unknown_elements,
            self.unknown_extensions,
            self.narrative,
        }:
            raise ValueError(
                'fidelity = "verbatim" leaves every byte: strip nothing, and set narrative to '
                '"refuse" or "allow"'
            )
        return self
