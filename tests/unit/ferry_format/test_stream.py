"""Which file may come next: the rows of the table one by one, and gaps kept exactly."""

from __future__ import annotations

import pytest

from ferry_format.container import GENESIS_DIGEST
from ferry_format.limits import SEQUENCE_MAX
from ferry_format.reasons import Refused
from ferry_format.stream import (
    Acceptance,
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

STREAM = bytes(16)


def digest(sequence: int) -> bytes:
    return GENESIS_DIGEST if sequence == 0 else sequence.to_bytes(32, "big")


def link(sequence: int) -> Link:
    return Link(digest(sequence), digest(sequence - 1))


def after(*sequences: int) -> tuple[StreamState, dict[int, Link]]:
    """A receiver that took these files, and gave up what was missing before each."""
    state, links = StreamState(STREAM), {}
    for sequence in sequences:
        if sequence > state.next_sequence:
            state = skip_to(state, sequence)
        state = advance(state, digest(sequence))
        links[sequence] = link(sequence)
    return state, links


def placed(taken: tuple[int, ...], sequence: int, said: Link | None = None) -> Acceptance:
    state, links = after(*taken)
    return judge(state, sequence, said or link(sequence), links.get)


def refused(taken: tuple[int, ...], sequence: int, said: Link) -> str:
    with pytest.raises(Refused) as caught:
        placed(taken, sequence, said)
    return caught.value.reason.code


def test_the_first_file_follows_nothing() -> None:
    assert placed((), 1) == Next()
    assert refused((), 1, Link(digest(1), digest(9))) == "chain_broken"


def test_the_next_file_names_the_one_before_it() -> None:
    assert placed((1,), 2) == Next()
    assert refused((1,), 2, Link(digest(2), digest(9))) == "chain_broken"


def test_behind_a_gap_that_was_given_up_any_predecessor_is_believed() -> None:
    state, links = after(1)
    state = skip_to(state, 4)
    assert judge(state, 4, Link(digest(4), digest(9)), links.get) == Next()


def test_a_file_ahead_names_exactly_what_is_missing() -> None:
    assert placed((1, 2), 7) == Ahead(Gap(3, 6))
    assert placed((), 2) == Ahead(Gap(1, 1))


def test_the_same_file_again_is_dropped_and_another_in_its_place_refused() -> None:
    assert placed((1, 2, 3), 2) == Repeated()
    assert refused((1, 2, 3), 2, Link(digest(9), digest(1))) == "sequence_reused"


def test_a_late_file_fits_both_neighbours() -> None:
    assert placed((1, 3), 2) == Late()
    assert refused((1, 3), 2, Link(digest(9), digest(1))) == "chain_broken"
    assert refused((1, 3), 2, Link(digest(2), digest(9))) == "chain_broken"


def test_a_late_file_without_neighbours_is_taken_as_it_is() -> None:
    assert placed((1, 6), 4, Link(digest(9), digest(8))) == Late()


def test_a_late_first_file_follows_nothing() -> None:
    assert placed((2,), 1) == Late()
    assert refused((2,), 1, Link(digest(1), digest(9))) == "chain_broken"


def test_the_sequence_without_a_next_is_refused() -> None:
    state = StreamState(STREAM, SEQUENCE_MAX, None)
    with pytest.raises(Refused, match="bad_frame"):
        judge(state, SEQUENCE_MAX, link(SEQUENCE_MAX), {}.get)
    before = StreamState(STREAM, SEQUENCE_MAX - 1, None)
    assert judge(before, SEQUENCE_MAX - 1, link(SEQUENCE_MAX - 1), {}.get) == Next()


def test_a_late_file_right_before_the_next_is_what_the_next_must_name() -> None:
    state, links = after(1)
    state = fill(skip_to(state, 4), 3, digest(3))
    links[3] = link(3)
    assert state.last_digest == digest(3)
    assert judge(state, 4, link(4), links.get) == Next()
    with pytest.raises(Refused, match="chain_broken"):
        judge(state, 4, Link(digest(4), digest(9)), links.get)


@pytest.mark.parametrize(
    ("late", "left"),
    [
        ((3,), (Gap(4, 6),)),
        ((6,), (Gap(3, 5),)),
        ((4,), (Gap(3, 3), Gap(5, 6))),
        ((4, 5), (Gap(3, 3), Gap(6, 6))),
        ((3, 4, 5, 6), ()),
    ],
)
def test_a_gap_shrinks_splits_and_closes(late: tuple[int, ...], left: tuple[Gap, ...]) -> None:
    state, _ = after(1, 2, 7)
    for sequence in late:
        state = fill(state, sequence, digest(sequence))
    assert state.gaps == left
    assert missing_files(state) == 4 - len(late)


def test_gaps_that_touch_become_one() -> None:
    state = skip_to(skip_to(StreamState(STREAM), 4), 9)
    assert state.gaps == (Gap(1, 8),)


def test_nothing_is_skipped_or_filled_that_is_not_missing() -> None:
    state, _ = after(1, 2)
    with pytest.raises(ValueError, match="skip"):
        skip_to(state, 3)
    with pytest.raises(ValueError, match="gap"):
        fill(state, 2, digest(2))


def test_a_gap_of_half_a_number_range_costs_nothing() -> None:
    state = skip_to(StreamState(STREAM), SEQUENCE_MAX - 1)
    assert missing_files(state) == SEQUENCE_MAX - 2
    assert fill(state, 2**40, digest(5)).gaps == (
        Gap(1, 2**40 - 1),
        Gap(2**40 + 1, SEQUENCE_MAX - 2),
    )
