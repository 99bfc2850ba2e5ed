"""A word hidden in messages, and the search for it in what crosses, however it is spelt there."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from validators.policy import ContentPolicy
from validators.registry import build
from validators.verdict import Accepted, Rejected

HIDDEN = "QX7hiddenWORD"


@dataclass(frozen=True, slots=True)
class Place:
    """One way to hide HIDDEN in a message: what becomes of it, under which keys of the policy.

    gone: the message crosses, as the one without it does. refused: with one of these reasons.
    """

    where: str
    message: bytes
    becomes: Literal["gone"] | tuple[str, ...]
    keys: dict[str, Any] | None = None

    def __str__(self) -> str:
        return self.where


def spellings() -> Iterator[bytes]:
    """HIDDEN as bytes: in three character sets, hex, base64 at each alignment, and backwards."""
    for charset in ("utf-8", "utf-16-le", "utf-16-be"):
        raw = HIDDEN.encode(charset)
        yield from (raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode())
        for shift in range(3):
            digits = base64.b64encode(bytes(shift) + raw)
            # The first and the last digits depend on the neighbours too.
            yield digits[4 * bool(shift) : -4]


def traces(data: bytes) -> list[bytes]:
    """The spellings of HIDDEN that stand in data, whatever case its letters have."""
    low = data.lower()
    return [each for each in spellings() if each in data or each.lower() in low]


def check(place: Place, clean: bytes, policy: dict[str, Any], **schemas: bytes) -> None:
    """Judge the message that hides something, beside the clean one, under policy and its keys."""
    family, keys = next(iter(policy.items()))
    validator = build(ContentPolicy.model_validate({family: keys | (place.keys or {})}), schemas)
    verdict = validator.validate(place.message)
    if place.becomes == "gone":
        assert isinstance(verdict, Accepted), verdict
        assert traces(verdict.payload) == []
        assert verdict == validator.validate(clean)
    else:
        assert isinstance(verdict, Rejected), verdict.payload
        assert verdict.reason.code in place.becomes
        assert traces(verdict.place.encode()) == []
