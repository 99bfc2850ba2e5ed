from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outer_agent.room import Marks, Room, shortage

MARKS = Marks(
    medium_bytes_max=1000, medium_free_bytes_min=180, spool_free_bytes_min=90, resume_percent=90
)
ROOMY = Room(medium_bytes=0, medium_free_bytes=10**9, spool_free_bytes=10**9)


@pytest.mark.parametrize(
    ("room", "named", "short_from_new", "short_from_short"),
    [
        (Room(899, 10**9, 10**9), "medium.bytes_max", False, False),
        (Room(900, 10**9, 10**9), "medium.bytes_max", False, True),
        (Room(999, 10**9, 10**9), "medium.bytes_max", False, True),
        (Room(1000, 10**9, 10**9), "medium.bytes_max", True, True),
        (Room(0, 179, 10**9), "medium.free_bytes_min", True, True),
        (Room(0, 180, 10**9), "medium.free_bytes_min", False, True),
        (Room(0, 200, 10**9), "medium.free_bytes_min", False, False),
        (Room(0, 10**9, 89), "spool.free_bytes_min", True, True),
        (Room(0, 10**9, 99), "spool.free_bytes_min", False, True),
        (Room(0, 10**9, 100), "spool.free_bytes_min", False, False),
    ],
)
def test_the_door_closes_at_the_high_mark_and_opens_at_the_low_one(
    room: Room, named: str, *, short_from_new: bool, short_from_short: bool
) -> None:
    for was_short, expected in ((False, short_from_new), (True, short_from_short)):
        found = shortage(room, MARKS, was_short=was_short)
        assert (found is not None) is expected
        assert found is None or named in found


SIZES = st.integers(0, 10**15)


@given(
    st.builds(Room, SIZES, SIZES, SIZES), st.builds(Marks, SIZES, SIZES, SIZES, st.integers(1, 100))
)
def test_what_is_short_for_an_open_door_is_short_for_a_closed_one(room: Room, marks: Marks) -> None:
    if shortage(room, marks, was_short=False) is not None:
        assert shortage(room, marks, was_short=True) is not None


def test_a_roomy_disk_is_none() -> None:
    assert shortage(ROOMY, MARKS, was_short=True) is None
