"""pydantic's findings in an administrator's words: key, what is wrong, what to do; no values."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ferry_format.identifiers import is_name
from ferry_runtime.toml_lines import KeyPath

_REFERENCE: Final = "/usr/share/doc/ferry-*/configuration.md"


class Mistake(ValueError):
    """What a validator of ours found wrong, and what to do. pydantic takes it as a ValueError."""

    def __init__(self, problem: str, action: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.action = action


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem at one key."""

    path: KeyPath
    problem: str
    action: str


_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("is not text", "Write text in quotes."),
    "string_sub_type": ("is not text", "Write text in quotes."),
    "path_type": ("is not a path", "Write the path as text in quotes."),
    "int_type": ("is not a whole number", "Write a whole number without quotes."),
    "int_from_float": ("is not a whole number", "Write a whole number without a fraction."),
    "int_parsing": ("is not a whole number", "Write a whole number without quotes."),
    "float_type": ("is not a number", "Write a number without quotes."),
    "float_parsing": ("is not a number", "Write a number without quotes."),
    "finite_number": ("is not a finite number", "Write an ordinary number."),
    "bool_type": ("is neither true nor false", "Write true or false without quotes."),
    "bool_parsing": ("is neither true nor false", "Write true or false without quotes."),
    "tuple_type": ("is not a list", 'Write a list in brackets, as ["one", "two"].'),
    "list_type": ("is not a list", 'Write a list in brackets, as ["one", "two"].'),
    "dict_type": ("is not a table", "Write it as a table."),
    "model_type": ("is not a table", "Write it as a table."),
    "model_attributes_type": ("is not a table", "Write it as a table."),
    "datetime_type": ("is not a date and time", "Write it as 2026-11-23T08:00:00Z, unquoted."),
    "datetime_parsing": ("is not a date and time", "Write it as 2026-11-23T08:00:00Z, unquoted."),
    "datetime_from_date_parsing": (
        "is not a date and time",
        "Write it as 2026-11-23T08:00:00Z, unquoted.",
    ),
    "timezone_aware": (
        "is a time without its zone",
        "Add Z for UTC or an offset, as 2026-11-23T08:00:00+08:00.",
    ),
}

_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("is too small", "Write a number above {gt}."),
    "greater_than_equal": ("is too small", "Write {ge} or more."),
    "less_than": ("is too large", "Write a number below {lt}."),
    "less_than_equal": ("is too large", "Write {le} or less."),
    "too_short": ("has too few entries", "Write at least {min_length}."),
    "too_long": ("has too many entries", "Write at most {max_length}."),
    "string_too_short": ("is too short", "Write at least {min_length} characters."),
    "string_too_long": ("is too long", "Write at most {max_length} characters."),
    "literal_error": ("is not one of the allowed words", "Write {expected}."),
    "enum": ("is not one of the allowed words", "Write {expected}."),
    "string_pattern_mismatch": ("does not have the allowed form", "Write it as {pattern}."),
}


def translate(
    model: type[BaseModel], table: dict[str, Any], error: ValidationError
) -> list[Finding]:
    """Every problem of `error`, which came from validating `table` against `model`."""
    found: dict[tuple[KeyPath, str], Finding] = {}
    for detail in error.errors(include_url=False, include_input=False):
        one = _finding(model, table, detail)
        found.setdefault((one.path, one.problem), one)
    return _without_rivals(list(found.values()))


def shown_key(path: KeyPath, table: object) -> str:
    """A key path as people read it: an entry of a list by its name, else by its number from 1."""
    text, here = "", table
    for part in path:
        here = _step(here, part)
        if isinstance(part, int):
            name = here.get("name") if isinstance(here, dict) else None
            known = isinstance(name, str) and is_name(name)
            text += f"[{name}]" if known else f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text


def _step(here: object, part: str | int) -> object:
    if isinstance(here, dict) and isinstance(part, str):
        return here.get(part)
    if isinstance(here, list) and isinstance(part, int) and part < len(here):
        return here[part]
    return None


def _finding(model: type[BaseModel], table: dict[str, Any], detail: ErrorDetails) -> Finding:
    kind, context = detail["type"], detail.get("ctx", {})
    path = _key_path(detail["loc"], table, kind)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, str(context["discriminator"]).strip("'"))
        words = context.get("expected_tags") or _tags(model, path[:-1], table)
        problem = "is missing" if kind.endswith("found") else "is not one of the allowed words"
        return Finding(path, problem, f"Write {words}.")
    if kind == "missing":
        return Finding(path, "is missing", _add(path, _field(model, path, table)))
    if kind == "extra_forbidden":
        return _unknown(model, path, table)
    if kind == "value_error":
        return _own(path, context.get("error"))
    if kind in _TYPES:
        return Finding(path, *_TYPES[kind])
    if kind in _BOUNDS:
        problem, action = _BOUNDS[kind]
        return Finding(path, problem, action.format_map(context))
    # pydantic's own sentence may quote the value; its name for the error does not.
    return Finding(path, f"is not accepted ({kind})", f"See {_REFERENCE} for this key.")


def _own(path: KeyPath, error: object) -> Finding:
    if isinstance(error, Mistake):
        return Finding(path, error.problem, error.action)
    hint = str(error) if isinstance(error, ValueError) else f"see {_REFERENCE}"
    return Finding(path, "is not accepted", f"{hint[:1].upper()}{hint[1:]}.")


def _key_path(location: Iterable[str | int], table: object, kind: str) -> KeyPath:
    """Return pydantic's location without the parts that name a branch of a union."""
    parts, path, here = list(location), list[str | int](), table
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int)
        ):
            path.append(part)
            here = _step(here, part)
        elif is_last and kind in ("missing", "extra_forbidden"):
            path.append(part)
    return tuple(path)


def _add(path: KeyPath, field: FieldInfo | None) -> str:
    described = f": {field.description}" if field is not None and field.description else "."
    is_table = field is not None and any(_models(field.annotation))
    return f"Add {'the table' if is_table else 'the key'} {path[-1]}{described}"


def _unknown(model: type[BaseModel], path: KeyPath, table: object) -> Finding:
    known = sorted({name for one in _models_at(model, path[:-1], table) for name in _names(one)})
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    if near:
        return Finding(path, "is no known key", f"Did you mean {near[0]}? Otherwise remove it.")
    listed = f" Known here: {', '.join(known)}." if known else ""
    return Finding(path, "is no known key", f"Remove it.{listed}")


def _names(model: type[BaseModel]) -> Iterable[str]:
    return (field.alias or name for name, field in model.model_fields.items())


def _field(model: type[BaseModel], path: KeyPath, table: object) -> FieldInfo | None:
    for one in _models_at(model, path[:-1], table):
        for name, field in one.model_fields.items():
            if (field.alias or name) == path[-1]:
                return field
    return None


def _models_at(model: type[BaseModel], path: KeyPath, table: object) -> list[type[BaseModel]]:
    """The models that may stand at `path`; of a tagged union, the one that the data names."""
    models, here = [model], table
    for part in path:
        here = _step(here, part)
        if isinstance(part, str):
            models = [
                inner
                for one in models
                for name, field in one.model_fields.items()
                if (field.alias or name) == part
                for inner in _models(field.annotation)
            ]
    kind = here.get("kind") if isinstance(here, dict) else None
    return [one for one in models if _has_kind(one, kind)] or models


def _has_kind(model: type[BaseModel], kind: object) -> bool:
    field = model.model_fields.get("kind")
    return field is not None and kind in typing.get_args(field.annotation)


def _tags(model: type[BaseModel], path: KeyPath, table: object) -> str:
    fields = (one.model_fields.get("kind") for one in _models_at(model, path, table))
    words = (word for field in fields if field for word in typing.get_args(field.annotation))
    return ", ".join(f"'{word}'" for word in words)


def _models(annotation: object) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)


def _without_rivals(findings: list[Finding]) -> list[Finding]:
    """Drop what only follows from a problem further in the data.

    Of the branches of a union that all failed, the one that got further counts; and a list whose
    entries are all wrong is not "too short".
    """
    following = {_BOUNDS["literal_error"][0], _BOUNDS["too_short"][0]}
    return [
        one
        for one in findings
        if not (one.problem in following and any(_is_inside(other, one) for other in findings))
    ]


def _is_inside(inner: Finding, outer: Finding) -> bool:
    return len(inner.path) > len(outer.path) and inner.path[: len(outer.path)] == outer.path
