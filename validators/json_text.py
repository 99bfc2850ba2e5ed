"""JSON text: parsed more strictly than RFC 8259 asks, written in one canonical form.

Strict, because two readers must never see two messages: no duplicate keys, no NaN, no number that a
double does not hold, no lone surrogates, no control characters, bounded depth.

Canonical like RFC 8785 (no white space, sorted keys, shortest string escapes) but for two things:
keys sort by code point, and a number with a fraction or an exponent keeps its digits as sent, since
5.10 and 5.1 mmol/l are two statements. write(parse(text)) is a fixed point.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ferry_format.reasons import (
    CONTROL_CHARACTER,
    DUPLICATE_KEY,
    LIMIT_EXCEEDED,
    NOT_DECODABLE,
    NOT_WELL_FORMED,
    NUMBER_NOT_ALLOWED,
    Refused,
)
from validators.characters import find_forbidden

if TYPE_CHECKING:
    from collections.abc import Collection

Json = None | bool | int | Decimal | str | list[Any] | dict[str, Any]

INTEGER_MAX: Final = 2**53 - 1
"""What every double holds exactly (RFC 8259, chapter 6; I-JSON)."""
_NUMBER_CHARS_MAX: Final = 32
"""A double needs 17 digits, sign, point and exponent; more digits are refused unread."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def parse(data: bytes, depth_max: int, known_names: Collection[str] = ()) -> Json:
    """Return the value of UTF-8 JSON text.

    `known_names` are keys that a place may show; any other key might be data. Raises
    Refused(NOT_DECODABLE, NOT_WELL_FORMED, DUPLICATE_KEY, NUMBER_NOT_ALLOWED, CONTROL_CHARACTER,
    LIMIT_EXCEEDED).
    """
    try:
        # A mark says nothing of the value (RFC 8259, 8.1); genuine senders put one. One only.
        text = data.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(NOT_DECODABLE, f"byte {error.start}") from None

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            raise Refused(DUPLICATE_KEY, _first_duplicate(pairs, known_names))
        return built

    try:
        value: Json = json.loads(
            text,
            object_pairs_hook=unique,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_not_a_number,
        )
    except RecursionError:
        raise Refused(LIMIT_EXCEEDED, f"deeper than {depth_max}") from None
    except json.JSONDecodeError as error:
        raise Refused(NOT_WELL_FORMED, f"character {error.pos}") from None
    _check(value, "$", depth_max, known_names)
    return value


def write(value: Json) -> bytes:
    """Return the canonical bytes of a value that `parse` returned."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts).encode()


def _first_duplicate(pairs: list[tuple[str, Any]], known_names: Collection[str]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return f"$..{key}" if key in known_names else "$"
        seen.add(key)
    return "$"


def _integer(token: str) -> int:
    # int() of a long token is quadratic: the length comes first.
    if len(token) > _NUMBER_CHARS_MAX or abs(value := int(token)) > INTEGER_MAX:
        raise Refused(NUMBER_NOT_ALLOWED, "an integer beyond 2^53 - 1")
    return value


def _decimal(token: str) -> Decimal:
    """Accept a number if its value is that of the shortest text of the nearest double."""
    if len(token) > _NUMBER_CHARS_MAX:
        raise Refused(NUMBER_NOT_ALLOWED, f"a number of more than {_NUMBER_CHARS_MAX} characters")
    nearest = float(token)
    if not math.isfinite(nearest):
        raise Refused(NUMBER_NOT_ALLOWED, "a number beyond the range of a double")
    try:
        value = Decimal(token)
    except InvalidOperation:
        raise Refused(NUMBER_NOT_ALLOWED, "a number beyond the range of a double") from None
    if value != Decimal(repr(nearest)):
        raise Refused(NUMBER_NOT_ALLOWED, "a number with more digits than a double holds")
    if value.as_integer_ratio()[1] == 1 and abs(value) > INTEGER_MAX:
        raise Refused(NUMBER_NOT_ALLOWED, "an integer beyond 2^53 - 1")
    return value


def _not_a_number(_: str) -> NoReturn:
    raise Refused(NOT_WELL_FORMED, "NaN or Infinity")


def _check(value: Json, place: str, depth_left: int, known_names: Collection[str]) -> None:
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, dict):
        if not depth_left:
            raise Refused(LIMIT_EXCEEDED, "depth")
        for key, each in value.items():
            below = f"{place}.{key if key in known_names else '*'}"
            _check_text(key, below)
            if each.__class__ is not int:
                _check(each, below, depth_left - 1, known_names)
    elif isinstance(value, list):
        if not depth_left:
            raise Refused(LIMIT_EXCEEDED, "depth")
        for index, each in enumerate(value):
            if each.__class__ is not int:
                _check(each, f"{place}[{index}]", depth_left - 1, known_names)


def _check_text(text: str, place: str) -> None:
    forbidden = find_forbidden(text)
    if forbidden is None:
        return
    if "\ud800" <= text[forbidden] <= "\udfff":
        raise Refused(NOT_WELL_FORMED, f"{place}: lone surrogate")
    raise Refused(CONTROL_CHARACTER, place)


def _write(value: Json, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, int | Decimal):
        parts.append(str(value))
    elif isinstance(value, list):
        before = "["
        for each in value:
            parts.append(before)
            _write(each, parts)
            before = ","
        parts.append("]" if value else "[]")
    else:
        before = "{"
        for key in sorted(value):
            parts.append(f"{before}{encode_basestring(key)}:")
            _write(value[key], parts)
            before = ","
        parts.append("}" if value else "{}")
