"""Directories listed in the order of the numbers that their names stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from typing import Final

NAMES_LISTED_MAX: Final = 100_000
"""Of one directory: a stranger who fills it costs the reader no more memory than this."""


def all_names(directory: str | int) -> list[str]:
    """The first `NAMES_LISTED_MAX` names of a directory, in no order. Raises OSError."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in islice(entries, NAMES_LISTED_MAX)]


def numbered_names(
    directory: str | int, parse: Callable[[str], int | None]
) -> list[tuple[int, str]]:
    """The lawful names of a directory with their numbers, ascending; foreign names are left out.

    A directory that does not exist has none. Raises OSError otherwise.
    """
    try:
        names = all_names(directory)
    except FileNotFoundError:
        return []
    numbers = ((parse(name), name) for name in names)
    return sorted((number, name) for number, name in numbers if number is not None)
