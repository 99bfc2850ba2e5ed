"""JSON pointers (RFC 6901) into a parsed message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from validators.json_text import Json

_ARRAY_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


def tokens(pointer: str) -> tuple[str, ...]:
    """The steps that a pointer names."""
    parts = pointer.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def resolve(value: Json, steps: tuple[str, ...]) -> Json:
    """Return what the steps lead to, or None where nothing stands there."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _ARRAY_INDEX.fullmatch(step):
            index = int(step)
            value = cast("Json", value[index]) if index < len(value) else None
        else:
            return None
    return value
