"""Every pattern that a validator keeps takes a time that grows with the text, no faster."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

import validators
from tests.simulator.processor_time import processor_time_below

RUN_CHARS: Final = 20_000
SECONDS_MAX: Final = 1.0


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for found in pkgutil.walk_packages(validators.__path__, "validators."):
        if ".make_" in found.name or found.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(found.name)).items():
            if isinstance(value, re.Pattern):
                yield f"{found.name}.{name}", value


PATTERNS: Final = dict(patterns())


def test_the_patterns_are_found() -> None:
    assert "validators.embedded._BASE64_TEXT" in PATTERNS


@pytest.mark.parametrize("name", PATTERNS)
def test_long_runs_of_a_patterns_own_characters_take_no_square_of_time(name: str) -> None:
    pattern = PATTERNS[name]
    written = pattern.pattern
    is_text = isinstance(written, str)
    characters = written if is_text else written.decode("latin-1")
    with processor_time_below(SECONDS_MAX):
        for each in {*" \ta0", *characters}:
            text = each * RUN_CHARS + "\x01"
            pattern.fullmatch(text if is_text else text.encode("latin-1"))
