"""Files in JSON: base64 in the fields that a channel names, of the types that it names for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, Refused
from validators import embedded, json_pointer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from validators.json_text import Json
    from validators.policy import JsonFile

_EACH: Final = "*"


class JsonFiles:
    """A channel's named fields."""

    def __init__(self, files: Sequence[JsonFile]) -> None:
        self._files = [(json_pointer.tokens(each.at), each) for each in files]

    def checked(self, value: Json) -> Json:
        """The value with each named file in one spelling; what is null or absent is no file.

        Raises Refused(ATTACHMENT_NOT_ALLOWED, NOT_WELL_FORMED, LIMIT_EXCEEDED).
        """
        for steps, file in self._files:
            value = _checked(value, steps, file)
        return value


def _checked(value: Json, steps: tuple[str, ...], file: JsonFile) -> Json:
    if not steps:
        return _spelt(value, file)
    step, below = steps[0], steps[1:]
    if isinstance(value, dict):
        for key in value if step == _EACH else {step} & value.keys():
            value[key] = _checked(value[key], below, file)
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[Json]", value)):
            if step in {_EACH, str(index)}:
                value[index] = _checked(each, below, file)
    return value


def _spelt(value: Json, file: JsonFile) -> Json:
    if value is None:
        return value
    if not isinstance(value, str):
        raise Refused(ATTACHMENT_NOT_ALLOWED, file.at)
    digits = embedded.without_white_space(value)
    embedded.check(embedded.decoded(digits, file.bytes_max, file.at), file.types, None, file.at)
    return digits
