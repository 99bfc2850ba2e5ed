"""Backups under traffic, each host lost in turn, and everything acknowledged arrives once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from inner_agent.__main__ import cli as ferry_inner
from outer_agent.__main__ import cli as ferry_outer
from tests.integration.test_pair import Pair
from tests.simulator.messages import adt
from tests.simulator.steady_traffic import SteadyTraffic, until

pytestmark = pytest.mark.timeout(180)


def command(pair: Pair, side: str, *arguments: object) -> tuple[int, str]:
    """A command in this process, since starting one takes longer than what it does."""
    cli = ferry_outer if side == "outer" else ferry_inner
    config = pair.agents.folder / f"{side}.toml"
    result = CliRunner().invoke(cli, [*map(str, arguments), "--config", str(config)])
    return result.exit_code, f"{result.output}{result.exception or ''}"


def done(pair: Pair, side: str, *arguments: object) -> str:
    code, told = command(pair, side, *arguments)
    assert code == 0, told
    return told


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path, heartbeat_s=30)
    yield pair
    for name in list(pair.agents.processes):
        pair.agents.kill(name)


def lost(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


def inner_host_lost(pair: Pair) -> str:
    """The state is gone and restored from the backup; what the restore said is to be done."""
    pair.agents.stop("replayer")
    pair.agents.kill("verifier")
    kept = pair.agents.folder
    shutil.rmtree(kept / "audit-copy", ignore_errors=True)
    shutil.copytree(pair.agents.inner_state / "audit", kept / "audit-copy")
    lost(pair.agents.inner_state)
    told = done(pair, "inner", "restore", kept / "backup")
    [shown] = [line for line in told.splitlines() if line.startswith("ferry-inner settle")]
    return shown.removeprefix("ferry-inner ").replace("COPY_OF_AUDIT", str(kept / "audit-copy"))


def test_an_inner_restored_on_a_new_host_delivers_everything_once(pair: Pair) -> None:
    with SteadyTraffic(pair) as traffic:
        traffic.goes_on(20)
        until(pair.agents, lambda: traffic.collect() > 0)
        done(pair, "inner", "backup", pair.agents.folder / "backup")
        traffic.goes_on(20)
        until(pair.agents, lambda: traffic.collect() > 30)
        settle = inner_host_lost(pair).split()
        pair.agents.start_inner(["verifier"])
        traffic.goes_on(20)
        until(pair.agents, lambda: "not in the journal" not in done(pair, "inner", *settle))
        pair.agents.start_inner(["replayer"])
        traffic.goes_on(5)
    until(pair.agents, traffic.all_arrived)
    assert traffic.collected == traffic.acknowledged
    code, told = command(pair, "inner", *settle)
    assert (code, "the replayer runs" in told) == (1, True)
    code, told = command(pair, "inner", "restore", pair.agents.folder / "backup")
    assert (code, "is there already" in told) == (1, True)

    inner_host_lost(pair)
    pair.agents.start_inner()
    traffic.collected.clear()
    until(pair.agents, traffic.last_arrived)
    since = traffic.acknowledged.index(traffic.collected[0])
    assert traffic.collected == traffic.acknowledged[since:], "in order, each of them once"
    assert since > 0, "what was delivered before the backup is not delivered again"


def test_an_outer_and_a_medium_that_are_lost_together_lose_nothing_of_the_backup(
    pair: Pair,
) -> None:
    def send(first: int, last: int) -> None:
        sent = pair.send(*(adt(str(number)) for number in range(first, last + 1)))
        assert set(sent) == {"AA"}

    send(1, 3)
    pair.wait_for(3)
    pair.agents.stop("verifier")
    send(4, 6)
    done(pair, "outer", "backup", pair.agents.folder / "backup")
    pair.agents.kill("outer")
    lost(pair.agents.outer_state)
    medium = pair.agents.folder / "medium"
    shutil.rmtree(medium)
    medium.mkdir(mode=0o755)

    done(pair, "outer", "restore", pair.agents.folder / "backup")
    [kept] = pair.agents.outer_state.glob("spool-*.db")
    assert "published again" in done(pair, "outer", "resend", "--spool", kept, "--since", "1h")
    pair.agents.start_inner(["verifier"])
    assert pair.wait_for(6) == [adt(str(number)) for number in range(1, 7)]
    pair.agents.start_outer()
    pair.agents.wait_ready()
    send(7, 9)
    until(pair.agents, lambda: "refused" in command(pair, "inner", "streams")[1])
    streams = command(pair, "inner", "streams")[1].splitlines()
    [new] = [line.split()[0] for line in streams if "refused" in line]
    done(pair, "inner", "streams", "accept", new)
    assert pair.wait_for(9) == [adt(str(number)) for number in range(1, 10)]
