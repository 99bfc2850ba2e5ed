"""An outer that was installed anew, or restored from an old backup, with both agents running."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_pair import Pair
from tests.simulator.messages import adt

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    for name in list(pair.agents.processes):
        pair.agents.kill(name)


def numbers(first: int, last: int) -> list[bytes]:
    return [adt(str(number)) for number in range(first, last + 1)]


def until(pair: Pair, *command: str, says: str) -> str:
    """What a command of the inner says once it says what is waited for."""
    deadline_s = time.monotonic() + 30
    while says not in (told := pair.command("inner_agent", *command).stdout):
        assert time.monotonic() < deadline_s, told + pair.agents.tail()
        time.sleep(0.1)
    return told


def accept_the_new_stream(pair: Pair) -> None:
    told = until(pair, "streams", says="refused")
    (row,) = [line for line in told.splitlines() if "refused" in line]
    accepted = pair.command("inner_agent", "streams", "accept", row.split()[0])
    assert accepted.returncode == 0, accepted.stderr


def restart_outer(pair: Pair) -> None:
    pair.agents.start_outer()
    pair.agents.wait_ready()


def test_a_new_installations_stream_waits_for_the_inners_operator(pair: Pair) -> None:
    assert pair.send(*numbers(1, 3)) == ["AA"] * 3
    pair.wait_for(3)
    pair.agents.stop("outer")
    shutil.rmtree(pair.agents.outer_state)
    pair.agents.outer_state.mkdir(mode=0o700)
    restart_outer(pair)
    assert pair.send(*numbers(4, 6)) == ["AA"] * 3
    until(pair, "streams", says="refused")
    assert pair.delivered() == numbers(1, 3)
    assert pair.command("inner_agent", "status").returncode == 1
    accept_the_new_stream(pair)
    assert pair.wait_for(6) == numbers(1, 6)


def restored(pair: Pair) -> None:
    """Messages 1 to 3, a backup of the spool, messages 4 to 6, and the backup in its place."""
    spool = pair.agents.outer_state / "spool.db"
    backup = pair.agents.folder / "backup.db"
    assert pair.send(*numbers(1, 3)) == ["AA"] * 3
    pair.agents.stop("outer")
    shutil.copy(spool, backup)
    restart_outer(pair)
    assert pair.send(*numbers(4, 6)) == ["AA"] * 3
    pair.wait_for(6)
    pair.agents.stop("outer")
    for left in spool.parent.glob("spool.db-*"):
        left.unlink()
    shutil.copy(backup, spool)


def test_a_spool_from_an_old_backup_is_found_out_before_anything_is_acknowledged(
    pair: Pair,
) -> None:
    restored(pair)
    pair.agents.start_outer()
    assert pair.agents.processes.pop("outer").wait(30) == 1
    last = pair.agents.log_events("outer")[-1]
    assert "spool_behind" in str(last)
    assert "ferry-outer new-stream" in str(last["action"])

    begun = pair.command("outer_agent", "new-stream", "--yes")
    assert begun.returncode == 0, begun.stderr
    assert list(pair.agents.outer_state.glob("spool-*.db"))
    restart_outer(pair)
    assert pair.send(*numbers(7, 9)) == ["AA"] * 3
    accept_the_new_stream(pair)
    assert pair.wait_for(9) == numbers(1, 9)
    assert pair.command("inner_agent", "gaps").stdout == "nothing is missing\n"


def test_where_the_medium_was_emptied_too_the_inner_tells_it(pair: Pair) -> None:
    restored(pair)
    for path in (pair.agents.folder / "medium").rglob("*.ferry"):
        path.unlink()
    policy = pair.agents.folder / "inner-policy.toml"
    pair.agents.stop("verifier")
    _shorten_the_wait(pair, policy)
    pair.agents.start_inner(["verifier"])
    restart_outer(pair)
    assert pair.send(*numbers(7, 7)) == ["AA"]
    told = until(pair, "quarantine", says="sequence_reused")
    assert "another file with this sequence number" in told
    assert pair.delivered() == numbers(1, 6)


def _shorten_the_wait(pair: Pair, policy: Path) -> None:
    from tests.integration.test_pair import shorten_the_wait

    shorten_the_wait(pair, policy)


def test_a_running_agents_stream_is_not_set_aside(pair: Pair) -> None:
    refused = pair.command("outer_agent", "new-stream", "--yes")
    assert refused.returncode != 0
    assert "another agent uses this state folder" in refused.stderr
    assert not list(pair.agents.outer_state.glob("spool-*.db"))
    assert pair.send(adt("1")) == ["AA"]
