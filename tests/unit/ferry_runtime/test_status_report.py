"""What `status` says, for people and for programs: well or not, crossed, waiting, refused."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from ferry_format import reasons
from ferry_runtime.doctor.findings import Area, Finding, Side, fault, warning
from ferry_runtime.status.report import (
    Refusal,
    Status,
    Waiting,
    as_json,
    crossed_today,
    refused_today,
)
from ferry_runtime.status.screen import as_screen
from ferry_runtime.status.today import Key, Tally

PAGE = Path(__file__).parents[3] / "docs" / "operating.md"
SINK_DOWN = fault(Area.SINKS, "sink his does not answer", Side.INTERNAL, "See that it is up.")
CERTIFICATE = warning(Area.CERTIFICATES, "his.pem runs out", Side.INNER, "Put a new one there.")
MISMATCH = reasons.SCHEMA_MISMATCH


def status(*problems: Finding) -> Status:
    return Status(
        agent="inner-1",
        here=Side.INNER,
        problems=problems,
        facts={"last_file": 47, "journal_bytes": 2_000_000, "last_file_age_s": None},
        day="2026-11-28",
        outcomes=("journaled", "refused"),
        crossed={"adt": {"journaled": 12_345, "refused": 1}, "oru": {}},
        waiting=(Waiting("sink his: adt", 2_000, 7_300), Waiting("missing messages of adt", 0)),
        refused=(Refusal("adt", "refused", MISMATCH.code, 1),),
    )


def screen(one: Status, width: int, *, terminal: bool = False) -> str:
    told = io.StringIO()
    console = Console(file=told, width=width, force_terminal=terminal, highlight=False)
    console.print(as_screen(one, "2026-11-28 12:00:00"))
    return told.getvalue()


@pytest.mark.parametrize(
    ("problems", "well", "words"),
    [
        ((), True, "inner-1 (inner): well "),
        ((CERTIFICATE,), True, "well, with warnings 1"),
        ((SINK_DOWN, CERTIFICATE), False, "NOT WELL: faults 1, warnings 1"),
    ],
)
def test_a_fault_is_not_well_and_a_warning_is(
    problems: tuple[Finding, ...],
    well: bool,  # noqa: FBT001 - pytest's parameter
    words: str,
) -> None:
    assert status(*problems).well is well
    assert json.loads(as_json(status(*problems)))["well"] is well
    assert words in screen(status(*problems), 80)


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_answers_the_four_questions_in_its_width(width: int) -> None:
    told = screen(status(SINK_DOWN), width)
    assert all(len(line) <= width for line in told.splitlines())
    assert "FAULT   sinks: sink his does not answer" in told
    assert "See that it is up." in told
    assert re.search(r"adt +12,345 +1 *$", told, re.MULTILINE)
    assert re.search(r"oru +0 +0 *$", told, re.MULTILINE)
    assert re.search(r"sink his: adt +2,000 +2 h *$", told, re.MULTILINE)
    assert "missing messages" not in told
    words = " ".join(told.split())
    assert f"{MISMATCH.code} (refused): {MISMATCH.meaning}. {MISMATCH.action}" in words
    assert "journal 2 MB" in told
    assert "last file age unknown" in told


def test_colours_are_for_terminals_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in screen(status(SINK_DOWN), 80)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31m" in screen(status(SINK_DOWN), 80, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in screen(status(SINK_DOWN), 80, terminal=True)


def test_the_json_has_the_keys_that_the_page_shows() -> None:
    shown = PAGE.read_text().partition("```json\n")[2].partition("```")[0]
    page, told = json.loads(shown), json.loads(as_json(status(SINK_DOWN)))
    assert list(told) == list(page)
    assert list(told["today"]) == list(page["today"])
    for name in ("problems", "waiting"):
        assert list(told[name][0]) == list(page[name][0])
    assert list(told["today"]["refused"][0]) == list(page["today"]["refused"][0])
    assert told["today"]["channels"]["oru"] == {"journaled": 0, "refused": 0}


def test_yesterday_s_numbers_are_not_today_s() -> None:
    key = Key("messages", "adt", "refused", MISMATCH.code)
    tally = Tally("2026-11-27", {key: 4})
    assert crossed_today(tally, "2026-11-28", ["adt"], ("messages",)) == {"adt": {}}
    assert refused_today(tally, "2026-11-28", ("refused",)) == ()


def test_refusals_are_told_by_reason_most_first_and_files_among_them() -> None:
    tally = Tally(
        "d",
        {
            Key("messages", "adt", "refused", "a"): 1,
            Key("messages", "adt", "refused", "b"): 3,
            Key("messages", "adt", "admitted", ""): 9,
            Key("files", "", "refused", "bad_signature"): 2,
        },
    )
    found = refused_today(tally, "d", ("refused",))
    assert [(one.channel, one.reason, one.number) for one in found] == [
        ("adt", "b", 3), ("", "bad_signature", 2), ("adt", "a", 1),
    ]  # fmt: skip
    assert crossed_today(tally, "d", [], ("messages",)) == {"adt": {"refused": 4, "admitted": 9}}
