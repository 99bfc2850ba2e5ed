"""What the inner's doctor makes of arrivals, owners, clocks, processes, sinks and refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ferry_format import reasons
from ferry_runtime.doctor.findings import Level, Side
from ferry_runtime.doctor.host import Clock
from ferry_runtime.doctor.medium import FileSeen
from ferry_runtime.observation_client import Answer
from inner_agent import diagnosis
from inner_agent.delivery import State
from inner_agent.diagnosis import Arrivals, NewestFile, SinkSeen
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.operator_orders import DeliveryRow
from inner_agent.quarantine import QuarantineEntry

NOW_S = 1_800_000_000.0
NOW_MS = 1_800_000_000_000
STREAM = StreamRecord(
    bytes(16), "front-1", "trusted", 9, bytes(32), 0, NOW_MS - 1000, NOW_MS - 1100
)
NOTHING = Arrivals(6.0, came=False, event_first=False)


def files(*ages_s: float, uid: int = 991) -> list[FileSeen]:
    return [FileSeen(number, uid, NOW_S - age) for number, age in enumerate(ages_s, 1)]


@pytest.mark.parametrize(
    ("silent_s", "unavailable", "level", "side", "words"),
    [
        (1.0, [], Level.WELL, None, "runs"),
        (None, [], Level.FAULT, Side.INNER, "has never run"),
        (300.0, [], Level.FAULT, Side.INNER, "silent for 5 min"),
        (1.0, ["medium_unreadable"], Level.FAULT, Side.MEDIUM, "medium_unreadable"),
        (1.0, ["journal_full"], Level.FAULT, Side.INNER, "journal_full"),
    ],
)
def test_a_verifier_lives_and_can_take(silent_s, unavailable, level, side, words) -> None:
    told = diagnosis.of_verifier(silent_s, unavailable)
    assert (told.level, told.side) == (level, side)
    assert words in told.seen


@pytest.mark.parametrize(
    ("ready", "level"),
    [
        (None, Level.FAULT),
        (Answer(200, "{}"), Level.WELL),
        (Answer(503, json.dumps({"missing": "the verifier has been silent"})), Level.WELL),
        (Answer(503, json.dumps({"missing": "the journal"})), Level.FAULT),
        (Answer(503, "no json"), Level.FAULT),
    ],
)
def test_a_replayer_answers_and_is_not_blamed_for_the_verifier(ready, level: Level) -> None:
    assert diagnosis.of_replayer(ready).level is level


@pytest.mark.parametrize(
    ("arrivals", "there", "streams", "level", "words"),
    [
        (Arrivals(1, came=True, event_first=True), files(1), 1, Level.WELL, "event told"),
        (Arrivals(1, came=True, event_first=False), files(1), 1, Level.WELL, "by looking"),
        (NOTHING, [], 0, Level.FAULT, "never published"),
        (NOTHING, [], 1, Level.FAULT, "none that the inner has not read"),
        (NOTHING, files(65, 35, 5), 1, Level.WELL, "5 s old"),
        (NOTHING, files(40, 35, 30), 1, Level.WARNING, "30 s old"),
        (NOTHING, files(910, 905, 900), 1, Level.FAULT, "15 min old"),
    ],
)
def test_files_keep_coming(arrivals, there, streams, level, words) -> None:
    told = diagnosis.of_arrivals(arrivals, there, streams, NOW_S)
    assert told.level is level
    assert words in told.seen
    assert told.side is (None if level is Level.WELL else Side.OUTER)


def test_files_of_the_right_user_are_no_finding() -> None:
    assert diagnosis.of_owners(files(2, 1), 991) is None


def test_files_that_all_belong_to_another_user_are_a_matter_of_the_two_hosts_numbers() -> None:
    told = diagnosis.of_owners(files(2, 1, uid=1007), 991)
    assert told is not None
    assert (told.level, told.side) == (Level.FAULT, Side.MEDIUM)
    assert "medium.owner = 1007" in told.action


def test_some_files_of_another_user_are_resent_by_the_outer() -> None:
    strange = [*files(3, 2), FileSeen(3, 0, NOW_S)]
    told = diagnosis.of_owners(strange, 991)
    assert told is not None
    assert told.side is Side.OUTER
    assert "ferry-outer resend --range 3-3" in told.action


@pytest.mark.parametrize(
    ("refused", "side"),
    [
        (None, None),
        (reasons.BAD_SIGNATURE, Side.MEDIUM),
        (reasons.UNKNOWN_SENDER, Side.INNER),
        (reasons.WRONG_RECEIVER, Side.OUTER),
        (reasons.KEY_REVOKED, Side.OUTER),
    ],
)
def test_a_newest_file_that_is_refused_names_who_mends_it(refused, side) -> None:
    told = diagnosis.of_opened(NewestFile(4, NOW_MS, refused))
    assert told.side is side
    assert told.action == ("" if refused is None else refused.action)


@pytest.mark.parametrize(
    ("skew_s", "synchronised", "level", "side"),
    [
        (2.0, False, Level.WELL, None),
        (-600.0, True, Level.WARNING, Side.OUTER),
        (600.0, None, Level.WARNING, Side.OUTER),
        (-600.0, False, Level.WARNING, Side.INNER),
    ],
)
def test_of_two_clocks_the_one_that_nobody_keeps_is_blamed(
    skew_s, synchronised, level, side
) -> None:
    told = diagnosis.of_skew(skew_s, Clock(NOW_S, synchronised))
    assert (told.level, told.side) == (level, side)


@pytest.mark.parametrize(
    ("newest", "just_came", "expected_s"),
    [
        (NewestFile(9, NOW_MS + 3_600_000), False, -3600.0),
        (NewestFile(9, NOW_MS - 3_600_000), True, 3600.0),
        (NewestFile(9, NOW_MS - 3_600_000), False, 0.1),
        (NewestFile(9, refused=reasons.BAD_SIGNATURE), True, 0.1),
        (None, True, 0.1),
    ],
)
def test_skew_is_told_by_a_file_only_where_it_can_tell(newest, just_came, expected_s) -> None:
    found = diagnosis.skew_s(newest, [STREAM], NOW_S, just_came=just_came)
    assert found == pytest.approx(expected_s)


def test_without_any_file_nothing_is_known_of_skew() -> None:
    assert diagnosis.skew_s(None, [], NOW_S, just_came=False) is None


def test_streams_that_wait_for_a_decision_or_fell_silent_are_told() -> None:
    refused = replace(STREAM, stream_id=b"\1" * 16, state="refused")
    silent = replace(STREAM, last_file_at_ms=NOW_MS - 600_000)
    told = list(diagnosis.of_streams([refused, silent, STREAM], NOW_S))
    assert [one.level for one in told] == [Level.FAULT, Level.FAULT, Level.WELL]
    assert f"ferry-inner streams accept {'01' * 16}" in told[0].action
    assert "10 min ago" in told[1].seen


def test_a_gap_names_the_command_that_mends_it() -> None:
    [told] = diagnosis.of_gaps([GapRecord(bytes(16), 4, 6, NOW_MS, given_up=False)])
    assert (told.level, told.side) == (Level.FAULT, Side.MEDIUM)
    assert "ferry-outer resend --range 4-6" in told.action
    assert [one.level for one in diagnosis.of_gaps([])] == [Level.WELL]


@pytest.mark.parametrize(
    ("kind", "probed", "up", "level", "side"),
    [
        ("mllp", None, True, Level.WELL, None),
        ("mllp", None, None, Level.WELL, None),
        ("mllp", None, False, Level.WARNING, Side.INNER),
        ("http", reasons.SINK_UNREACHABLE, False, Level.FAULT, Side.INTERNAL),
        ("folder", reasons.SINK_UNREACHABLE, False, Level.FAULT, Side.INNER),
    ],
)
def test_a_sink_is_reached_from_here_and_by_the_replayer(kind, probed, up, level, side) -> None:
    told = diagnosis.of_sink(SinkSeen("his", kind, probed, up))
    assert (told.level, told.side) == (level, side)


def entry(kind: str, reason: reasons.Reason, age_s: float) -> QuarantineEntry:
    at_ms = int((NOW_S - age_s) * 1000)
    return QuarantineEntry(
        1, at_ms, kind, reason.code, "", None, None, None, None, None, b"", 0, content_kept=False
    )


def test_only_what_was_refused_of_late_is_told_by_kind_and_reason() -> None:
    entries = [
        entry("file", reasons.BAD_SIGNATURE, 60),
        entry("file", reasons.BAD_SIGNATURE, 120),
        entry("message", reasons.MESSAGE_TYPE_NOT_ALLOWED, 60),
        entry("file", reasons.UNKNOWN_SENDER, 7 * 86_400),
    ]
    told = list(diagnosis.of_quarantine(entries, NOW_S))
    assert [one.side for one in told] == [Side.MEDIUM, Side.OUTER]
    assert "2 of kind file, bad_signature" in told[0].seen
    assert "two policies" in told[1].action
    assert [one.level for one in diagnosis.of_quarantine(entries[3:], NOW_S)] == [Level.WELL]


def test_a_stream_that_nobody_accepted_is_mended_on_the_inner() -> None:
    [told] = diagnosis.of_quarantine([entry("file", reasons.UNKNOWN_STREAM, 60)], NOW_S)
    assert told.side is Side.INNER
    assert "streams accept" in told.action


def test_dead_letters_and_a_message_that_holds_its_channel_point_to_the_internal_system() -> None:
    held = DeliveryRow(7, b"\2" * 16, "lab", State.DELIVERING, 8, "sink_failed", None, None)
    down = replace(held, channel="adt", reason="sink_unreachable")
    told = list(diagnosis.of_deliveries({"adt": 2, "lab": 0}, [held, down]))
    assert [(one.level, one.side) for one in told] == [
        (Level.FAULT, Side.INTERNAL),
        (Level.WARNING, Side.INTERNAL),
    ]
    assert "channel adt: 2 dead letters" in told[0].seen
    assert "channel lab is held" in told[1].seen
    assert [one.level for one in diagnosis.of_deliveries({}, [])] == [Level.WELL]
