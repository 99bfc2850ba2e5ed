"""The commit thread: one piece of work at a time, its result or failure to whoever waits."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from outer_agent.commit_thread import CommitThread


async def test_results_and_failures_come_back_and_order_is_kept() -> None:
    thread = CommitThread()
    done: list[int] = []

    def work(number: int) -> int:
        time.sleep(0.01 if number == 0 else 0)
        done.append(number)
        if number == 1:
            raise ValueError("one")
        return number

    outcomes = await asyncio.gather(
        *(thread.run(work, number) for number in range(3)), return_exceptions=True
    )
    assert outcomes[0] == 0
    assert isinstance(outcomes[1], ValueError)
    assert outcomes[2] == 2
    assert done == [0, 1, 2]
    thread.close()


async def test_who_was_cancelled_keeps_nobody_else_from_an_answer() -> None:
    thread = CommitThread()
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        go_on.wait(10)

    first = thread.run(slow)
    await asyncio.to_thread(began.wait, 10)
    first.cancel()
    go_on.set()
    assert await thread.run(lambda: "second") == "second"
    thread.close()


async def test_closing_ends_what_was_handed_over_and_takes_no_more() -> None:
    thread = CommitThread()
    waiting = thread.run(time.sleep, 0.05)
    thread.close()
    assert await waiting is None
    with pytest.raises(RuntimeError):
        thread.run(print)


def test_a_loop_that_was_closed_meanwhile_does_not_end_the_thread() -> None:
    thread = CommitThread()
    go_on = threading.Event()

    async def hand_over() -> None:
        thread.run(go_on.wait, 10)

    asyncio.run(hand_over())
    go_on.set()

    async def again() -> str:
        return await thread.run(lambda: "still here")

    assert asyncio.run(again()) == "still here"
    thread.close()
