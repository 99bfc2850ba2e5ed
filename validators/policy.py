"""The content part of a channel in policy.toml: what the security administrator decides.

Models only; `registry.build` turns them into validators. Unknown keys are refused.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PAYLOAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""The format's own limit for one payload; a policy may only lower it."""

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

    messages: Annotated[tuple[MessagePattern, ...], Field(min_length=1)]
    segments: Literal["any"] | tuple[SegmentPattern, ...]
    versions: Literal["any"] | tuple[VersionName, ...] = "any"
    header: Literal["strict", "lax"] = "strict"
    default_charset: CharsetName = "UTF-8"
    charset_out: Literal["as-received", "UTF-8", "GB18030"] = "as-received"
    escapes: Literal["standard", "any"] = "standard"
    hex_line_breaks: bool = False
    fidelity: Fidelity = "rebuilt"
    message_bytes_max: Annotated[int, Field(ge=1, le=PAYLOAD_BYTES_MAX)] = PAYLOAD_BYTES_MAX
    segments_max: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    fields_max: Annotated[int, Field(ge=1, le=10_000)] = 300
    field_chars_max: Annotated[int, Field(ge=1, le=PAYLOAD_BYTES_MAX)] = 4 * 1024 * 1024
    repetitions_max: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    components_max: Annotated[int, Field(ge=1, le=10_000)] = 200

    @model_validator(mode="after")
    def _verbatim_converts_nothing(self) -> Self:
        if self.fidelity == "verbatim" and self.charset_out != "as-received":
            raise ValueError('fidelity = "verbatim" leaves every byte: drop charset_out')
        return self


class JsonPolicy(_Model):
    """JSON judged by one JSON Schema (2020-12), which is named by file and hash."""

    schema_file: Annotated[str, Field(min_length=1)]
    schema_sha256: Annotated[str, _matches(r"[0-9a-f]{64}", "write 64 lower-case hex digits")]
    message_type: MessageTypeSource = "json"
    control_id: JsonPointer | None = None
    depth_max: Annotated[int, Field(ge=1, le=200)] = 64
    message_bytes_max: Annotated[int, Field(ge=1, le=PAYLOAD_BYTES_MAX)] = PAYLOAD_BYTES_MAX
    fidelity: Fidelity = "rebuilt"


class ContentPolicy(_Model):
    """Exactly one family a channel."""

    hl7v2: HL7v2Policy | None = None
    json_: Annotated[JsonPolicy | None, Field(alias="json")] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.hl7v2 is None) == (self.json_ is None):
            raise ValueError("name exactly one content family: hl7v2 or json")
        return self
