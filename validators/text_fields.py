"""Single texts that a channel declares (columns, form fields): their kind, pattern and values.

Compiled to JSON Schema, whose patterns run in linear time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from ferry_format.reasons import FIELD_MISSING, LIMIT_EXCEEDED, SCHEMA_MISMATCH, Refused
from validators.json_schema import SchemaError

if TYPE_CHECKING:
    from validators.policy import TextField

Rule = jsonschema_rs.Draft202012Validator
NUMBERS: Final = {
    "integer": "^-?(0|[1-9][0-9]*)$",
    "decimal": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$",
}
_FORMATS: Final = {"date": "date", "datetime": "date-time"}
_PATTERN_BYTES_MAX: Final = 1 << 20


def rule_of(field: TextField, what: str) -> Rule | None:
    """What a value must satisfy, None if nothing. Raises SchemaError if a pattern cannot serve.

    `what` names the field to the administrator.
    """
    every: list[dict[str, Any]] = []
    if field.type in NUMBERS:
        every.append({"pattern": NUMBERS[field.type]})
    if field.type in _FORMATS:
        every.append({"format": _FORMATS[field.type]})
    if field.pattern is not None:
        every.append({"pattern": f"^(?:{field.pattern})$"})
    if field.values:
        every.append({"enum": list(field.values)})
    if not every:
        return None
    try:
        return jsonschema_rs.Draft202012Validator(
            {"allOf": every},
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(
                size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX
            ),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(f"{what}: {str(error).splitlines()[0]}") from None


def check(value: str, field: TextField, rule: Rule | None, place: str) -> None:
    """Pass a value that its field may hold.

    Raises Refused(FIELD_MISSING, LIMIT_EXCEEDED, SCHEMA_MISMATCH).
    """
    if not value:
        if field.required:
            raise Refused(FIELD_MISSING, place)
    elif len(value) > field.chars_max:
        raise Refused(LIMIT_EXCEEDED, f"{place}: more than {field.chars_max} characters")
    elif rule is not None and not rule.is_valid(value):
        raise Refused(SCHEMA_MISMATCH, place)
