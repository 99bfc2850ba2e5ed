"""Policy of channels whose messages are large objects."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from validators.policy.terms import PolicyModel

OBJECT_BYTES_MAX: Final = 2**42
"""The format's own limit for one object."""


class ObjectPolicy(PolicyModel):
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
