"""Policy of single texts: CSV columns and form fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from validators.policy.terms import PolicyModel, matches


class TextField(PolicyModel):
    """What is not required may be empty."""

    name: Annotated[str, matches(r'[^"\x00-\x1f\x7f]{1,64}', "write a name, without quotes")] = (
        Field(description="The column's or field's name, as messages have it.")
    )
    type: Literal["text", "integer", "decimal", "date", "datetime"] = Field(
        default="text",
        description=(
            "What it holds: dates as 2026-11-24, datetimes as in RFC 3339, decimals with a point."
        ),
    )
    required: bool = Field(
        default=False, description="Whether it must be filled wherever it may stand."
    )
    chars_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000, description="Most characters in it."
    )
    pattern: str | None = Field(
        default=None,
        description=(
            "Regular expression for the whole text, without look-around and back-references."
        ),
    )
    values: tuple[str, ...] = Field(
        default=(), description="The values that may stand in it; any, if none is named."
    )


ConstantType = Annotated[str, matches(r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}", "write a name")]
