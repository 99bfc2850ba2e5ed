"""Which finding is to blame, and what the last line says."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from ferry_format.reasons import MEDIUM_UNREADABLE, Unavailable
from ferry_runtime.doctor.findings import (
    Area,
    Diagnosis,
    Finding,
    Level,
    Side,
    as_json,
    as_text,
    conclusion,
    fault,
    most_probable,
    warning,
    well,
)
from ferry_runtime.doctor.looks import Look, take_all
from tests.unit.markdown_pages import blocks

NOT_MOUNTED = fault(Area.MEDIUM, "/m is not mounted", Side.MEDIUM, "mount /m")
NOTHING_COMES = fault(Area.FILES, "no new file came", Side.OUTER, "Go there.")
SINK_DOWN = fault(Area.SINKS, "sink his: down", Side.INTERNAL, "See that it is up.")
UNSYNCHRONISED = warning(Area.CLOCK, "not synchronised", Side.INNER, "Give it a source.")
GOOD = well(Area.KEYS, "3 secret files are closed")


def diagnosis(*findings: Finding, here: Side = Side.INNER) -> Diagnosis:
    return Diagnosis("inner-1", here, findings)


@pytest.mark.parametrize(
    ("findings", "cause"),
    [
        ([SINK_DOWN, NOTHING_COMES, NOT_MOUNTED], NOT_MOUNTED),
        ([NOTHING_COMES, SINK_DOWN], NOTHING_COMES),
        ([UNSYNCHRONISED, SINK_DOWN], SINK_DOWN),
        ([GOOD, UNSYNCHRONISED], UNSYNCHRONISED),
        ([GOOD], None),
        ([], None),
    ],
)
def test_the_cause_is_the_worst_finding_that_explains_the_others(findings, cause) -> None:
    assert most_probable(findings) is cause


@pytest.mark.parametrize(
    ("here", "finding", "place"),
    [
        (Side.INNER, NOTHING_COMES, "the outer's host: ferry-outer doctor."),
        (Side.OUTER, NOTHING_COMES, "this host, the outer."),
        (Side.INNER, SINK_DOWN, "whoever runs the internal system."),
        (Side.OUTER, NOT_MOUNTED, "the medium (the storage, and its mount on both hosts)."),
    ],
)
def test_the_last_line_says_where_to_go(here, finding, place) -> None:
    found = diagnosis(finding, here=here)
    assert conclusion(found) == f"Most probable cause: {finding.seen}. Go to {place}"
    assert as_text(found).splitlines()[-1] == conclusion(found)


@pytest.mark.parametrize(("here", "other"), [(Side.INNER, "outer"), (Side.OUTER, "inner")])
def test_where_all_is_well_the_other_side_is_named(here: Side, other: str) -> None:
    found = diagnosis(GOOD, here=here)
    assert found.well
    assert f"ferry-{other} doctor" in conclusion(found)


def test_the_screen_names_level_side_and_remedy_of_each_finding() -> None:
    screen = as_text(diagnosis(SINK_DOWN, GOOD, UNSYNCHRONISED)).splitlines()
    assert screen[0] == "inner-1 (inner): NOT WELL: faults 1, warnings 1"
    assert screen[1] == "well    keys: 3 secret files are closed"
    assert screen[4] == "FAULT   sinks: sink his: down"
    assert screen[5].strip() == "cause: internal system. See that it is up."


def test_json_has_the_same() -> None:
    told = json.loads(as_json(diagnosis(GOOD, SINK_DOWN)))
    assert told["well"] is False
    assert [one["level"] for one in told["findings"]] == ["well", "fault"]
    assert told["most_probable"] == {
        "area": "sinks",
        "level": "fault",
        "seen": "sink his: down",
        "cause": "internal system",
        "action": "See that it is up.",
    }


def test_a_look_that_hangs_is_a_fault_and_keeps_what_it_found_before() -> None:
    ended = threading.Event()

    def hang():
        yield GOOD
        ended.wait(30)
        yield NOT_MOUNTED

    started_s = time.monotonic()
    found = take_all(
        [
            Look(Area.MEDIUM, Side.MEDIUM, "the medium", hang),
            Look(Area.SINKS, Side.INNER, "a sink", lambda: [SINK_DOWN]),
        ],
        0.5,
    )
    ended.set()
    assert time.monotonic() - started_s < 20
    assert GOOD in found
    assert SINK_DOWN in found
    [hung] = [one for one in found if "did not answer" in one.seen]
    assert (hung.area, hung.level, hung.side) == (Area.MEDIUM, Level.FAULT, Side.MEDIUM)


def test_of_looks_that_hang_together_the_one_that_leans_on_the_other_is_not_the_cause() -> None:
    ended = threading.Event()

    def hang():
        ended.wait(30)
        return []

    found = take_all(
        [
            Look(Area.CONFIGURATION, Side.OUTER, "the configuration", hang, leans=True),
            Look(Area.MEDIUM, Side.MEDIUM, "the medium", hang),
        ],
        0.2,
    )
    ended.set()
    cause = most_probable(found)
    assert cause is not None
    assert (cause.area, cause.side) == (Area.MEDIUM, Side.MEDIUM)


@pytest.mark.parametrize(
    ("area", "word"), [(Area.WORKERS, "busy"), (Area.SINKS, "name server"), (Area.STATE, "mount")]
)
def test_a_look_that_is_not_ended_says_what_to_look_at(area, word) -> None:
    ended = threading.Event()

    def hang():
        ended.wait(30)
        return []

    [found] = take_all([Look(area, Side.INNER, "it", hang)], 0.1)
    ended.set()
    assert word in found.action


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(116, "Stale file handle", "/m"), ["/m: Stale file handle", "mount it again"]),
        (Unavailable(MEDIUM_UNREADABLE, "/m: gone"), ["/m: gone", MEDIUM_UNREADABLE.action]),
        (KeyError("secret"), ["could not be looked at: KeyError"]),
    ],
)
def test_what_a_look_raises_becomes_a_fault_of_its_side(error, words) -> None:
    def look():
        raise error

    [found] = take_all([Look(Area.MEDIUM, Side.MEDIUM, "the medium", look)], 10)
    assert (found.level, found.side) == (Level.FAULT, Side.MEDIUM)
    assert [word for word in words if word not in found.seen + found.action] == []
    assert "secret" not in found.seen


def test_the_guide_shows_what_a_doctor_prints() -> None:
    page = (Path(__file__).parents[3] / "docs/operating.md").read_text(encoding="utf-8")
    [shown] = [block.text for block in blocks(page, "text") if "NOT WELL" in block.text]
    medium = "/srv/ferry-medium is not mounted, though /etc/fstab has it"
    found = (
        well(Area.CONFIGURATION, "/etc/ferry-inner/inner.toml and its policy are good"),
        fault(Area.MEDIUM, medium, Side.MEDIUM, "mount /srv/ferry-medium"),
        well(Area.AGENT, "the replayer runs"),
    )
    told = as_text(diagnosis(*found))
    assert shown.replace("…\n", "").splitlines() == told.splitlines()
