"""What a family shows of a message: places that may say who somebody is, each with what it holds.

A family opens a message as a `Document`; what becomes of each value is not its matter.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from validators.policy.deidentify import Kind

Put = Callable[[str | None], None]
"""Writes a value in place of the old one; None takes it away."""


class Form(enum.Enum):
    """What can stand at a place."""

    TEXT = enum.auto()
    DATE = enum.auto()  # a date of any precision, and nothing else
    DAY = enum.auto()  # a date of eight digits
    INSTANT = enum.auto()  # a date with time and zone


@dataclass(slots=True)
class Slot:
    """One value. `place` is made of names of the standard or policy and never holds data.

    `owner` is one for all parts of one person's name, and 0 where a name stands by itself.
    """

    place: str
    kind: Kind
    value: str
    put: Put
    form: Form = Form.TEXT
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What concerns one patient: a message, or a row of a table.

    `slots` are all places that are not simply kept, in the message's order; `patients` the numbers
    of the patients who are named; `moment` the part's own date, if its family has one.
    """

    slots: Sequence[Slot]
    patients: Collection[str]
    moment: str | None = None


class Document(Protocol):
    """One parsed message, to be changed in place."""

    @property
    def parts(self) -> Sequence[Part]:
        """The message as one part, or as many as it has rows."""

    def write(self) -> bytes:
        """The message as it stands now."""


class Family(Protocol):
    """A family's knowledge of where people stand in its messages."""

    def open(self, payload: bytes) -> Document:
        """Parse an accepted, rebuilt message. Raises Refused where a place may not cross."""
