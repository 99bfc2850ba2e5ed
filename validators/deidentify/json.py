"""JSON messages as slots: by the pointers that a channel names, and no leaf without one.

Nothing says what a hospital's own JSON means, so each string and number must be named; true, false
and null say nothing by themselves and cross. A key that no pointer writes out is its sender's word:
it must look like a field's name, and is looked through as a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, FIELD_NOT_ALLOWED, Refused
from validators import json_pointer, json_text
from validators.deidentify.slots import Part, Put, Slot

if TYPE_CHECKING:
    from validators.json_text import Json
    from validators.policy import JsonPolicy
    from validators.policy.deidentify import DeidentificationPolicy, Kind

Steps = tuple[str, ...]

_EACH: Final = "*"
_ALL_BELOW: Final = "**"
_FIELD_NAME: Final = re.compile(r"(?!.*[0-9]{5})[A-Za-z_$@][A-Za-z0-9_.$@-]{0,63}")
"""Five digits in a row are a date or a number."""
_GONE: Final = object()
"""Stands in an array for an item that goes."""


class JsonPlaces:
    """Named pointers; of several that name a place, the one that says most counts."""

    def __init__(self, pointers: Sequence[tuple[str, Kind]]) -> None:
        named = [(json_pointer.tokens(at), at, kind) for at, kind in pointers]
        self._named = sorted(named, key=lambda each: _rank(each[0]))
        self._known = frozenset(step for steps, _, _ in named for step in steps)

    def knows(self, key: str) -> bool:
        """Whether a pointer writes out this key."""
        return key in self._known

    def shown(self, path: Steps) -> str:
        """A path by the names that the policy knows: others might be data."""
        return "".join(f"/{step}" if step in self._known else "/?" for step in path)

    def find(self, path: Steps) -> tuple[str, Kind] | None:
        """The pointer that names a place, and its kind."""
        for steps, at, kind in self._named:
            if _names(steps, path):
                return at, kind
        return None


class JsonFamily:
    """Where persons stand in the messages of one channel."""

    def __init__(self, policy: DeidentificationPolicy, content: JsonPolicy) -> None:
        self._places = JsonPlaces([(place.at, place.holds) for place in policy.places])
        self._files = JsonPlaces([(file.at, "remove") for file in content.files])
        self._removes_files = policy.files == "remove"
        self._patient = None if policy.patient is None else json_pointer.tokens(policy.patient)
        self._depth_max = content.depth_max

    def open(self, payload: bytes) -> JsonDocument:
        """Parse an accepted message. Raises Refused(FIELD_NOT_ALLOWED, ATTACHMENT_NOT_ALLOWED)."""
        holder: list[Any] = [json_text.parse(payload, self._depth_max)]
        slots = list(self._value(holder[0], (), partial(_put_item, holder, 0)))
        return JsonDocument(holder, Part(slots, self._patients(holder[0])))

    def _value(self, value: Json, path: Steps, put: Put) -> Iterator[Slot]:
        if isinstance(value, dict):
            for key in list(value):
                yield from self._value(value[key], (*path, key), partial(_put_member, value, key))
                # Behind what stands below: it takes the member away with all of that.
                yield from self._key(value, key, path)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield from self._value(each, (*path, _EACH), partial(_put_item, value, index))
        elif isinstance(value, str | int | Decimal) and not isinstance(value, bool):
            yield from self._leaf(value, path, put)

    def _key(self, holder: dict[str, Any], key: str, path: Steps) -> Iterator[Slot]:
        if self._places.knows(key) or self._files.knows(key):
            return
        place = self._places.shown((*path, key))
        if _FIELD_NAME.fullmatch(key) is None:
            raise Refused(FIELD_NOT_ALLOWED, f"{place}: de-identification")
        yield Slot(place, "text", key, lambda _: holder.pop(key, None))

    def _leaf(self, value: str | int | Decimal, path: Steps, put: Put) -> Iterator[Slot]:
        file = self._files.find(path)
        if file is not None and not self._removes_files:
            raise Refused(ATTACHMENT_NOT_ALLOWED, f"{file[0]}: de-identification")
        found = file or self._places.find(path)
        if found is None:
            raise Refused(FIELD_NOT_ALLOWED, f"{self._places.shown(path)}: de-identification")
        at, kind = found
        if kind != "keep" and value != "":
            is_text = isinstance(value, str)
            yield Slot(at, kind, str(value), put if is_text else partial(_put_number, put))

    def _patients(self, value: Json) -> set[str]:
        if self._patient is None:
            return set()
        found = json_pointer.resolve(value, self._patient)
        is_number = isinstance(found, str | int) and not isinstance(found, bool)
        return {str(found)} if is_number and found != "" else set()


class JsonDocument:
    """One message; what is put into its slots stands in `write`."""

    def __init__(self, holder: list[Any], part: Part) -> None:
        self.parts = (part,)
        self._holder = holder

    def write(self) -> bytes:
        """The message as it stands now."""
        left = _without_gone(self._holder)
        return json_text.write(left[0]) if left else b""


def _rank(steps: Steps) -> tuple[bool, int, int]:
    """Exact ones first, then long ones, then those that name most of their steps."""
    return steps[-1] == _ALL_BELOW, -len(steps), steps.count(_EACH)


def _names(steps: Steps, path: Steps) -> bool:
    if steps[-1] == _ALL_BELOW:
        steps = steps[:-1]
        path = path[: len(steps)]
    return len(steps) == len(path) and all(
        step in {_EACH, each} for step, each in zip(steps, path, strict=True)
    )


def _put_member(holder: dict[str, Any], key: str, value: object | None) -> None:
    if value is None:
        del holder[key]
    else:
        holder[key] = value


def _put_item(items: list[Any], index: int, value: object | None) -> None:
    items[index] = _GONE if value is None else value


def _put_number(put: Any, value: str | None) -> None:
    """A number stays one; what is none any more goes."""
    put(int(value) if value is not None and value.isdecimal() else None)


def _without_gone(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_gone(each) for each in value if each is not _GONE]
    if isinstance(value, dict):
        return {key: _without_gone(each) for key, each in value.items()}
    return value
