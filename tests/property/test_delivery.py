"""Properties of the delivery rules, and a model of a channel under crashes and orders."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ferry_format import reasons
from inner_agent import operator_orders
from inner_agent.delivery import (
    REFUSALS,
    RETRY_S_MIN,
    SETTLED,
    SINK_TAKES_NOTHING,
    TRANSITIONS,
    ChannelQueue,
    Dead,
    DeliveryPolicy,
    Progress,
    Requeued,
    RetryAfter,
    State,
    backoff_s,
    decide,
)
from inner_agent.delivery_store import DeliveryStore, Orders, Outcome
from inner_agent.sinks.base import Delivered, Failed, SinkResult

RETRIED = [
    reasons.SINK_FAILED,
    reasons.SINK_BUSY,
    reasons.SINK_UNREACHABLE,
    reasons.SINK_NO_ANSWER,
    reasons.SINK_BAD_ANSWER,
    reasons.DELIVERY_FAULT,
]
chances = st.floats(0, 1, exclude_max=True)
policies = st.builds(
    lambda attempts, first, times: DeliveryPolicy(attempts, first, first * times),
    st.integers(0, 50),
    st.floats(0.01, 60),
    st.floats(1, 1000),
)
failures = st.builds(
    Failed,
    st.sampled_from(RETRIED),
    st.just(value=False),
    st.just(""),
    st.none() | st.floats(0, 1e9),
)


@given(st.integers(0, 10**9), policies, chances)
def test_a_pause_is_never_outside_its_bounds(
    attempts: int, policy: DeliveryPolicy, chance: float
) -> None:
    assert RETRY_S_MIN <= backoff_s(attempts, policy, chance) <= policy.retry_most_s


@given(failures, st.integers(1, 100), policies, chances)
def test_whatever_a_sink_asks_for_the_pause_stays_within_the_channels_bounds(
    failed: Failed, attempts: int, policy: DeliveryPolicy, chance: float
) -> None:
    decision = decide(failed, Progress(attempts, 0), policy, chance)
    if isinstance(decision, RetryAfter):
        assert RETRY_S_MIN <= decision.seconds <= policy.retry_most_s
        assert decision.reason is failed.reason


@given(st.lists(failures, min_size=1, max_size=60), policies, chances)
def test_a_message_dies_exactly_at_its_last_allowed_refusal(
    results: list[Failed], policy: DeliveryPolicy, chance: float
) -> None:
    progress = Progress()
    refusals = 0
    for number, result in enumerate(results, start=1):
        progress = progress.after(result, number)
        refusals += result.reason in REFUSALS
        decision = decide(result, progress, policy, chance)
        over = result.reason in REFUSALS and 0 < policy.attempts_max <= refusals
        assert isinstance(decision, Dead) == over
        assert progress == Progress(number, refusals, 1)
        if over:
            return


@given(st.sampled_from(list(State)), st.lists(st.integers(0, 5), max_size=30))
def test_only_an_order_leads_out_of_a_settled_state(start: State, steps: list[int]) -> None:
    state = start
    for step in steps:
        targets = sorted(TRANSITIONS[state])
        if not targets:
            assert state is State.DELIVERED
            return
        following = targets[step % len(targets)]
        if state in SETTLED:
            assert following in {State.REQUEUED, State.DISCARDED, State.DELIVERED}
        state = following


class ChannelUnderCrashes(RuleBasedStateMachine):
    """One channel: messages come, a sink answers, outcomes wait, power fails, operators order."""

    keys = 1

    def __init__(self) -> None:
        super().__init__()
        self._folder = contextlib.ExitStack()
        root = self._folder.enter_context(tempfile.TemporaryDirectory())
        self.path = Path(root) / "delivery.db"
        self.journaled = 0
        self.taken: list[int] = []  # positions in the order in which the sink took them
        self.unrecorded: set[int] = set()  # taken, the outcome lost with the power
        self.lost_their_place: set[int] = set()  # died, the outcome lost with the power
        self.discarded: set[int] = set()
        self.ordered: set[int] = set()  # ever requeued
        self.policy = DeliveryPolicy(attempts_max=2)
        self.store = DeliveryStore(self.path)
        self._restart()

    def teardown(self) -> None:
        self.store.close()
        self._folder.close()

    def _restart(self) -> None:
        self.now_s = 0.0
        self.queue: ChannelQueue = self.store.load("adt")
        self._requeue(self.store.requeued("adt", self.queue.cursor))
        self.pending: list[Outcome] = []
        self.seen: Orders | None = self.store.orders(())
        self.given_up = set(self.discarded)

    def _key(self, position: int) -> bytes | None:
        return None if self.keys == 1 else bytes([position % self.keys])

    def _requeue(self, requeued: list[Requeued]) -> None:
        self.queue.requeue((each, self._key(each[0])) for each in requeued)

    def _next(self) -> int | None:
        while (position := self.queue.next(self.now_s)) is None:
            following = self.queue.taken_up_to + 1
            if following > self.journaled or self.queue.is_held(self.now_s):
                return None
            self.queue.take(following, self._key(following))
        return position

    @rule()
    def time_passes(self) -> None:
        self.now_s = max(self.now_s, self.queue.wakes_at_s() or 0.0)

    @rule(number=st.integers(1, 5))
    def arrive(self, number: int) -> None:
        self.journaled += number

    @rule(
        result=st.sampled_from(
            [
                Delivered(),
                Delivered(),
                Failed(reasons.SINK_FAILED),
                Failed(reasons.SINK_UNREACHABLE),
                Failed(reasons.SINK_REFUSED, permanent=True),
            ]
        )
    )
    def attempt(self, result: SinkResult) -> None:
        position = self._next()
        if position is None:
            return
        assert position not in self.given_up, "discarded before the restart, and tried again"
        progress = self.queue.progress(position).after(result, 1)
        decision = decide(result, progress, self.policy, 0.5)
        state = State.DELIVERING
        if isinstance(decision, Delivered):
            if position in self.taken:
                assert position in self.unrecorded, "delivered twice without a crash between"
            self.unrecorded.discard(position)
            self.taken.append(position)
            state = State.DELIVERED
        elif isinstance(decision, Dead):
            state = State.DEAD
        if isinstance(decision, RetryAfter):
            holds = decision.reason in SINK_TAKES_NOTHING
            self.queue.retry(position, progress, self.now_s + 1, holds_channel=holds)
        else:
            self.queue.settle(position, progress)
        self.pending.append(
            Outcome(
                position,
                position.to_bytes(16, "big"),
                "adt",
                state,
                progress,
                None,
                None if state is State.DELIVERING else 1,
                self.queue.cursor,
            )
        )

    @rule()
    def commit(self) -> None:
        if self.pending:
            self.store.commit(self.pending)
        self.pending = []

    @rule()
    def power_fails(self) -> None:
        self.unrecorded |= {o.position for o in self.pending if o.state is State.DELIVERED}
        self.lost_their_place |= {o.position for o in self.pending if o.state is State.DEAD}
        self.store.close()
        self.store = DeliveryStore(self.path)
        self._restart()

    @rule(data=st.data())
    @precondition(lambda self: self.journaled > 0)
    def requeue(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(1, self.journaled))
        self.ordered |= set(operator_orders.requeue(self.path, [position]))

    @rule(data=st.data())
    @precondition(lambda self: self.journaled > 0)
    def discard(self, data: st.DataObject) -> None:
        position = data.draw(st.integers(1, self.journaled))
        self.discarded |= set(operator_orders.discard(self.path, [position], "x", now_ms=1))

    @rule()
    def look_begins(self) -> None:
        """The store's thread reads the orders; the loop goes on meanwhile."""
        orders = self.store.orders(tuple(self.queue.unfinished))
        self.seen = orders or self.seen

    @rule()
    def look_ends(self) -> None:
        if self.seen is None:
            return
        self._requeue(self.seen.requeued.get("adt", []))
        for position in self.seen.discarded.intersection(self.queue.unfinished):
            self.queue.settle(position, self.queue.progress(position))
        self.seen = None

    @invariant()
    def first_deliveries_of_a_key_are_in_order(self) -> None:
        free = self.ordered | self.lost_their_place
        first = [p for p in dict.fromkeys(self.taken) if p not in free]
        for key in {self._key(position) for position in first}:
            line = [position for position in first if self._key(position) == key]
            assert line == sorted(line)

    @invariant()
    def everything_at_or_below_the_cursor_is_accounted_for(self) -> None:
        rows = {
            row.position: row.state
            for position in range(1, self.journaled + 1)
            if (row := operator_orders.find(self.path, position)) is not None
        }
        durable_cursor = operator_orders.cursors(self.path).get("adt", 0)
        for position in range(1, durable_cursor + 1):
            assert position in rows, "below the cursor and never recorded: lost"
            if rows[position] is State.DELIVERED:
                assert position in self.taken


class ChannelByKeyUnderCrashes(ChannelUnderCrashes):
    """The same where messages are ordered by one of three keys."""

    keys = 3


STEPS = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestChannelUnderCrashes = ChannelUnderCrashes.TestCase
TestChannelUnderCrashes.settings = STEPS
TestChannelByKeyUnderCrashes = ChannelByKeyUnderCrashes.TestCase
TestChannelByKeyUnderCrashes.settings = STEPS
