"""Policy of JSON channels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from validators.embedded import FileType
from validators.policy.hl7v2 import MessageTypeSource
from validators.policy.terms import (
    PAYLOAD_BYTES_MAX,
    AttachmentBytesMax,
    Fidelity,
    JsonPointer,
    MessageBytesMax,
    PolicyModel,
    Sha256Hex,
)


class JsonFile(PolicyModel):
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


class JsonPolicy(PolicyModel):
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
