"""Each harness on its own seeds and on what fuzzing once found."""

from __future__ import annotations

import importlib

import pytest

from tests.fuzz.harness import REGRESSIONS, Harness, regressions
from tests.fuzz.run import HARNESSES


@pytest.mark.parametrize("name", HARNESSES)
def test_seeds_and_earlier_findings_break_no_promise(name: str) -> None:
    harness: Harness = importlib.import_module(f"tests.fuzz.{name}").HARNESS
    for data in (*harness.seeds(), *regressions(name)):
        harness.check(data)


def test_each_folder_of_findings_belongs_to_a_harness() -> None:
    assert {each.name for each in REGRESSIONS.glob("*")} <= set(HARNESSES)
