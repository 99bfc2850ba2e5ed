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


@pytest.mark.parametrize("place", [OUTER_AUDIT, INNER_AUDIT])
def test_what_cannot_be_recorded_waits_until_the_audit_trail_has_room(
    pair: FaultedPair, disks: Disks, place: str
) -> None:
    pair.insist(3)
    pair.check_promise()
    disks[place].fill()
    held = {OUTER_AUDIT: ["outer"], INNER_AUDIT: ["verifier", "replayer"]}[place]
    try:
        pair.until(lambda: pair.offer() and any(holds(pair, name) for name in held))
        for _ in range(20):
            pair.offer()
        if place == OUTER_AUDIT:
            pair.until(lambda: pair.offer() == "AE")
            assert pair.command("outer_agent", "status").returncode == 1
        time.sleep(2)
        pair.agents.check_alive()
    finally:
        disks[place].widen()
    pair.insist(3)
    pair.check_promise()
    pair.agents.check_alive()
    pair.until(lambda: audited(pair, "message_admitted") >= pair.acknowledged)
    pair.until(lambda: audited(pair, "message_delivered") >= pair.acknowledged)


def holds(pair: FaultedPair, name: str) -> bool:
    event = {"outer": "publisher_holds", "replayer": "replayer_holds"}.get(name, "verifier_waits")
    return pair.says(name, event, reason="audit_full")


def audited(pair: FaultedPair, event: str) -> int:
    """How many such records stand in all audit trails."""
    return sum(
        line.count(b'"%s"' % event.encode())
        for side in (pair.agents.outer_state, pair.agents.inner_state)
        for path in (side / "audit").rglob("*.jsonl")
        for line in path.read_bytes().splitlines()
    )
