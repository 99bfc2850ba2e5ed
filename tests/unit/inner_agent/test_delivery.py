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
    queue.requeue([(4, Progress(2))])
    queue.settle(4, Progress(3))
    queue.requeue([(4, Progress(2))])  # the row as it was before the outcome was written
    assert queue.next_requeued() is None
    queue.requeue([(4, Progress(3))])  # died again, and requeued again
    assert queue.next_requeued() == 4


def test_a_requeued_message_does_not_move_the_cursor() -> None:
    queue = ChannelQueue("adt", cursor=10)
    queue.requeue([(4, Progress(2)), (6, Progress(1))])
    assert queue.requeued == 2
    queue.settle(4, Progress(3))
    assert (queue.cursor, queue.next_requeued()) == (10, 6)
