"""What becomes of elements that a channel's whitelist lets cross: the walk asks, and knows no more.

Without a treatment each crosses as it is rebuilt.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from validators.dicom.state import Level


class Fate(enum.Enum):
    """What becomes of an element, whatever its value is."""

    CROSSES = enum.auto()
    EMPTIED = enum.auto()  # it stands there without a value, or without items
    LEFT_OUT = enum.auto()


@dataclass(frozen=True, slots=True)
class Value:
    """A rebuilt value that is no bulk data, and its text in `codecs` (charsets.codecs_of).

    Numbers have no text. `depth` is 0 in the outermost data set, 1 in an item of it.
    """

    tag: int
    representation: str
    data: bytes
    text: str
    codecs: tuple[str, ...]
    depth: int


Written = tuple[bytes, str]
"""A value's bytes, padded to an even length, and its text."""


class Treatment(Protocol):
    """Asked of each element in its order, at any depth. Each method may raise Refused."""

    def fate(self, tag: int, representation: str) -> Fate:
        """What becomes of the element."""

    def value(self, found: Value) -> Written | None:
        """What to write for a value; None leaves the element out."""

    def inserted(self, level: Level, behind: int, before: int) -> bytes:
        """Elements to write between two neighbours of the outermost data set."""


class Untreated:
    """The treatment that does nothing."""

    def fate(self, _tag: int, _representation: str) -> Fate:
        """Each crosses."""
        return Fate.CROSSES

    def value(self, found: Value) -> Written | None:
        """The value as it is."""
        return found.data, found.text

    def inserted(self, _level: Level, _behind: int, _before: int) -> bytes:
        """Nothing."""
        return b""
