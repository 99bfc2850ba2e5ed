"""Where no terminal is, a long operation says a line now and then, and a short one nothing."""

from __future__ import annotations

import pytest

from ferry_runtime.commands.progress import _lines, progress


def test_a_line_comes_every_few_seconds_and_says_how_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock_s = iter([0.0, 1.0, 5.0, 5.0, 6.0, 11.0, 11.0])
    advance = _lines("published again", 30, lambda: next(clock_s))
    for _ in range(4):
        advance(7)
    told = capsys.readouterr()
    assert told.err.splitlines() == ["published again: 14 of 30", "published again: 28 of 30"]
    assert told.out == ""


def test_what_is_done_at_once_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("published again", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")
