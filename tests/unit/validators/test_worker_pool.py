"""The pool: verdicts, batches, deaths, deadlines, replacement; the sandbox it runs workers in."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from ferry_runtime.doctor import workers
from ferry_runtime.doctor.findings import Level, Side
from validators.policy import PAYLOAD_BYTES_MAX, ContentPolicy
from validators.registry import build
from validators.verdict import Accepted, Rejected
from validators.worker import ContentSpec, WorkerPool, wire
from validators.worker.process import WorkerProcess
from validators.worker.sandbox import COMPLETE, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

HL7 = ContentPolicy.model_validate(
    {"hl7v2": {"messages": ["*"], "segments": "any", "repetitions_max": 100_000}}
)
SPECS = {"adt": ContentSpec(HL7)}
MSH = b"MSH|^~\\&|HIS|H|EMR|H|2026||ADT^A01|4711|P|2.5\r"
BAD = b"MSH|^~\\&|HIS\rpid"


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(SPECS) as made:
        yield made


def one(index: int) -> bytes:
    return MSH.replace(b"4711", str(index).encode())


def test_verdicts_are_those_of_the_validator_in_order(pool: WorkerPool) -> None:
    payloads = [one(n) if n % 3 else BAD for n in range(200)]
    direct = build(HL7, {})
    assert pool.validate_many([("adt", each) for each in payloads]) == [
        direct.validate(each) for each in payloads
    ]
    assert pool.validate_many([]) == []


def test_a_long_call_tells_that_it_moves() -> None:
    told: list[float] = []
    with WorkerPool(SPECS, on_progress=lambda: told.append(time.monotonic())) as pool:
        pool.validate_many([("adt", one(1))])
        assert told == []
        pool.validate_many([("adt", one(n) + b"NTE|" + b"x" * 100_000) for n in range(60)])
    assert len(told) >= 3


async def test_the_event_loop_gets_the_same(pool: WorkerPool) -> None:
    payloads = [one(n) if n % 3 else BAD for n in range(300)]
    direct = build(HL7, {})
    found = await asyncio.gather(*(pool.validate("adt", each) for each in payloads))
    assert found == [direct.validate(each) for each in payloads]


def test_large_payloads_pass_through_small_pipes(pool: WorkerPool) -> None:
    large = MSH + b"OBX|1|FT|||" + b"QUJD" * 750_000 + b"\r"
    verdicts = pool.validate_many([("adt", large), ("adt", MSH), ("adt", large)])
    assert [isinstance(each, Accepted) and each.payload for each in verdicts] == [large, MSH, large]
    too_large = pool.validate_many([("adt", b"x" * (PAYLOAD_BYTES_MAX + 1))])
    assert isinstance(too_large[0], Rejected)
    assert too_large[0].reason is reasons.LIMIT_EXCEEDED


def test_several_processes_share_the_work() -> None:
    with WorkerPool(SPECS, processes=2) as two:
        assert len(set(two.process_ids)) == 2
        verdicts = two.validate_many([("adt", one(n)) for n in range(150)])
        assert [each.control_id for each in verdicts if isinstance(each, Accepted)] == [
            str(n) for n in range(150)
        ]


def test_a_channel_without_specification_is_an_error_of_the_caller(pool: WorkerPool) -> None:
    with pytest.raises(KeyError):
        pool.validate_many([("lab", MSH)])


def slow_specs() -> dict[str, ContentSpec]:
    policy = {
        "messages": ["*"],
        "segments": "any",
        "repetitions_max": 100_000,
        "components_max": 10_000,
    }
    return {"adt": ContentSpec(ContentPolicy.model_validate({"hl7v2": policy}))}


def slow_message() -> bytes:
    """Some seconds of honest work: millions of components within every limit."""
    field = b"~".join([b"a&b^" * 500] * 1000)
    return MSH + b"NTE|" + b"|".join([field] * 5) + b"\r"


def test_only_the_message_that_passes_the_deadline_is_condemned() -> None:
    with WorkerPool(slow_specs(), deadline_s=0.1) as pool:
        slow = slow_message()
        items = [("adt", one(1)), ("adt", slow), ("adt", one(2)), ("adt", one(3))]
        verdicts = pool.validate_many(items)
        assert [type(each) for each in verdicts] == [Accepted, Rejected, Accepted, Accepted]
        assert verdicts[1] == Rejected(reasons.WORKER_DIED, "past the deadline")
        assert pool.workers_ended >= 1
        assert isinstance(pool.validate_many([("adt", MSH)])[0], Accepted)


async def test_a_deadline_holds_for_the_event_loop_too() -> None:
    with WorkerPool(slow_specs(), deadline_s=0.1) as pool:
        slow = asyncio.ensure_future(pool.validate("adt", slow_message()))
        after = [asyncio.ensure_future(pool.validate("adt", one(n))) for n in range(5)]
        assert await slow == Rejected(reasons.WORKER_DIED, "past the deadline")
        assert all(isinstance(each, Accepted) for each in await asyncio.gather(*after))


async def test_a_stall_of_our_own_costs_no_message() -> None:
    with WorkerPool(SPECS, deadline_s=0.3) as pool:
        verdict = pool.validate("adt", MSH + b"NTE|" + b"x" * 131_000)  # more than a pipe holds
        time.sleep(0.8)  # noqa: ASYNC251 - the event loop's stall is the subject
        assert isinstance(await verdict, Accepted)


async def test_a_worker_that_gets_no_processor_time_costs_no_message() -> None:
    with WorkerPool(SPECS, deadline_s=0.3) as pool:
        (worker,) = pool.process_ids
        os.kill(worker, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(0.8, os.kill, worker, signal.SIGCONT)
        assert isinstance(await pool.validate("adt", MSH), Accepted)
        assert pool.process_ids == (worker,)


async def test_a_worker_that_hangs_costs_its_message_and_nobody_elses() -> None:
    with WorkerPool(SPECS, deadline_s=0.05) as pool:
        os.kill(pool.process_ids[0], signal.SIGSTOP)
        hung, after = pool.validate("adt", one(1)), pool.validate("adt", one(2))
        assert await hung == Rejected(reasons.WORKER_DIED, "past the deadline")
        assert isinstance(await after, Accepted)


def test_a_message_that_takes_too_much_memory_ends_its_worker_only() -> None:
    limits = Limits(memory_bytes_max=220 * 1024 * 1024)
    with WorkerPool(slow_specs(), limits=limits, deadline_s=20) as pool:
        verdicts = pool.validate_many([("adt", one(1)), ("adt", slow_message()), ("adt", one(2))])
        assert verdicts[1] == Rejected(reasons.WORKER_DIED, "ended")
        assert isinstance(verdicts[0], Accepted)
        assert isinstance(verdicts[2], Accepted)


def test_cpu_time_of_a_worker_is_bounded_by_the_kernel() -> None:
    with WorkerPool(slow_specs(), limits=Limits(cpu_s_max=1), deadline_s=60) as pool:
        verdicts = pool.validate_many([("adt", slow_message())])
        assert verdicts == [Rejected(reasons.WORKER_DIED, "ended")]


def test_a_worker_that_somebody_kills_costs_no_message(pool: WorkerPool) -> None:
    for _ in range(3):
        os.kill(pool.process_ids[0], signal.SIGKILL)
        verdicts = pool.validate_many([("adt", one(n)) for n in range(10)])
        assert all(isinstance(each, Accepted) for each in verdicts)


async def test_an_idle_worker_that_dies_is_replaced_by_itself(pool: WorkerPool) -> None:
    await pool.validate("adt", MSH)
    before = pool.process_ids
    os.kill(before[0], signal.SIGKILL)
    for _ in range(100):
        await asyncio.sleep(0.02)
        if pool.process_ids and pool.process_ids != before:
            break
    assert pool.process_ids != before
    assert isinstance(await pool.validate("adt", MSH), Accepted)


def test_workers_are_replaced_after_their_number_of_messages() -> None:
    with WorkerPool(SPECS, messages_per_process=20) as pool:
        seen = set()
        end = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < end:
            verdicts = pool.validate_many([("adt", one(n)) for n in range(10)])
            assert all(isinstance(each, Accepted) for each in verdicts)
            seen |= set(pool.process_ids)
        assert len(seen) >= 3
        assert pool.workers_ended == 0


async def test_a_caller_that_gives_up_disturbs_nobody(pool: WorkerPool) -> None:
    tasks = [asyncio.ensure_future(pool.validate("adt", one(n))) for n in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, each in enumerate(found) if not isinstance(each, Accepted)] == [3]


def test_a_specification_that_cannot_be_built_means_unavailable(
    capfd: pytest.CaptureFixture[str],
) -> None:
    policy = {"json": {"schema_file": "s.json", "schema_sha256": "0" * 64}}
    spec = ContentSpec(ContentPolicy.model_validate(policy), {"s.json": b"{}"})
    with pytest.raises(Unavailable, match="do not start"):
        WorkerPool({"orders": spec})
    assert "SHA-256" in capfd.readouterr().err


async def test_closing_answers_whoever_waits(pool: WorkerPool) -> None:
    waiting = asyncio.ensure_future(pool.validate("adt", slow_message()))
    await asyncio.sleep(0)
    pids = pool.process_ids
    pool.close()
    with pytest.raises(Unavailable):
        await waiting
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_whose_parent_is_gone_ends() -> None:
    process = WorkerProcess(wire.pack_start(SPECS, Limits()))
    while not process.flush() or process.receive() is None:
        time.sleep(0.01)
    process._process.stdin.close()  # type: ignore[union-attr]
    assert process._process.wait(5) == 0
    process.end()


@pytest.mark.parametrize(
    "said",
    [[], [[]], [["x"]], [[b"p", "t", 7]], [["no_such_code", ""]], [[b"p", "t", None]] * 2, {}, None,
     [["t", b"p", None]], [[b"p", "t" * 2000, None]]],
)  # fmt: skip
def test_what_is_no_verdict_is_not_taken_for_one(said: object) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack_verdicts(wire.frame(said)[4:], 1)
    for junk in (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", wire.frame([["a", ""]])[4:] + b"x"):
        with pytest.raises(wire.WireError):
            wire.unpack_verdicts(junk, 1)


def test_a_large_answer_takes_no_multiple_of_its_size() -> None:
    lawful = [Accepted(b"x" * 2_000_000, "ADT^A01", "4711", bytes(32))]
    assert wire.unpack_verdicts(wire.pack_verdicts(lawful)[4:], 1) == lawful
    nested = b"\xdc\xff\xff" + b"\x90" * 0xFFFF
    bomb = b"\x9f" * 2 + nested * 40
    tracemalloc.start()
    try:
        with pytest.raises(wire.WireError):
            wire.unpack_verdicts(bomb, 15)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(bomb)
    finally:
        tracemalloc.stop()


def test_the_pool_says_what_its_workers_gave_up(pool: WorkerPool) -> None:
    assert pool.sandbox.startswith("rlimits")


def test_without_the_whole_sandbox_no_message_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Stands in for a kernel without seccomp, which cannot be had here: the greeting of one.
    words = "rlimits only (no seccomp: Function not implemented)"

    def greet(process: WorkerProcess, _body: bytes) -> None:
        process.sandbox = words

    monkeypatch.setattr(WorkerProcess, "greet", greet)
    with pytest.raises(Refused, match="sandbox_missing") as refused:
        WorkerPool(SPECS, sandbox_required=True)
    assert refused.value.where == words
    with WorkerPool(SPECS) as pool:
        assert pool.sandbox == words
        assert isinstance(pool.validate_many([("adt", MSH)])[0], Accepted)
    (told,) = workers.look(Side.OUTER, sandbox_required=True)
    assert (told.level, words in told.seen) == (Level.FAULT, True)
    (told,) = workers.look(Side.OUTER, sandbox_required=False)
    assert told.level is Level.WARNING


def test_the_doctor_starts_a_worker_and_says_what_holds_it() -> None:
    (told,) = workers.look(Side.INNER, sandbox_required=True)
    assert told.level is Level.WELL
    assert COMPLETE in told.seen
    assert re.search("(, |no )Landlock", told.seen)
    assert re.search("(, |no )namespaces", told.seen)
