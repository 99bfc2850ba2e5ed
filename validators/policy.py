"""The content part of a channel in policy.toml: what the security administrator decides.

Models only; `registry.build` turns them into validators. Unknown keys are refused.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PAYLOAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""The format's own limit for one payload; a policy may only lower it."""
OBJECT_BYTES_MAX: Final = 2**42
"""The format's own limit for one object."""

Fidelity = Literal["rebuilt", "verbatim"]
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
VersionName = Annotated[str, _matches(r"2(\.[0-9]{1,2}){1,3}", "write a version as 2.4 or 2.5.1")]
JsonPointer = Annotated[
    str,
    _matches(r"(/([^~/]|~[01])*)+", "write a JSON pointer (RFC 6901) as /header/messageId"),
]
OrderBy = Annotated[
    str,
    _matches(
        r"channel|[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2})?|(/([^~/]|~[01])*)+",
        "write channel, an HL7 v2 field or component as PID-3 or PID-3.1, or a JSON pointer as "
        "/patient/id",
    ),
]
MessageTypeSource = Annotated[
    str,
    _matches(
        r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}|(/([^~/]|~[01])*)+",
        "write a name of letters, digits and _ . ^ -, or a JSON pointer that begins with /",
    ),
]


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
    fidelity: Fidelity = Field(
        default="rebuilt",
        description=(
            "rebuilt: what crosses is written anew from the parsed message. verbatim: the "
            "original bytes after the same checks, for messages that carry a signature of "
            "their own."
        ),
    )
    message_bytes_max: Annotated[int, Field(ge=1, le=PAYLOAD_BYTES_MAX)] = Field(
        default=PAYLOAD_BYTES_MAX,
        description=("Largest message, in bytes, as received and as rebuilt."),
    )
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
        return self


class JsonPolicy(_Model):
    """JSON judged by one JSON Schema (2020-12), which is named by file and hash."""

    schema_file: Annotated[str, Field(min_length=1)] = Field(
        description=("File of the JSON Schema (2020-12), in the policy's folder or below.")
    )
    schema_sha256: Annotated[str, _matches(r"[0-9a-f]{64}", "write 64 lower-case hex digits")] = (
        Field(
            description=(
                "SHA-256 of that file, 64 lower-case hex digits: the policy's signature covers "
                "the schema by it (sha256sum FILE)."
            )
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
    depth_max: Annotated[int, Field(ge=1, le=200)] = Field(
        default=64, description=("Deepest nesting of arrays and objects.")
    )
    message_bytes_max: Annotated[int, Field(ge=1, le=PAYLOAD_BYTES_MAX)] = Field(
        default=PAYLOAD_BYTES_MAX,
        description=("Largest message, in bytes, as received and as rebuilt."),
    )
    fidelity: Fidelity = Field(
        default="rebuilt",
        description=(
            "rebuilt: what crosses is written anew from the parsed message. verbatim: the "
            "original bytes after the same checks, for messages that carry a signature of "
            "their own."
        ),
    )


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


class ContentPolicy(_Model):
    """Exactly one family a channel."""

    hl7v2: HL7v2Policy | None = None
    json_: Annotated[JsonPolicy | None, Field(alias="json")] = None
    object_: Annotated[ObjectPolicy | None, Field(alias="object")] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        families = [self.hl7v2, self.json_, self.object_]
        if sum(family is not None for family in families) != 1:
            raise ValueError("name exactly one content family: hl7v2, json or object")
        return self
