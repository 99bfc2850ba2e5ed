"""Words that several families' policies share."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from validators.embedded import FileType

PAYLOAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""The format's own limit for one payload; a policy may only lower it."""
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


def matches(pattern: str, hint: str) -> AfterValidator:
    """Return a pydantic check for text that is `pattern` as a whole; `hint` says how to mend it."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(hint)
        return text

    return AfterValidator(check)


JsonPointer = Annotated[
    str,
    matches(r"(/([^~/]|~[01])*)+", "write a JSON pointer (RFC 6901) as /header/messageId"),
]
OrderBy = Annotated[
    str,
    matches(
        r"channel|[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(\.[1-9][0-9]{0,2})?|(/([^~/]|~[01])*)+",
        "write channel, an HL7 v2 field or component as PID-3 or PID-3.1, or a JSON pointer or an "
        "XML path as /patient/id",
    ),
]
Sha256Hex = Annotated[str, matches(r"[0-9a-f]{64}", "write 64 lower-case hex digits")]


class PolicyModel(BaseModel):
    """A table of policy.toml: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")
