"""What the commands say when something is wrong: one line, what to do, an exit code."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from ferry_runtime.problem_words import Mistake
from inner_agent.__main__ import cli as ferry_inner
from outer_agent.__main__ import cli as ferry_outer
from tests.simulator.ferry_pair import FerryPair, adt_pair

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pair(tmp_path: Path) -> FerryPair:
    return adt_pair(tmp_path)


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )


def outer(pair: FerryPair, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("outer_agent", *arguments, "--config", str(pair.folder / "outer.toml"))


def inner(pair: FerryPair, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("inner_agent", *arguments, "--config", str(pair.folder / "inner.toml"))


def test_check_says_that_good_files_are_good(pair: FerryPair) -> None:
    assert "good. Lane front-to-inside, 1 sources" in outer(pair, "check").stdout
    assert "good. Lane front-to-inside, 1 trusted keys" in inner(pair, "check").stdout


@pytest.mark.parametrize(
    ("agent", "file", "old", "new", "words"),
    [
        (outer, "outer.toml", "heartbeat_s", "hartbeat_s", ["outer.toml:", "heartbeat_s"]),
        (inner, "inner.toml", 'kind = "mllp"', 'kind = "tcp"', ["inner.toml:", "kind"]),
        (
            inner,
            "inner-policy.toml",
            "version = 1",
            "version = 1 ",
            ["was changed after"],
        ),
    ],
)
def test_check_names_file_key_and_remedy(pair, agent, file, old, new, words) -> None:
    path = pair.folder / file
    path.write_text(path.read_text().replace(old, new))
    told = agent(pair, "check")
    assert told.returncode == 78
    assert [word for word in words if word not in told.stderr] == []
    assert "Traceback" not in told.stderr


def test_an_exposed_key_stops_the_agent_with_a_configuration_code(pair: FerryPair) -> None:
    (pair.keys / "front-1.key").chmod(0o644)
    told = outer(pair, "run")
    assert told.returncode == 78
    assert "front-1.key" in told.stderr
    assert "0600" in told.stderr


def test_an_address_in_use_is_told_in_one_line(pair: FerryPair) -> None:
    with socket.create_server(("127.0.0.1", pair.outer_metrics_port)):
        told = outer(pair, "run")
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert "in use" in told.stderr


def test_two_outers_cannot_use_one_spool(pair: FerryPair) -> None:
    pair.start_outer()
    try:
        while not pair.is_ready("outer"):
            pair.check_alive()
        told = outer(pair, "run")
        assert told.returncode == 1
        assert "another agent uses this state folder" in told.stderr
    finally:
        pair.stop()


def test_status_of_an_agent_that_does_not_run_is_not_well(pair: FerryPair) -> None:
    pair.start_outer()
    while not pair.is_ready("outer"):
        pair.check_alive()
    assert outer(pair, "status").returncode == 0
    pair.stop()
    told = outer(pair, "status")
    assert told.returncode == 1
    assert "NOT WELL" in told.stdout
    assert "the agent does not run" in told.stdout


def test_a_watch_looks_again_until_interrupted(pair: FerryPair) -> None:
    command = [sys.executable, "-m", "outer_agent", "status", "--watch", "0.5", "--config"]
    watching = subprocess.Popen(
        [*command, str(pair.folder / "outer.toml")], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert watching.stdout is not None
    told = b""
    while told.count(b"the agent does not run") < 2:
        line = watching.stdout.readline()
        assert line, told
        told += line
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 0
    watching.stdout.close()


@pytest.mark.parametrize("side", [outer, inner])
def test_status_before_the_first_start_says_that_nothing_runs(pair: FerryPair, side) -> None:
    told = side(pair, "status", "--json")
    assert told.returncode == 1
    status = json.loads(told.stdout)
    assert status["facts"]["stream"] is None
    assert "agent" in {one["area"] for one in status["problems"]}


@pytest.mark.parametrize(
    "words",
    [
        ["gaps"],
        ["streams", "accept", "0" * 32],
        ["messages"],
        ["quarantine"],
        ["deadletters"],
        ["test"],
        ["settle", "--trail", "TRAIL", "--since", "2026-11-28T01:00:00+00:00"],
    ],
    ids=lambda words: words[0],
)
def test_before_the_first_start_and_before_a_restore_a_command_says_which_is_first(
    pair: FerryPair, words: list[str]
) -> None:
    words = [str(pair.folder) if word == "TRAIL" else word for word in words]
    told = CliRunner().invoke(ferry_inner, [*words, "--config", str(pair.folder / "inner.toml")])
    assert isinstance(told.exception, Mistake)
    assert "is not there yet" in told.exception.problem
    assert "ferry-inner restore first" in told.exception.action


@pytest.mark.parametrize(("side", "cli"), [("outer", ferry_outer), ("inner", ferry_inner)])
def test_an_agent_that_never_ran_leaves_no_half_a_backup(pair: FerryPair, side, cli) -> None:
    config = str(pair.folder / f"{side}.toml")
    told = CliRunner().invoke(cli, ["backup", str(pair.folder / "backup"), "--config", config])
    assert isinstance(told.exception, Mistake)
    assert "there is nothing to back up" in told.exception.problem
    assert not (pair.folder / "backup").exists()


def test_a_watch_is_for_people(pair: FerryPair) -> None:
    told = outer(pair, "status", "--watch", "--json")
    assert told.returncode == 2
    assert "--watch is for people" in told.stderr


def test_status_asks_the_agent_itself_and_no_proxy(pair: FerryPair, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    pair.start_outer()
    try:
        deadline_s = time.monotonic() + 30
        while (told := outer(pair, "status")).returncode != 0:
            assert time.monotonic() < deadline_s, told.stdout
    finally:
        pair.stop()


def test_status_of_the_inner_names_a_sink_that_is_down(pair: FerryPair) -> None:
    pair.start_inner()
    try:
        while not pair.is_ready("inner"):
            pair.check_alive()
        deadline_s = time.monotonic() + 20
        while "sink his does not answer" not in (told := inner(pair, "status")).stdout:
            assert time.monotonic() < deadline_s, told.stdout
        assert told.returncode == 1
        assert "NOT WELL" in told.stdout
    finally:
        pair.stop()


@pytest.mark.parametrize("wanted", ["x", "5-3", "0", "1-2-3"])
def test_a_range_that_is_none_is_told(pair: FerryPair, wanted: str) -> None:
    told = outer(pair, "resend", "--range", wanted)
    assert told.returncode in {1, 2}
    assert "120-125" in told.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["outer_agent"],
        *[["outer_agent", word] for word in ("run", "check", "status", "doctor", "resend")],
        ["inner_agent"],
        *[
            ["inner_agent", word]
            for word in (
                "run", "check", "status", "doctor", "messages", "gaps", "quarantine", "deadletters",
                "requeue", "discard", "streams",
            )
        ],
        ["ferry_runtime.commands.keys"],
        ["ferry_runtime.commands.audit"],
        ["ferry_format.inspect"],
    ],
)  # fmt: skip
def test_each_command_explains_itself_and_its_exit_codes(arguments: list[str]) -> None:
    told = run(*arguments, "--help")
    assert told.returncode == 0
    assert "Exit codes:" in told.stdout
