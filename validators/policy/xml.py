"""Policy of XML channels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from validators.policy.terms import (
    PAYLOAD_BYTES_MAX,
    AttachmentBytesMax,
    Fidelity,
    FileTypes,
    MessageBytesMax,
    PolicyModel,
    Sha256Hex,
    matches,
)
from validators.xml import shared_documents

_XML_STEP = r"/(\{[^{}]*\})?[^/{}@*\s]+"
XmlValuePath = Annotated[
    str,
    matches(
        rf"({_XML_STEP})+(/@(\{{[^{{}}]*\}})?[^/{{}}@*\s]+)?",
        "write an absolute path as /order/id or /order/patient/@id",
    ),
]
XmlElementPath = Annotated[
    str,
    matches(
        rf"({_XML_STEP})+(/\*\*)?",
        "write an absolute path as /order/patient/name, or /order/items/** for all below",
    ),
]
XmlAttributePath = Annotated[
    str,
    matches(
        rf"({_XML_STEP})+(/@(\{{[^{{}}]*\}})?[^/{{}}@*\s]+|/@\*|/\*\*)",
        "write a path to an attribute as /order/@id, /order/@* for all of that element, or "
        "/order/items/** for all of it and below",
    ),
]
XmlRoot = Annotated[
    str,
    matches(r"(\{[^{}\s]+\})?[^/{}@*:\s]+", "write a root element as {namespace}name, or name"),
]


XmlParameter = Annotated[
    str, matches(r"[^/{}@*:\s]+", "write the parameter's name, without a namespace")
]


class CdaPolicy(PolicyModel):
    """CDA R2 documents: which of them may cross, and what may be attached."""

    documents: Literal["any"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description='Document codes that may cross (ClinicalDocument/code/@code), or "any".'
    )
    templates: Literal["any"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default="any",
        description="Template ids of which a document must name one (templateId/@root).",
    )
    standard: Literal["any", "WS/T 500"] = Field(
        default="any",
        description=(
            "WS/T 500: each document must be one of its 53 shared documents, known by code and "
            "template alike (C0001 and 2.16.156.10011.2.1.1.21)."
        ),
    )
    attachments: FileTypes = ()
    attachment_bytes_max: AttachmentBytesMax = 4 * 1024 * 1024

    @model_validator(mode="after")
    def _codes_are_the_standards(self) -> Self:
        if self.standard == "WS/T 500" and self.documents != "any":
            unknown = [each for each in self.documents if each not in shared_documents.NAMES]
            if unknown:
                raise ValueError(f"WS/T 500 has the codes C0001 to C0053, and no {unknown[0]}")
        return self


class XmlSchemaPart(PolicyModel):
    """A file that the schema includes or imports."""

    file: Annotated[str, Field(min_length=1)] = Field(
        description="Its name in the policy's folder, to which locations are relative."
    )
    sha256: Sha256Hex = Field(
        description="SHA-256 of the file, 64 lower-case hex digits (sha256sum FILE)."
    )


class XmlCallPolicy(PolicyModel):
    """A call that carries an XML message as text, as HIPMessageServer does: the message crosses."""

    actions: Literal["any"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description='Values of the action parameter with which messages may come, or "any".'
    )
    element: XmlRoot = Field(
        default="{urn:hl7-org:v3}HIPMessageServer",
        description="The call's element in the SOAP body, as {namespace}name.",
    )
    action: XmlParameter = Field(
        default="action", description="Name of the parameter that says what is asked for."
    )
    message: XmlParameter = Field(
        default="message",
        description="Name of the parameter that holds the message, escaped or as CDATA.",
    )


class XmlPolicy(PolicyModel):
    """XML, CDA R2 documents and the messages in SOAP envelopes. Numbers are inclusive maxima."""

    roots: Literal["any"] | Annotated[tuple[XmlRoot, ...], Field(min_length=1)] = Field(
        description='Root elements that may cross, as {namespace}name, or "any".'
    )
    elements: Literal["any"] | Annotated[tuple[XmlElementPath, ...], Field(min_length=1)] = Field(
        description=(
            'Elements that may cross, with their ancestors, or "any": /order/patient/name, '
            "/order/items/** with all below. A step without {namespace} is in the root's."
        )
    )
    attributes: Literal["any"] | Annotated[tuple[XmlAttributePath, ...], Field(min_length=1)] = (
        Field(
            default="any",
            description=(
                'Attributes that may cross, or "any": /order/@id, /order/@{namespace}name, '
                "/order/@* for all of that element, /order/items/** for all of it and below."
            ),
        )
    )
    unknown_elements: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "refuse: a message with another element or attribute is refused. strip: it crosses "
            "without it and what stands in it."
        ),
    )
    processing_instructions: Literal["drop", "refuse"] = Field(
        default="drop",
        description="Whether messages with processing instructions (xml-stylesheet) are refused.",
    )
    blank_text: Literal["keep", "drop"] = Field(
        default="keep",
        description=(
            "drop: white space between elements goes, where nothing else stands between them: "
            "indentation, and what could hide in it. Not for documents with running text."
        ),
    )
    soap: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "strip: of a SOAP 1.1 or 1.2 envelope, the one child of its body crosses alone; its "
            "header never does. refuse: no envelope is taken."
        ),
    )
    call: XmlCallPolicy | None = Field(
        default=None,
        description="Where it stands, what a SOAP envelope holds must be such a call.",
    )
    cda: CdaPolicy | None = Field(
        default=None, description="Where it stands, every message must be a CDA R2 document."
    )
    schema_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description=(
            "File of an XML Schema (1.0) that each message must satisfy, in the policy's folder "
            "or below. What it includes or imports stands in schema_parts."
        ),
    )
    schema_sha256: Sha256Hex | None = Field(
        default=None, description="SHA-256 of that file, 64 lower-case hex digits (sha256sum FILE)."
    )
    schema_parts: tuple[XmlSchemaPart, ...] = Field(
        default=(), description="Files that the schema includes or imports; no other is read."
    )
    control_id: XmlValuePath | None = Field(
        default=None,
        description=(
            "Path to the id by which the internal system knows a message (/order/id, "
            "/order/@id); it becomes searchable. Without it a CDA document's own id is taken."
        ),
    )
    fidelity: Fidelity = "rebuilt"
    message_bytes_max: MessageBytesMax = PAYLOAD_BYTES_MAX
    depth_max: Annotated[int, Field(ge=1, le=200)] = Field(
        default=64, description="Deepest nesting of elements."
    )
    elements_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=50_000,
        description=(
            "Most elements in a message. What holds more than four times as many < or =, or "
            "more xmlns: than elements_max, is refused before it is parsed."
        ),
    )
    attributes_max: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=50, description="Most attributes on an element."
    )
    namespaces_max: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=32,
        description="Most different namespace declarations (prefix, namespace) in a message.",
    )
    text_chars_max: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        default=8_000_000, description="Most characters in one text or attribute."
    )

    @model_validator(mode="after")
    def _a_schema_has_a_hash(self) -> Self:
        if (self.schema_file is None) != (self.schema_sha256 is None):
            raise ValueError("name schema_file and schema_sha256 together")
        if self.schema_parts and self.schema_file is None:
            raise ValueError("schema_parts are parts of a schema_file: name it, or remove them")
        names = {self.schema_file, *(part.file for part in self.schema_parts)}
        if len(names) != 1 + len(self.schema_parts):
            raise ValueError("a schema file is named twice")
        return self

    @property
    def schema_digests(self) -> dict[str, str]:
        """The SHA-256 of every schema file, by its name."""
        digests = {part.file: part.sha256 for part in self.schema_parts}
        if self.schema_file is not None and self.schema_sha256 is not None:
            digests[self.schema_file] = self.schema_sha256
        return digests

    @model_validator(mode="after")
    def _a_call_comes_in_an_envelope(self) -> Self:
        if self.call is not None and self.soap != "strip":
            raise ValueError('a call comes in a SOAP envelope: add soap = "strip"')
        return self

    @model_validator(mode="after")
    def _verbatim_changes_nothing(self) -> Self:
        strips = self.soap == "strip" or self.unknown_elements == "strip"
        if self.fidelity == "verbatim" and (strips or self.blank_text == "drop"):
            raise ValueError('fidelity = "verbatim" leaves every byte: strip nothing')
        return self
