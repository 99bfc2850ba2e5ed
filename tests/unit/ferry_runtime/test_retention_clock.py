"""The clock of deletion, against wall clocks that jump."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ferry_runtime.retention_clock import BELIEVED_AT_START_MS, RetentionClock

YEAR_MS = 365 * 86_400_000
NOW_MS = 1_795_000_000_000


def test_a_clock_that_jumps_ahead_while_the_agent_runs_deletes_nothing_early() -> None:
    clock = RetentionClock(NOW_MS, NOW_MS, 0.0)
    assert clock.now_ms(NOW_MS + 10 * YEAR_MS, 60.0) == NOW_MS + 60_000


def test_nor_does_one_that_jumped_while_the_agent_was_down() -> None:
    clock = RetentionClock(NOW_MS, NOW_MS + 10 * YEAR_MS, 0.0)
    assert clock.now_ms(NOW_MS + 10 * YEAR_MS, 0.0) == NOW_MS + BELIEVED_AT_START_MS


def test_a_new_spool_believes_the_clock_that_it_finds() -> None:
    assert RetentionClock(None, NOW_MS, 5.0).now_ms(NOW_MS + 1000, 6.0) == NOW_MS + 1000


def test_a_clock_that_jumps_back_only_delays() -> None:
    clock = RetentionClock(NOW_MS, NOW_MS, 0.0)
    assert clock.now_ms(NOW_MS - YEAR_MS, 60.0) == NOW_MS - YEAR_MS


@given(
    st.integers(-YEAR_MS, YEAR_MS),
    st.lists(st.tuples(st.integers(-YEAR_MS, YEAR_MS), st.floats(0, 1e6))),
)
def test_it_never_runs_faster_than_time_passes(start: int, steps: list[tuple[int, float]]) -> None:
    clock = RetentionClock(NOW_MS, NOW_MS + start, 0.0)
    first_ms = clock.now_ms(NOW_MS + start, 0.0)
    monotonic_s = 0.0
    for wall, passed_s in steps:
        monotonic_s += passed_s
        assert clock.now_ms(NOW_MS + wall, monotonic_s) <= first_ms + monotonic_s * 1000 + 1
