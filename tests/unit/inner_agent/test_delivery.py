"""delivery.py: what follows from a sink's answer, and which message is next."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from inner_agent.delivery import (
    REFUSALS,
    RETRY_S_MIN,
    SETTLED,
    TRANSITIONS,
    ChannelQueue,
    Dead,
    DeliveryPolicy,
    Progress,
    RetryAfter,
    State,
    backoff_s,
    decide,
)
from inner_agent.sinks.base import Delivered, Failed

POLICY = DeliveryPolicy(attempts_max=3, retry_first_s=1.0, retry_most_s=60.0)


def test_an_accepted_message_is_delivered() -> None:
    assert decide(Delivered(), Progress(1), POLICY, 0.5) == Delivered()


def test_a_permanent_refusal_is_dead_at_once() -> None:
    failed = Failed(reasons.SINK_REFUSED, permanent=True)
    assert decide(failed, Progress(1), POLICY, 0.5) == Dead(reasons.SINK_REFUSED)


def test_refusals_for_now_are_dead_when_the_limit_is_reached_and_not_before() -> None:
    failed = Failed(reasons.SINK_FAILED)
    progress = Progress()
    decisions = []
    for _ in range(3):
        progress = progress.after(failed, 1)
        decisions.append(decide(failed, progress, POLICY, 0.5))
    assert [type(each) for each in decisions] == [RetryAfter, RetryAfter, Dead]
    assert decisions[-1] == Dead(reasons.ATTEMPTS_EXHAUSTED)


@pytest.mark.parametrize(
    "reason",
    [
        reasons.SINK_UNREACHABLE,
        reasons.SINK_NO_ANSWER,
        reasons.SINK_BAD_ANSWER,
        reasons.SINK_BUSY,
    ],
)
def test_a_sink_that_is_down_for_a_day_makes_no_dead_letter(reason: reasons.Reason) -> None:
    failed = Failed(reason)
    progress = Progress()
    for _ in range(24 * 60):
        progress = progress.after(failed, 1)
        assert isinstance(decide(failed, progress, POLICY, 0.5), RetryAfter)
    assert progress.attempts == 24 * 60
    assert progress.refusals == 0


def test_attempts_max_zero_retries_for_ever() -> None:
    failed = Failed(reasons.SINK_FAILED)
    policy = DeliveryPolicy(attempts_max=0)
    assert isinstance(decide(failed, Progress(10_000, 10_000), policy, 0.5), RetryAfter)


def test_refusals_count_across_attempts_of_other_kinds() -> None:
    progress = Progress()
    for reason in (reasons.SINK_FAILED, reasons.SINK_UNREACHABLE, reasons.SINK_FAILED):
        progress = progress.after(Failed(reason), 7)
    assert progress == Progress(attempts=3, refusals=2, first_attempt_at_ms=7)


def test_retry_after_is_honoured_up_to_the_channels_longest_pause() -> None:
    def pause(asked_s: float) -> float:
        failed = Failed(reasons.SINK_BUSY, retry_after_s=asked_s)
        decision = decide(failed, Progress(1), POLICY, 0.25)
        assert isinstance(decision, RetryAfter)
        return decision.seconds

    assert pause(20) == 20
    assert pause(86_400) == 60
    assert pause(0) == 0.25


def test_the_pause_doubles_up_to_its_bound() -> None:
    pauses = [backoff_s(attempts, POLICY, 0.999_999_999) for attempts in range(1, 10)]
    assert [round(each) for each in pauses] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert backoff_s(1_000_000, POLICY, 0.5) == 30
    assert backoff_s(5, POLICY, 0.0) == RETRY_S_MIN


def test_the_table_has_every_state_and_delivered_is_final() -> None:
    assert set(TRANSITIONS) == set(State)
    assert TRANSITIONS[State.DELIVERED] == frozenset()
    assert all(State.WAITING not in targets for targets in TRANSITIONS.values())
    assert State.REQUEUED in TRANSITIONS[State.DEAD]
    assert {State.DELIVERED, State.DEAD, State.DISCARDED} == SETTLED
    assert reasons.SINK_UNREACHABLE not in REFUSALS


def test_an_old_row_does_not_requeue_what_was_tried_since() -> None:
    queue = ChannelQueue("adt", cursor=10)
    queue.requeue([((4, Progress(2)), None)])
    queue.settle(4, Progress(3))
    queue.requeue([((4, Progress(2)), None)])  # the row as it was before the outcome was written
    assert queue.next(0) is None
    queue.requeue([((4, Progress(3)), None)])  # died again, and requeued again
    assert queue.next(0) == 4


def test_a_requeued_message_does_not_move_the_cursor() -> None:
    queue = ChannelQueue("adt", cursor=10)
    queue.requeue([((4, Progress(2)), None), ((6, Progress(1)), None)])
    assert queue.requeued == 2
    queue.settle(4, Progress(3))
    assert (queue.cursor, queue.next(0)) == (10, 6)


def taken(*keys: bytes | None) -> ChannelQueue:
    """Positions from 1 on, with these order keys."""
    queue = ChannelQueue("adt")
    for position, key in enumerate(keys, 1):
        queue.take(position, key)
    return queue


def test_a_message_that_is_refused_holds_up_its_own_key_only() -> None:
    queue = taken(b"li", b"wang", b"li", b"wang")
    queue.retry(1, Progress(1), 10.0, holds_channel=False)
    assert queue.next(0) == 2
    queue.settle(2, Progress(1))
    assert queue.next(0) == 4
    queue.settle(4, Progress(1))
    assert (queue.next(9.9), queue.cursor, queue.wakes_at_s()) == (None, 0, 10.0)
    assert (queue.lines_held_up, queue.settled_above_cursor) == (1, 2)
    assert queue.next(10.0) == 1
    queue.settle(1, Progress(2))
    assert (queue.next(10.0), queue.cursor) == (3, 2)
    queue.settle(3, Progress(1))
    assert (queue.next(10.0), queue.cursor, queue.taken) == (None, 4, 0)


def test_without_keys_a_message_that_is_refused_holds_up_the_channel() -> None:
    queue = taken(None, None)
    queue.retry(1, Progress(1), 10.0, holds_channel=False)
    assert queue.next(0) is None
    queue.settle(1, Progress(2))
    assert queue.next(0) == 2


def test_a_sink_that_takes_nothing_holds_up_every_key() -> None:
    queue = taken(b"li", b"wang")
    queue.retry(1, Progress(1), 10.0, holds_channel=True)
    assert (queue.next(9.0), queue.is_held(9.0), queue.wakes_at_s()) == (None, True, 10.0)
    assert queue.next(10.0) == 1
    queue.settle(1, Progress(2))
    assert queue.next(10.0) == 2


def test_a_dead_letter_above_the_cursor_can_be_requeued() -> None:
    queue = taken(b"li", b"wang", b"wang")
    queue.retry(1, Progress(1), 10.0, holds_channel=False)
    queue.settle(2, Progress(3))
    queue.requeue([((2, Progress(3)), b"wang")])
    assert queue.next(0) == 2
    queue.settle(2, Progress(4))
    queue.settle(1, Progress(2))
    assert queue.cursor == 2
