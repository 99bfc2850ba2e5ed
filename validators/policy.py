"""The content part of a channel in policy.toml: what the security administrator decides.

Models only; `registry.build` turns them into validators. Unknown keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from validators.embedded import FileType

PAYLOAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""The format's own limit for one payload; a policy may only lower it."""
OBJECT_BYTES_MAX: Final = 2**42
"""The format's own limit for one object."""

Fidelity = Annotated[
    Literal["rebuilt", "verbatim"],
    Field(
        description=(
            "rebuilt: what crosses is written anew from the parsed message. verbatim: the "
            "original bytes after the same checks, for messages that carry a signature of "
            "their own."
        )
    ),
]
MessageBytesMax = Annotated[
    int,
    Field(
        ge=1,
        le=PAYLOAD_BYTES_MAX,
        description="Largest message, in bytes, as received and as rebuilt.",
    ),
]
AttachmentBytesMax = Annotated[
    int,
    Field(ge=1, le=PAYLOAD_BYTES_MAX, description="Largest such file, in bytes after base64."),
]
FileTypes = Annotated[
    tuple[FileType, ...],
    Field(
        description=(
            "Types of files that may stand in a message, told by content and declared the same; "
            "none, if none is named. An archive (application/zip, application/gzip) is unpacked "
            "to be judged."
        )
    ),
]
CharsetName = Literal["UTF-8", "GB18030", "GBK", "ISO-8859-1", "ASCII"]


def _matches(pattern: str, hint: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(hint)
        return text

    return AfterValidator(check)


MessagePattern = Annotated[
    str,
    _matches(
        r"\*|[A-Za-z0-9_]+(\^(\*|[A-Za-z0-9_]+)){0,2}",
        "write a message type as ADT^A01, ADT^A01^ADT_A01 or ADT^*, or * for every type",
    ),
]
SegmentPattern = Annotated[
    str,
    _matches(
        r"[A-Z][A-Z0-9]{2}|Z\*",
        "write a segment as three capital letters or digits (PID, ZPV), or Z* for every Z-segment",
    ),
]
FieldName = Annotated[
    str,
    _matches(
        r"[A-Z][A-Z0-9]{2}-(\*|[1-9][0-9]{0,2})",
        "write a field as PID-3, or PID-* for every field of the segment",
    ),
]
RequiredField = Annotated[
    str, _matches(r"[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}", "write a field as PID-3")
]
VersionName = Annotated[str, _matches(r"2(\.[0-9]{1,2}){1,3}", "write a version as 2.4 or 2.5.1")]
JsonPointer = Annotated[
    str,
    _matches(r"(/([^~/]|~[01])*)+", "write a JSON pointer (RFC 6901) as /header/messageId"),
]
OrderBy = Annotated[
    str,
    _matches(
        r"channel|[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2})?|(/([^~/]|~[01])*)+",
        "write channel, an HL7 v2 field or component as PID-3 or PID-3.1, or a JSON pointer or an "
        "XML path as /patient/id",
    ),
]
_XML_STEP = r"/(\{[^{}]*\})?[^/{}@*\s]+"
XmlValuePath = Annotated[
    str,
    _matches(
        rf"({_XML_STEP})+(/@(\{{[^{{}}]*\}})?[^/{{}}@*\s]+)?",
        "write an absolute path as /order/id or /order/patient/@id",
    ),
]
XmlElementPath = Annotated[
    str,
    _matches(
        rf"({_XML_STEP})+(/\*\*)?",
        "write an absolute path as /order/patient/name, or /order/items/** for all below",
    ),
]
XmlRoot = Annotated[
    str,
    _matches(r"(\{[^{}\s]+\})?[^/{}@*:\s]+", "write a root element as {namespace}name, or name"),
]
FhirName = Annotated[
    str, _matches(r"[A-Z][A-Za-z]{1,63}", "write a resource type as Patient or Observation")
]
FhirPath = Annotated[
    str,
    _matches(
        r"[A-Z][A-Za-z]{1,63}(\.[a-z][A-Za-z0-9]{0,63}){0,20}",
        "write an element as Patient.name or Observation.valueQuantity",
    ),
]
FhirUri = Annotated[str, _matches(r"[^\s|]+", "write a URL, without a version")]
MessageTypeSource = Annotated[
    str,
    _matches(
        r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}|(/([^~/]|~[01])*)+",
        "write a name of letters, digits and _ . ^ -, or a JSON pointer that begins with /",
    ),
]


Sha256Hex = Annotated[str, _matches(r"[0-9a-f]{64}", "write 64 lower-case hex digits")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HL7v2Policy(_Model):
    """HL7 v2 in its vertical-bar encoding. Counts and lengths are inclusive maxima."""

    messages: Annotated[tuple[MessagePattern, ...], Field(min_length=1)] = Field(
        description=(
            "Message types that may cross (MSH-9): ADT^A01 (any structure), "
            "ADT^A01^ADT_A01, ADT^* (every event), ACK (no event), * (every type)."
        )
    )
    segments: Literal["any"] | tuple[SegmentPattern, ...] = Field(
        description=(
            'Segments that may stand in a message, Z* for every Z-segment, or "any". MSH '
            "always may. A message with another segment is refused."
        )
    )
    fields: Literal["any"] | Annotated[tuple[FieldName, ...], Field(min_length=1)] = Field(
        default="any",
        description=(
            "Fields that may be filled, as PID-3, or OBX-* for every field of a segment; of "
            'each segment, or "any". MSH-1 to MSH-12 and MSH-18 always may.'
        ),
    )
    unknown_fields: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "refuse: a message with another field filled is refused. strip: it crosses with that "
            "field empty."
        ),
    )
    required: tuple[RequiredField, ...] = Field(
        default=(),
        description=(
            "Fields that must be filled, as PID-3: in every segment of that name, and there must "
            "be one."
        ),
    )
    versions: Literal["any"] | tuple[VersionName, ...] = Field(
        default="any", description=("HL7 versions that may cross (MSH-12), as 2.4 or 2.5.1.")
    )
    header: Literal["strict", "lax"] = Field(
        default="strict",
        description=(
            "strict: MSH-10, MSH-11 and MSH-12 must be filled and well-formed and MSH-18 "
            "known. lax: only MSH-9 must be filled."
        ),
    )
    default_charset: CharsetName = Field(
        default="UTF-8", description=("Character set of messages whose MSH-18 is empty.")
    )
    charset_out: Literal["as-received", "UTF-8", "GB18030"] = Field(
        default="as-received",
        description=(
            "Character set in which messages leave; another than the received one sets MSH-18."
        ),
    )
    escapes: Literal["standard", "any"] = Field(
        default="standard",
        description=(
            "standard: only the escape sequences of HL7 v2. any: whatever is well-formed. "
            "They are never resolved."
        ),
    )
    hex_line_breaks: bool = Field(
        default=False,
        description=("Whether \\X0D\\ and \\X0A\\ (line breaks in text) may stand in a field."),
    )
    attachments: FileTypes = ()
    attachment_bytes_max: AttachmentBytesMax = 4 * 1024 * 1024
    fidelity: Fidelity = "rebuilt"
    message_bytes_max: MessageBytesMax = PAYLOAD_BYTES_MAX
    segments_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=5_000, description=("Most segments in a message.")
    )
    fields_max: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=300, description=("Most fields in a segment.")
    )
    field_chars_max: Annotated[int, Field(ge=1, le=PAYLOAD_BYTES_MAX)] = Field(
        default=4 * 1024 * 1024, description=("Most characters in a field.")
    )
    repetitions_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1_000, description=("Most repetitions in a field.")
    )
    components_max: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=200,
        description=("Most components in a repetition, and subcomponents in a component."),
    )

    @model_validator(mode="after")
    def _verbatim_converts_nothing(self) -> Self:
        if self.fidelity == "verbatim" and self.charset_out != "as-received":
            raise ValueError('fidelity = "verbatim" leaves every byte: drop charset_out')
        if self.fidelity == "verbatim" and self.unknown_fields == "strip":
            raise ValueError('fidelity = "verbatim" leaves every byte: strip nothing')
        return self


class JsonFile(_Model):
    """A field that holds a file in base64. What is null or absent is no file."""

    at: JsonPointer = Field(
        description=(
            "JSON pointer to the field; a step * stands for each member or item: /reports/*/pdf."
        )
    )
    types: Annotated[tuple[FileType, ...], Field(min_length=1)] = Field(
        description="Types of files that may stand there, told by content."
    )
    bytes_max: AttachmentBytesMax = 4 * 1024 * 1024


class JsonPolicy(_Model):
    """JSON judged by one JSON Schema (2020-12), which is named by file and hash."""

    schema_file: Annotated[str, Field(min_length=1)] = Field(
        description=("File of the JSON Schema (2020-12), in the policy's folder or below.")
    )
    schema_sha256: Sha256Hex = Field(
        description=(
            "SHA-256 of that file, 64 lower-case hex digits: the policy's signature covers "
            "the schema by it (sha256sum FILE)."
        )
    )
    message_type: MessageTypeSource = Field(
        default="json",
        description=(
            "Name of the messages' type for records, or a JSON pointer to where each "
            "message names it."
        ),
    )
    control_id: JsonPointer | None = Field(
        default=None,
        description=(
            "JSON pointer to the id by which the internal system knows a message; it "
            "becomes searchable."
        ),
    )
    files: tuple[JsonFile, ...] = Field(
        default=(), description="Fields that hold files; one table each."
    )
    depth_max: Annotated[int, Field(ge=1, le=200)] = Field(
        default=64, description=("Deepest nesting of arrays and objects.")
    )
    message_bytes_max: MessageBytesMax = PAYLOAD_BYTES_MAX
    fidelity: Fidelity = "rebuilt"


class FhirPolicy(_Model):
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


class CsvColumn(_Model):
    """One column. What is not required may be empty."""

    name: Annotated[
        str, _matches(r'[^"\x00-\x1f\x7f]{1,64}', "write a column's name, without quotes")
    ] = Field(description="The column's name, as the header row has it.")
    type: Literal["text", "integer", "decimal", "date", "datetime"] = Field(
        default="text",
        description=(
            "What its fields hold: dates as 2026-11-24, datetimes as in RFC 3339, decimals with a "
            "point."
        ),
    )
    required: bool = Field(default=False, description="Whether every row must fill it.")
    chars_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="Most characters in a field."
    )
    pattern: str | None = Field(
        default=None,
        description=(
            "Regular expression for the whole field, without look-around and back-references."
        ),
    )
    values: tuple[str, ...] = Field(
        default=(), description="The values that may stand in it; any, if none is named."
    )


class CsvPolicy(_Model):
    """CSV (RFC 4180) with declared columns; a row is a line."""

    columns: Annotated[tuple[CsvColumn, ...], Field(min_length=1, max_length=1000)] = Field(
        description="The columns, in the order in which they cross; one table each."
    )
    header: bool = Field(
        default=True,
        description=(
            "Whether the first row names the columns, which may then stand in any order. Without "
            "one, every row has the declared columns."
        ),
    )
    delimiter: Literal[",", ";", "|", "tab"] = Field(
        default=",", description="What stands between two fields."
    )
    charset: Literal["UTF-8", "GB18030"] = Field(
        default="UTF-8", description="Character set of what comes and of what crosses."
    )
    unknown_columns: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "refuse: a message with another column is refused. strip: it crosses without it."
        ),
    )
    formulas: Literal["refuse", "neutralise", "allow"] = Field(
        default="refuse",
        description=(
            "What becomes of a field that a spreadsheet would run (= + - @ at its beginning; "
            "numbers are none): neutralise sets a ' before it."
        ),
    )
    message_type: Annotated[str, _matches(r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}", "write a name")] = (
        Field(default="csv", description="Name of the messages' type for records.")
    )
    control_id: str | None = Field(
        default=None,
        description=(
            "Column whose first field is the id by which the internal system knows a message; it "
            "becomes searchable."
        ),
    )
    rows_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10_000, description="Most rows in a message, the header apart."
    )
    message_bytes_max: MessageBytesMax = PAYLOAD_BYTES_MAX
    fidelity: Fidelity = "rebuilt"

    @model_validator(mode="after")
    def _columns_are_different(self) -> Self:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("two columns have one name")
        if self.control_id is not None and self.control_id not in names:
            raise ValueError("control_id names no column")
        if self.unknown_columns == "strip" and not self.header:
            raise ValueError("columns without names cannot be unknown: drop unknown_columns")
        return self

    @model_validator(mode="after")
    def _verbatim_changes_nothing(self) -> Self:
        changes = self.unknown_columns == "strip" or self.formulas == "neutralise"
        if self.fidelity == "verbatim" and changes:
            raise ValueError('fidelity = "verbatim" leaves every byte: change nothing')
        return self


class ObjectPolicy(_Model):
    """Objects too large for a message, as images: streamed in parts, only the beginning judged."""

    type: Literal[
        "application/dicom",
        "application/pdf",
        "application/zip",
        "application/gzip",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "video/mp4",
        "application/octet-stream",
    ] = Field(
        description=(
            "What the objects are; their first bytes must say the same. application/octet-stream: "
            "anything."
        )
    )
    bytes_max: Annotated[int, Field(ge=1, le=OBJECT_BYTES_MAX)] = Field(
        default=2 * 1024**3, description=("Largest object, in bytes.")
    )


class CdaPolicy(_Model):
    """CDA R2 documents: which of them may cross, and what may be attached."""

    documents: Literal["any"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description='Document codes that may cross (ClinicalDocument/code/@code), or "any".'
    )
    templates: Literal["any"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default="any",
        description="Template ids of which a document must name one (templateId/@root).",
    )
    attachments: FileTypes = ()
    attachment_bytes_max: AttachmentBytesMax = 4 * 1024 * 1024


class XmlPolicy(_Model):
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
    unknown_elements: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "refuse: a message with another element is refused. strip: it crosses without that "
            "element and what stands in it."
        ),
    )
    processing_instructions: Literal["drop", "refuse"] = Field(
        default="drop",
        description="Whether messages with processing instructions (xml-stylesheet) are refused.",
    )
    soap: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "strip: of a SOAP 1.1 or 1.2 envelope, the one child of its body crosses alone; its "
            "header never does. refuse: no envelope is taken."
        ),
    )
    cda: CdaPolicy | None = Field(
        default=None, description="Where it stands, every message must be a CDA R2 document."
    )
    schema_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description=(
            "File of an XML Schema (1.0) that each message must satisfy, in the policy's folder "
            "or below; one file, without include and import."
        ),
    )
    schema_sha256: Sha256Hex | None = Field(
        default=None, description="SHA-256 of that file, 64 lower-case hex digits (sha256sum FILE)."
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
        return self

    @model_validator(mode="after")
    def _verbatim_changes_nothing(self) -> Self:
        if self.fidelity == "verbatim" and (
            self.soap == "strip" or self.unknown_elements == "strip"
        ):
            raise ValueError('fidelity = "verbatim" leaves every byte: strip nothing')
        return self


class SchemaFile(NamedTuple):
    """A schema in the policy's folder, and the key of the family that names it."""

    family: str
    file: str
    sha256: str


class ContentPolicy(_Model):
    """Exactly one family a channel."""

    hl7v2: HL7v2Policy | None = None
    json_: Annotated[JsonPolicy | None, Field(alias="json")] = None
    fhir: FhirPolicy | None = None
    xml: XmlPolicy | None = None
    csv: CsvPolicy | None = None
    object_: Annotated[ObjectPolicy | None, Field(alias="object")] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        families = (self.hl7v2, self.json_, self.fhir, self.xml, self.csv, self.object_)
        if sum(each is not None for each in families) != 1:
            raise ValueError(
                "name exactly one content family: hl7v2, json, fhir, xml, csv or object"
            )
        return self

    def schema_files(self) -> Iterator[SchemaFile]:
        """Every schema that the family names."""
        for key, family in (("json", self.json_), ("fhir", self.fhir), ("xml", self.xml)):
            if family is not None and family.schema_file and family.schema_sha256:
                yield SchemaFile(key, family.schema_file, family.schema_sha256)
