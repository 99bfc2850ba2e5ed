"""Policy of CSV channels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from validators.policy.terms import (
    PAYLOAD_BYTES_MAX,
    Fidelity,
    MessageBytesMax,
    PolicyModel,
)
from validators.policy.text_fields import ConstantType, TextField


class CsvColumn(TextField):
    """One column. What is not required may be empty."""


class CsvPolicy(PolicyModel):
    """CSV (RFC 4180) with declared columns."""

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
    line_breaks: Literal["refuse", "space", "keep"] = Field(
        default="refuse",
        description=(
            "What becomes of line breaks in quoted fields: refuse takes no such message, space "
            "writes a space for each, keep lets them cross as LF."
        ),
    )
    message_type: ConstantType = Field(
        default="csv", description="Name of the messages' type for records."
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
        changes = changes or self.line_breaks == "space"
        if self.fidelity == "verbatim" and changes:
            raise ValueError('fidelity = "verbatim" leaves every byte: change nothing')
        return self
