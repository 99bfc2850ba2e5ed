"""The stream's rules under any arrival: two references, a plain set and the second reader's own."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ferry_format.container import GENESIS_DIGEST
from ferry_format.reasons import Refused
from ferry_format.stream import (
    Ahead,
    Gap,
    Late,
    Link,
    Next,
    Repeated,
    StreamState,
    advance,
    fill,
    judge,
    missing_files,
    skip_to,
)
from tests.simulator.independent_reader import Opened, Refusal, Stream

LAST = 24
SEQUENCES = st.integers(1, LAST)
STREAM = bytes(16)


class _Receiver:
    """What a receiver keeps: the state that the rules make, and the links of what it took."""

    def __init__(self) -> None:
        self.state = StreamState(STREAM)
        self.links: dict[int, Link] = {}
        self.taken: Counter[int] = Counter()

    def meet(self, sequence: int, link: Link) -> str:
        try:
            verdict = judge(self.state, sequence, link, self.links.get)
        except Refused as refused:
            return refused.reason.code
        if isinstance(verdict, Repeated):
            return "sequence_replayed"
        if isinstance(verdict, Ahead):
            assert verdict.missing == Gap(self.state.next_sequence, sequence - 1)
            return "wait"
        change = fill if verdict == Late() else lambda state, _, digest: advance(state, digest)
        self.state = change(self.state, sequence, link.digest)
        self.links[sequence] = link
        self.taken[sequence] += 1
        return "accept" if verdict == Next() else "late"


class AnyArrival(RuleBasedStateMachine):
    """An honest sender's files come in any order, twice, late or never; a set is the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.receiver = _Receiver()
        self.next = 1
        self.arrived: set[int] = set()

    @rule(sequence=SEQUENCES)
    def arrive(self, sequence: int) -> None:
        previous = GENESIS_DIGEST if sequence == 1 else (sequence - 1).to_bytes(32, "big")
        found = self.receiver.meet(sequence, Link(sequence.to_bytes(32, "big"), previous))
        if sequence in self.arrived:
            assert found == "sequence_replayed"
        elif sequence > self.next:
            assert found == "wait"
        else:
            assert found == ("accept" if sequence == self.next else "late")
            self.arrived.add(sequence)
            self.next = max(self.next, sequence + 1)

    @rule(sequence=SEQUENCES)
    def give_up_before(self, sequence: int) -> None:
        if sequence > self.next:
            self.receiver.state = skip_to(self.receiver.state, sequence)
            self.next = sequence

    @invariant()
    def each_file_was_taken_once(self) -> None:
        assert self.receiver.taken == Counter(self.arrived)

    @invariant()
    def gaps_are_exact(self) -> None:
        gaps = self.receiver.state.gaps
        missing = [number for gap in gaps for number in range(gap.first, gap.last + 1)]
        assert missing == sorted(set(range(1, self.next)) - self.arrived)
        assert missing_files(self.receiver.state) == len(missing)
        pairs = itertools.pairwise(gaps)
        assert all(later.first > earlier.last + 1 for earlier, later in pairs)


DIGESTS = st.integers(0, 3).map(lambda number: number.to_bytes(32, "big"))


class AnyForgery(RuleBasedStateMachine):
    """A thief of the signing key writes any links; the second reader's rules are the reference.

    Few digests and few sequences, so that forged files often fit, and collide.
    """

    def __init__(self) -> None:
        super().__init__()
        self.receiver = _Receiver()
        self.second = Stream(STREAM)

    @rule(sequence=st.integers(1, 6), digest=DIGESTS, previous=DIGESTS)
    def arrive(self, sequence: int, digest: bytes, previous: bytes) -> None:
        try:
            theirs = self.second.decide(Opened(STREAM, sequence, previous, digest, []))
        except Refusal as refusal:
            theirs = refusal.code
        assert self.receiver.meet(sequence, Link(digest, previous)) == theirs

    @rule(sequence=st.integers(1, 6))
    def give_up_before(self, sequence: int) -> None:
        if sequence > self.receiver.state.next_sequence:
            self.receiver.state = skip_to(self.receiver.state, sequence)
            self.second.give_up_before(sequence)

    @invariant()
    def what_was_taken_is_one_chain(self) -> None:
        links = self.receiver.links
        assert all(
            links[number].previous_digest == links[number - 1].digest
            for number in links
            if number - 1 in links
        )
        assert max(self.receiver.taken.values(), default=1) == 1


STEPS = settings(max_examples=120, stateful_step_count=40, deadline=None)
AnyArrival.TestCase.settings = STEPS
AnyForgery.TestCase.settings = STEPS
TestAnyArrival = AnyArrival.TestCase
TestAnyForgery = AnyForgery.TestCase
