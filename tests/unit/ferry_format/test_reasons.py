"""Reasons: one code each, told in words, and the same in code and specification."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import BY_CODE, Reason

SPEC = (Path(reasons.__file__).parent / "SPEC.md").read_text()
KEYS_OF_THE_MANIFEST = {"name_sequence", "not_before_ms", "not_after_ms"}


@pytest.mark.parametrize("reason", BY_CODE.values(), ids=BY_CODE.keys())
def test_a_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", reason.code), "a tombstone and a label can hold it"
    assert not reason.meaning.endswith(".")
    assert reason.action.endswith(".")


def test_each_constant_is_named_as_its_code_and_stands_in_the_table() -> None:
    constants = {name: value for name, value in vars(reasons).items() if isinstance(value, Reason)}
    assert {name.lower() for name in constants} == set(BY_CODE)
    assert all(name.lower() == reason.code for name, reason in constants.items())


def test_each_code_of_the_specifications_tables_exists() -> None:
    rows = [line for line in SPEC.splitlines() if line.startswith("|")]
    named = {code for row in rows for code in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", row)}
    assert named - set(BY_CODE) == KEYS_OF_THE_MANIFEST
    assert len(named & set(BY_CODE)) > 15


def test_an_error_shows_code_meaning_and_place() -> None:
    assert str(reasons.Refused(reasons.BAD_FRAME, "header")) == (
        f"bad_frame: {reasons.BAD_FRAME.meaning} (header)"
    )
