"""Policy of form channels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from validators.policy.terms import PAYLOAD_BYTES_MAX, Fidelity, MessageBytesMax, PolicyModel
from validators.policy.text_fields import ConstantType, TextField


class FormField(TextField):
    """One field of a form. What is not required may be empty or absent."""

    repetitions_max: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=1, description="How often it may stand in a message."
    )


class FormPolicy(PolicyModel):
    """Forms (application/x-www-form-urlencoded) with declared fields."""

    fields: Annotated[tuple[FormField, ...], Field(min_length=1, max_length=1000)] = Field(
        description="The fields, in the order in which they cross; one table each."
    )
    charset: Literal["UTF-8", "GB18030"] = Field(
        default="UTF-8", description="Character set of what comes and of what crosses."
    )
    unknown_fields: Literal["refuse", "strip"] = Field(
        default="refuse",
        description=(
            "refuse: a message with another field is refused. strip: it crosses without it."
        ),
    )
    message_type: ConstantType = Field(
        default="form", description="Name of the messages' type for records."
    )
    control_id: str | None = Field(
        default=None,
        description=(
            "Field with the id by which the internal system knows a message; it becomes searchable."
        ),
    )
    message_bytes_max: MessageBytesMax = PAYLOAD_BYTES_MAX
    fidelity: Fidelity = "rebuilt"

    @model_validator(mode="after")
    def _fields_are_different(self) -> Self:
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError("two fields have one name")
        if self.control_id is not None and self.control_id not in names:
            raise ValueError("control_id names no field")
        if self.fidelity == "verbatim" and self.unknown_fields == "strip":
            raise ValueError('fidelity = "verbatim" leaves every byte: strip nothing')
        return self
