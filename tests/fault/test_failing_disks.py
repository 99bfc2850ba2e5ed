"""Disks that answer with errors under the running pair: EIO, a quota, a failed sync, half writes.

After a failed sync the kernel may have thrown the bytes away, and a second one would say that all
is well: the agent whose promise hung on it ends, says so, and goes on after a start. What only has
no room for now is waited for. Errors of system calls are injected into the running process.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.faulted_pair import RETRYABLE, FaultedPair
from tests.simulator.syscall_faults import SyscallFault

pytestmark = pytest.mark.timeout(180)

SPOOL = "outer/spool.db-wal"
JOURNAL = "inner/journal.db-wal"
DELIVERIES = "inner/delivery.db-wal"
SHARD = "medium/*/0000000000000000"
AUDIT = "outer/audit/*.jsonl"
SINK = "adt"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultedPair]:
    pair = FaultedPair(tmp_path_factory.mktemp("pair"))
    pair.let_writes_fail("outer")
    try:
        pair.agents.start()
        pair.insist(3)
        yield pair
    finally:
        pair.end()


@pytest.fixture
def pair(running: FaultedPair) -> Iterator[FaultedPair]:
    running.start_missing()
    running.insist()
    yield running
    running.control.unlink(missing_ok=True)
    for name, process in list(running.agents.processes.items()):
        if process.poll() is not None:
            del running.agents.processes[name]


def fault(
    pair: FaultedPair,
    process: str,
    call: str,
    error: str,
    place: str = "",
    times: int | None = 1,
) -> SyscallFault:
    """Such calls fail, on one file if `place` names it; `times`: in each thread only the first."""
    only = next(pair.agents.folder.glob(place)) if place else None
    return SyscallFault(pair.agents.processes[process].pid, call, error, only=only, times=times)


def says_that_storage_failed(log: list[dict[str, object]]) -> bool:
    [last] = [told for told in log if told["event"] == "cannot_run"][-1:]
    exception = last["exception"]
    assert isinstance(exception, dict)
    return exception["reason"] == "storage_failed" and "disk" in str(last["action"])


@pytest.mark.usefixtures("_strace")
@pytest.mark.parametrize(
    ("call", "error", "place"),
    [
        ("fsync", "EIO", ""),
        ("fsync", "EIO", SHARD),
        ("renameat2", "EIO", ""),
        ("fdatasync", "EIO", SPOOL),
        ("pwrite64", "EIO", SPOOL),
        ("pwrite64", "EDQUOT", SPOOL),
    ],
)
def test_an_outer_whose_disk_failed_acknowledges_nothing_more_and_ends(
    pair: FaultedPair, call: str, error: str, place: str
) -> None:
    before = pair.acknowledged
    with fault(pair, "outer", call, error, place) as injected:
        assert {pair.offer() for _ in range(5)} <= RETRYABLE
        log = pair.ended("outer")
        assert injected.seen
    assert says_that_storage_failed(log)
    assert pair.acknowledged == before
    pair.start_missing()
    pair.insist(2)
    pair.check_promise()


@pytest.mark.usefixtures("_strace")
@pytest.mark.parametrize(
    ("call", "error", "place"),
    [
        ("fsync", "ENOSPC", ""),
        ("fsync", "EDQUOT", ""),
        ("renameat2", "EDQUOT", ""),
        ("renameat2", "EROFS", ""),
        ("pwrite64", "ENOSPC", SPOOL),
    ],
)
def test_an_outer_without_room_or_leave_to_write_defers_messages_and_goes_on(
    pair: FaultedPair, call: str, error: str, place: str
) -> None:
    with fault(pair, "outer", call, error, place, times=None) as injected:
        assert [pair.offer(), pair.offer()] == ["AE", "AE"]
        assert injected.seen
    pair.insist(2)
    pair.agents.check_alive()
    pair.check_promise()


@pytest.mark.usefixtures("_strace")
def test_a_publication_that_may_have_been_seen_is_done_anew_before_it_is_acknowledged(
    pair: FaultedPair,
) -> None:
    with fault(pair, "outer", "fsync", "EDQUOT", SHARD) as injected:
        assert pair.offer() == "AA"
        assert injected.seen
        assert len(injected.calls) > 1
    pair.agents.check_alive()
    pair.check_promise()


@pytest.mark.usefixtures("_strace")
def test_an_outer_whose_audit_trail_cannot_be_synchronised_ends(pair: FaultedPair) -> None:
    with fault(pair, "outer", "fdatasync", "EIO", AUDIT) as injected:
        pair.offer()
        log = pair.ended("outer")
        assert injected.seen
    assert says_that_storage_failed(log)
    pair.start_missing()
    pair.insist(2)
    pair.check_promise()


@pytest.mark.parametrize("error", ["EIO", "EDQUOT", "ENOSPC"])
def test_a_ferry_file_half_written_is_never_published(pair: FaultedPair, error: str) -> None:
    pair.control.write_text(f"/.stage/ 1000 {error}")
    assert {pair.offer() for _ in range(3)} <= RETRYABLE
    pair.control.unlink()
    if error == "EIO":
        assert says_that_storage_failed(pair.ended("outer"))
        pair.start_missing()
    pair.insist(2)
    pair.agents.check_alive()
    pair.check_promise()
    assert pair.quarantined == 0


def test_short_writes_are_carried_on_with(pair: FaultedPair) -> None:
    pair.control.write_text("/ 100 none")
    pair.insist(3)
    pair.agents.check_alive()
    pair.check_promise()
    assert pair.quarantined == 0


@pytest.mark.usefixtures("_strace")
@pytest.mark.parametrize(
    ("call", "error"), [("fdatasync", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "EDQUOT")]
)
def test_a_verifier_whose_journal_failed_takes_nothing_more_and_ends(
    pair: FaultedPair, call: str, error: str
) -> None:
    pair.check_promise()
    delivered = len(pair.delivered())
    with fault(pair, "verifier", call, error, JOURNAL) as injected:
        pair.insist(3)
        log = pair.ended("verifier")
        assert injected.seen
    assert says_that_storage_failed(log)
    assert len(pair.delivered()) == delivered
    pair.start_missing()
    pair.check_promise()


@pytest.mark.usefixtures("_strace")
@pytest.mark.parametrize(
    ("call", "error", "place"),
    [("fdatasync", "EIO", DELIVERIES), ("pwrite64", "EDQUOT", DELIVERIES), ("fsync", "EIO", SINK)],
)
def test_a_replayer_repeats_what_it_could_not_record_or_hand_over(
    pair: FaultedPair, call: str, error: str, place: str
) -> None:
    before = len(pair.agents.log_events("replayer"))
    with fault(pair, "replayer", call, error, place) as injected:
        pair.insist(3)
        pair.until(lambda: injected.seen)
    if place == DELIVERIES:
        pair.until(lambda: pair.says("replayer", "delivery_store_recovered", before))
        assert pair.says("replayer", "delivery_store_failed", before)
    pair.check_promise()
    pair.agents.check_alive()


def test_every_message_arrived_and_nothing_was_refused_or_missed(pair: FaultedPair) -> None:
    pair.check_promise()
    assert (pair.missing, pair.quarantined) == ([], 0)
