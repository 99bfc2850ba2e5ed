"""The parts of a configuration file that hold by themselves, whatever is wrong with the others.

For looking at a host whose configuration is broken; nothing runs from it.
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from ferry_runtime.configuration import DOCUMENT_BYTES_MAX, Document
from ferry_runtime.regular_file import read_regular


def valid_parts(model: type[Document], path: Path) -> dict[str, Any]:
    """The valid tables of the file at `path` by name; of a list of tables, the valid entries.

    Tables that may be left out have their defaults. A file that is missing, unreadable or no TOML
    has no valid part.
    """
    try:
        table = tomllib.loads(read_regular(path, DOCUMENT_BYTES_MAX).decode("utf-8"))
    except (OSError, ValueError):
        return {}
    context = {"folder": path.absolute().parent}
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        value = table.get(field.alias or name)
        if value is None:
            default = field.get_default(call_default_factory=True, validated_data={})
            if default is not PydanticUndefined:
                found[name] = default
        elif isinstance(value, list):
            found[name] = tuple(_valid_entries(field.annotation, value, context))
        else:
            for part in _validated(field.annotation, value, context):
                found[name] = part
    return found


def _valid_entries(annotation: Any, entries: list[Any], context: dict[str, Path]) -> Iterator[Any]:
    kind = typing.get_args(annotation)[0]
    for entry in entries:
        yield from _validated(kind, entry, context)


def _validated(kind: Any, value: object, context: dict[str, Path]) -> Iterator[Any]:
    try:
        yield TypeAdapter(kind).validate_python(value, context=context)
    except ValidationError:
        return
