"""The configuration reference as Markdown, generated from the models; docs cannot drift from code.

Knows no agent: the models are passed in.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_WORDS: Final[Mapping[object, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    AwareDatetime: "date and time with zone",
    types.NoneType: "",
}


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """One file to describe."""

    title: str
    model: type[BaseModel]
    introduction: str


def markdown(files: Sequence[ReferenceFile], introduction: str) -> str:
    """The reference page."""
    parts = ["# Configuration", "", introduction, ""]
    for file in files:
        parts += [f"## {file.title}", "", file.introduction, ""]
        for heading, model in _tables(file.model):
            parts += [f"### {heading}", "", *_table(model), ""]
    return "\n".join(parts).rstrip() + "\n"


def _tables(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The document's own keys, then each table with its heading, depth first."""
    yield "At the top", model
    yield from _inner_tables(model, "")


def _inner_tables(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for key, field in _keys(model):
        path = f"{prefix}{key}"
        for inner in _models(field.annotation):
            heading = f"`[[{path}]]`" if _is_list(field) else f"`[{path}]`"
            kind = inner.model_fields.get("kind")
            if kind is not None:
                heading += f' with `kind = "{typing.get_args(kind.annotation)[0]}"`'
            yield heading, inner
            yield from _inner_tables(inner, f"{path}.")


def _table(model: type[BaseModel]) -> list[str]:
    sentence = (model.__doc__ or "").split("\n")[0].strip()
    rows = [
        f"| `{key}` | {_value(field)} | {_default(field)} | {_cell(field.description or '')} |"
        for key, field in _keys(model)
        if not any(_models(field.annotation))
    ]
    if not rows:
        return [sentence]
    head = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    return [sentence, "", *head, *rows]


def _keys(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def _models(annotation: object) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from _models(inner)


def _is_list(field: FieldInfo) -> bool:
    return typing.get_origin(field.annotation) is tuple


def _value(field: FieldInfo) -> str:
    bounds = ", ".join(_bounds(field.metadata, is_text=field.annotation is str))
    return _cell(_kind(field.annotation) + (f", {bounds}" if bounds else ""))


def _kind(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        bounds = ", ".join(_bounds(_flat(inner[1:]), is_text=inner[0] is str))
        return _kind(inner[0]) + (f", {bounds}" if bounds else "")
    if origin is Literal:
        return ", ".join(f'`"{word}"`' if isinstance(word, str) else f"`{word}`" for word in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(word for word in map(_kind, inner) if word)
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"table of {_kind(inner[1])}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", "value"))


def _flat(metadata: Iterable[object]) -> Iterator[object]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        else:
            yield one


def _bounds(metadata: Iterable[object], *, is_text: bool) -> Iterator[str]:
    unit = "characters" if is_text else "entries"
    for bound in metadata:
        match bound:
            case Ge(ge):
                yield f"{ge} or more"
            case Gt(gt):
                yield f"above {gt}"
            case Le(le):
                yield f"at most {le}"
            case Lt(lt):
                yield f"below {lt}"
            case MinLen(length):
                yield f"at least {length} {unit}"
            case MaxLen(length):
                yield f"at most {length} {unit}"
            case _:
                pass


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return "`{}`" if value == {} else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
