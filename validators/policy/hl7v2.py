"""Policy of HL7 v2 channels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from validators.policy.terms import (
    PAYLOAD_BYTES_MAX,
    AttachmentBytesMax,
    CharsetName,
    Fidelity,
    FileTypes,
    MessageBytesMax,
    PolicyModel,
    matches,
)

MessagePattern = Annotated[
    str,
    matches(
        r"\*|[A-Za-z0-9_]+(\^(\*|[A-Za-z0-9_]+)){0,2}",
        "write a message type as ADT^A01, ADT^A01^ADT_A01 or ADT^*, or * for every type",
    ),
]
SegmentPattern = Annotated[
    str,
    matches(
        r"[A-Z][A-Z0-9]{2}|Z\*",
        "write a segment as three capital letters or digits (PID, ZPV), or Z* for every Z-segment",
    ),
]
FieldName = Annotated[
    str,
    matches(
        r"[A-Z][A-Z0-9]{2}-(\*|[1-9][0-9]{0,2})",
        "write a field as PID-3, or PID-* for every field of the segment",
    ),
]
FieldPlace = Annotated[
    str,
    matches(
        r"[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2})?",
        "write a field as PID-3, or a component of it as PID-3.1",
    ),
]
VersionName = Annotated[str, matches(r"2(\.[0-9]{1,2}){1,3}", "write a version as 2.4 or 2.5.1")]
MessageTypeSource = Annotated[
    str,
    matches(
        r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}|(/([^~/]|~[01])*)+",
        "write a name of letters, digits and _ . ^ -, or a JSON pointer that begins with /",
    ),
]


class Hl7FieldRule(PolicyModel):
    """What may stand in a field or component, in every segment of its name. Empty always may."""

    at: FieldPlace = Field(description="The field, as PID-8, or component, as PID-3.1.")
    chars_max: Annotated[int, Field(ge=1, le=PAYLOAD_BYTES_MAX)] | None = Field(
        default=None, description="Most characters in one repetition. Left out: no limit."
    )
    repetitions_max: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Most repetitions. Left out: no limit of its own."
    )
    values: tuple[str, ...] = Field(
        default=(),
        description=(
            "The values of its table that may stand there, escape sequences as they stand; any, if "
            "none is named. HL7's null, two quotes, is a value too."
        ),
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.chars_max is None and self.repetitions_max is None and not self.values:
            raise ValueError("give it chars_max, repetitions_max or values")
        return self


class HL7v2Policy(PolicyModel):
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
            'each segment, or "any". MSH-1 to MSH-7, MSH-9 to MSH-12 and MSH-18 always may.'
        ),
    )
    unknown_fields: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "refuse: a message with another field filled is refused. strip: it crosses with that "
            "field empty."
        ),
    )
    required: tuple[FieldPlace, ...] = Field(
        default=(),
        description=(
            "Fields that must be filled, as PID-3: in every segment of that name, and there must "
            "be one; or components, as PID-3.1: in every repetition too."
        ),
    )
    rules: tuple[Hl7FieldRule, ...] = Field(
        default=(), description="Lengths, tables and repetitions of single fields."
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
