"""Directories listed in the order of the numbers that their names stand for."""

from __future__ import annotations

import os
from collections.abc import Callable


def numbered_names(
    directory: str | int, parse: Callable[[str], int | None]
) -> list[tuple[int, str]]:
    """The lawful names of a directory with their numbers, ascending; foreign names are left out.

    A directory that does not exist has none. Raises OSError otherwise.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    numbers = ((parse(name), name) for name in names)
    return sorted((number, name) for number, name in numbers if number is not None)
