"""Each disk without room under the running pair: told as such, nothing lost, well again by itself.

Every folder of the pair lies on a filesystem of its own, which is shrunk to what it holds.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.simulator.disks import Disk
from tests.simulator.faulted_pair import FaultedPair

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.usefixtures("_mounting"),
    pytest.mark.timeout(180),
]

MEDIUM, SPOOL, OUTER_AUDIT, JOURNAL, INNER_AUDIT = PLACES = (
    "medium",
    "outer",
    "outer/audit",
    "inner",
    "inner/audit",
)
Disks = dict[str, Disk]


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory, _mounting: None) -> Iterator[Disks]:
    folder = tmp_path_factory.mktemp("pair")
    disks = {place: Disk(folder / place) for place in PLACES}
    for disk in disks.values():
        disk.mount()
    yield disks
    for disk in reversed(disks.values()):
        disk.unmount()


@pytest.fixture(scope="module")
def running(disks: Disks) -> Iterator[FaultedPair]:
    pair = FaultedPair(disks[MEDIUM].path.parent)
    pair.agents.start()
    pair.insist(3)
    yield pair
    pair.end()


@pytest.fixture
def pair(running: FaultedPair) -> FaultedPair:
    running.start_missing()
    return running


@pytest.mark.parametrize("place", [MEDIUM, SPOOL])
def test_the_outer_defers_messages_while_it_has_no_room(
    pair: FaultedPair, disks: Disks, place: str
) -> None:
    disks[place].fill()
    try:
        assert [pair.offer() for _ in range(3)] == ["AE"] * 3
        assert pair.says("outer", "message_deferred", reason="medium_full")
    finally:
        disks[place].widen()
    pair.insist(3)
    pair.agents.check_alive()
    pair.check_promise()


def test_the_inner_holds_its_place_while_the_journal_has_no_room(
    pair: FaultedPair, disks: Disks
) -> None:
    disks[JOURNAL].fill()
    try:
        before = len(pair.delivered())
        pair.insist(30)
        pair.until(lambda: pair.says("verifier", "verifier_waits", reason="journal_full"))
        time.sleep(2.5)
        pair.agents.check_alive()
        assert len(pair.delivered()) < before + 30
    finally:
        disks[JOURNAL].widen()
    pair.check_promise()
    pair.agents.check_alive()


def test_a_medium_that_turns_read_only_defers_messages_until_it_is_writable(
    pair: FaultedPair, disks: Disks
) -> None:
    for _ in range(50):
        try:
            disks[MEDIUM].set_read_only(True)
        except subprocess.CalledProcessError:
            time.sleep(0.02)
        else:
            break
    try:
        assert [pair.offer() for _ in range(3)] == ["AE"] * 3
        assert pair.says("outer", "message_deferred", reason="medium_unavailable")
    finally:
        disks[MEDIUM].set_read_only(False)
    pair.insist(3)
    pair.agents.check_alive()
    pair.check_promise()


@pytest.mark.parametrize(("place", "name"), [(OUTER_AUDIT, "outer"), (INNER_AUDIT, "verifier")])
def test_who_cannot_write_the_audit_trail_ends_says_so_and_goes_on_after_a_start_with_room(
    pair: FaultedPair, disks: Disks, place: str, name: str
) -> None:
    pair.agents.stop("replayer")  # it may or may not have something to record
    disks[place].fill()
    try:
        process = pair.agents.processes[name]
        pair.until(lambda: pair.offer() and process.poll() is not None)
        told = pair.ended(name)[-1]
        assert (told["event"], told["level"]) == ("cannot_run", "critical")
        assert str(disks[place].path) in str(told)
        assert "No space left" in str(told)
    finally:
        disks[place].widen()
    pair.start_missing()
    pair.insist(3)
    pair.check_promise()
