"""One JSON channel: strict parsing, the channel's JSON Schema (2020-12), canonical writing.

No reference ever leaves the schema's own file, unknown formats are refused when the policy is
loaded, and patterns run on a linear-time engine: no message can make them slow. Such an engine has
no look-around and no back-references; a schema that uses them is refused too.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from ferry_format.reasons import (
    HEADER_INCOMPLETE,
    LIMIT_EXCEEDED,
    NOT_WELL_FORMED,
    SCHEMA_MISMATCH,
    Refused,
)
from validators import json_pointer, json_text
from validators.json_files import JsonFiles
from validators.judging import judge
from validators.order_key import digest_of
from validators.verdict import Accepted, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from validators.json_text import Json
    from validators.policy import JsonPolicy

CONTENT_TYPE: Final = "application/json"
CONTROL_ID_CHARS_MAX: Final = 199
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SCHEMA_DEPTH_MAX: Final = 200
_PATTERN_BYTES_MAX: Final = 1 << 20
_MESSAGE_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}")


class SchemaError(ValueError):
    """A schema file that cannot serve: absent, not the one signed for, or not usable."""


class Schema:
    """A schema, compiled once. Raises SchemaError where it cannot serve."""

    def __init__(self, file: str, sha256: str, schemas: Mapping[str, bytes]) -> None:
        schema = _read_schema(file, sha256, schemas)
        self.names = frozenset(_property_names(schema))
        self._compiled = _compile(file, schema)

    def check(self, value: Json) -> None:
        """Pass a value that the schema accepts. Raises Refused(SCHEMA_MISMATCH)."""
        if not self._compiled.is_valid(value):
            raise Refused(SCHEMA_MISMATCH, self._place_of_mismatch(value))

    def _place_of_mismatch(self, value: Json) -> str:
        error = next(self._compiled.iter_errors(value))
        place = "$"
        for step in error.instance_path:
            if isinstance(step, int):
                place += f"[{step}]"
            else:
                place += f".{step}" if step in self.names else ".*"
        return f"{place} ({error.kind.name})"


class JsonValidator:
    """A channel's schema, compiled once and applied to each message."""

    def __init__(
        self, policy: JsonPolicy, schemas: Mapping[str, bytes], order_by: str | None = None
    ) -> None:
        self._policy = policy
        self._order_by = None if order_by is None else json_pointer.tokens(order_by)
        self._schema = Schema(policy.schema_file, policy.schema_sha256, schemas)
        self._files = JsonFiles(policy.files)
        self._control_id = policy.control_id and json_pointer.tokens(policy.control_id)
        from_pointer = policy.message_type.startswith("/")
        self._type_pointer = json_pointer.tokens(policy.message_type) if from_pointer else None

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        return judge(payload, self._policy.message_bytes_max, self._accept)

    def _accept(self, payload: bytes) -> Accepted:
        value = json_text.parse(payload, self._policy.depth_max, self._schema.names)
        value = self._files.checked(value)
        self._schema.check(value)
        accepted = payload if self._policy.fidelity == "verbatim" else json_text.write(value)
        return Accepted(
            accepted,
            self._message_type(value),
            self._control_id_of(value),
            self._order_key(value),
        )

    def _message_type(self, value: Json) -> str:
        if self._type_pointer is None:
            return self._policy.message_type
        found = json_pointer.resolve(value, self._type_pointer)
        if not isinstance(found, str):
            raise Refused(HEADER_INCOMPLETE, self._policy.message_type)
        if _MESSAGE_TYPE.fullmatch(found) is None:
            raise Refused(NOT_WELL_FORMED, self._policy.message_type)
        return found

    def _control_id_of(self, value: Json) -> str | None:
        pointer = self._policy.control_id
        if not self._control_id or pointer is None:
            return None
        found = json_pointer.resolve(value, self._control_id)
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            raise Refused(HEADER_INCOMPLETE, pointer)
        text = str(found)
        if len(text) > CONTROL_ID_CHARS_MAX:
            raise Refused(LIMIT_EXCEEDED, pointer)
        return text

    def _order_key(self, value: Json) -> bytes | None:
        found = None if self._order_by is None else json_pointer.resolve(value, self._order_by)
        return digest_of(str(found)) if isinstance(found, str | int) and found != "" else None


def _read_schema(file: str, sha256: str, schemas: Mapping[str, bytes]) -> dict[str, Any]:
    data = schemas.get(file)
    if data is None:
        raise SchemaError(f"{file}: the schema file is absent")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SchemaError(f"{file}: its SHA-256 is not the policy's schema_sha256")
    try:
        schema = json_text.parse(data, _SCHEMA_DEPTH_MAX)
    except Refused as refused:
        raise SchemaError(f"{file}: {refused}") from None
    if not isinstance(schema, dict):
        raise SchemaError(f"{file}: a schema is an object")
    if schema.get("$schema", _DIALECT) != _DIALECT:
        raise SchemaError(f"{file}: $schema must be {_DIALECT}")
    return schema


def _compile(name: str, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(
                size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX
            ),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        first_line = str(error).splitlines()[0]
        raise SchemaError(f"{name}: {first_line}") from None


def _property_names(schema: object) -> Iterator[str]:
    """Yield every name that the schema itself declares: those are no patient's data."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                yield from value
            yield from _property_names(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _property_names(each)
