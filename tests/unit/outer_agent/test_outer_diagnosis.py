"""What the outer's doctor makes of agent, listeners, files and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_runtime.doctor.findings import Level, Side
from ferry_runtime.doctor.host import Listening, User
from ferry_runtime.doctor.medium import FileSeen
from ferry_runtime.observation_client import Answer
from outer_agent import diagnosis
from outer_agent.channel_counts import ChannelCounts
from outer_agent.medium_probe import Probe, write_and_watch

AGENT = User(991, 991, frozenset({991}))
NOW_S = 1_800_000_000.0
READY = Answer(200, '{"status": "ready"}')


def refusing(reason: reasons.Reason, where: str = "") -> Answer:
    why = f"{reason.code} ({where})" if where else reason.code
    return Answer(503, json.dumps({"missing": f"{why}: {reason.action}"}))


@pytest.mark.parametrize(
    ("process", "ready", "level", "side", "words"),
    [
        (None, None, Level.FAULT, Side.OUTER, "does not run"),
        (77, None, Level.FAULT, Side.OUTER, "process 77 holds"),
        (77, READY, Level.WELL, None, "runs"),
        (None, READY, Level.WELL, None, "runs"),
        (77, refusing(reasons.MEDIUM_FULL), Level.FAULT, Side.MEDIUM, "medium_full"),
        (77, refusing(reasons.MEDIUM_FULL, "5 bytes: few"), Level.FAULT, Side.MEDIUM, "5 bytes"),
        (77, refusing(reasons.VALIDATOR_UNAVAILABLE), Level.FAULT, Side.OUTER, "validator"),
        (77, Answer(500, "[]"), Level.FAULT, Side.OUTER, "does not say why"),
    ],
)
def test_an_agent_runs_and_takes_messages(process, ready, level, side, words) -> None:
    told = diagnosis.of_agent(process, ready)
    assert (told.level, told.side) == (level, side)
    assert words in told.seen


OURS, THEIRS = Listening("127.0.0.1", 80, 991, 5), Listening("127.0.0.1", 80, 33, 6)


@pytest.mark.parametrize(
    ("there", "running", "agents", "level", "words"),
    [
        ([], False, None, Level.WELL, "is free"),
        ([THEIRS], False, None, Level.FAULT, "another program"),
        ([OURS], False, None, Level.FAULT, "another program"),
        ([OURS], True, frozenset({5}), Level.WELL, "held by the agent"),
        ([OURS], True, frozenset({7}), Level.FAULT, "another program"),
        ([OURS], True, None, Level.WELL, "held by the agent"),
        ([THEIRS], True, None, Level.FAULT, "another program"),
        ([], True, None, Level.FAULT, "nothing listens"),
        ([THEIRS, OURS], True, frozenset({5}), Level.WELL, "held by the agent"),
    ],
)
def test_a_listener_is_free_or_our_own(there, running, agents, level, words) -> None:
    told = diagnosis.of_listener(
        "adt-in", "127.0.0.1:80", there, AGENT, running=running, agents_sockets=agents
    )
    assert told.level is level
    assert words in told.seen


def files(*sequences: int, uid: int = 991, age_s: float = 1.0) -> list[FileSeen]:
    return [FileSeen(sequence, uid, NOW_S - age_s) for sequence in sequences]


@pytest.mark.parametrize(
    ("there", "last", "running", "level", "side", "words"),
    [
        ([], 0, True, Level.WELL, None, "nothing was published"),
        (files(1, 2), 2, True, Level.WELL, None, "newest file, 2"),
        ([], 2, True, Level.FAULT, Side.MEDIUM, "no file of the stream"),
        (files(1), 2, True, Level.FAULT, Side.MEDIUM, "1 is the newest"),
        (files(1, 2, age_s=300), 2, True, Level.FAULT, Side.OUTER, "heartbeat is due"),
        (files(1, 2, age_s=300), 2, False, Level.WELL, None, "5 min old"),
    ],
)
def test_the_last_file_lies_on_the_medium_and_is_young(
    there, last, running, level, side, words
) -> None:
    told = list(diagnosis.of_newest(there, last, NOW_S, 5.0, AGENT, running=running))
    assert (told[0].level, told[0].side) == (level, side)
    assert words in told[0].seen


def test_files_of_another_user_are_resent_by_their_range() -> None:
    there = [*files(7), *files(8, 9, uid=0)]
    told = list(diagnosis.of_newest(there, 9, NOW_S, 5.0, AGENT, running=True))[-1]
    assert (told.level, told.side) == (Level.FAULT, Side.OUTER)
    assert "ferry-outer resend --range 8-9" in told.action


def test_a_channel_of_which_nothing_is_admitted_points_to_its_sender() -> None:
    code = reasons.MESSAGE_TYPE_NOT_ALLOWED.code
    channels = {
        "adt": ChannelCounts(refused=3, reasons={code: 2, "other": 1}),
        "lab": ChannelCounts(admitted=9, refused=1, reasons={code: 1}),
    }
    [told] = diagnosis.of_channels(channels)
    assert (told.level, told.side) == (Level.WARNING, Side.SENDER)
    assert "channel adt: all 3 messages" in told.seen
    assert reasons.MESSAGE_TYPE_NOT_ALLOWED.action in told.action


def test_a_medium_is_written_aside_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / ".stage").mkdir()
    probe = write_and_watch(tmp_path)
    assert probe.problem == ""
    assert probe.event
    assert list((tmp_path / ".stage").iterdir()) == []
    assert diagnosis.of_probe(probe, tmp_path, AGENT).level is Level.WELL


def test_a_probe_that_could_not_be_made_accuses_nobody() -> None:
    told = diagnosis.of_probe(Probe(tried=False), Path("/m"), AGENT)
    assert told.level is Level.WELL
    assert "not tried" in told.seen


def test_a_medium_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    probe = write_and_watch(tmp_path / "gone")
    assert probe == Probe(problem="No such file or directory")
    told = diagnosis.of_probe(probe, tmp_path, AGENT)
    assert (told.level, told.side) == (Level.FAULT, Side.MEDIUM)
