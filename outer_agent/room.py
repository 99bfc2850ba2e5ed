"""Whether there is room to take messages: a high mark closes the door, a low mark opens it again.

Between the two nothing changes, so that a medium at its limit does not turn every other message
away. Pure decisions; bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """What was measured."""

    medium_bytes: int
    medium_free_bytes: int
    spool_free_bytes: int


@dataclass(frozen=True, slots=True)
class Marks:
    """The configuration's high marks, and at how many percent of them the low ones lie."""

    medium_bytes_max: int
    medium_free_bytes_min: int
    spool_free_bytes_min: int
    resume_percent: int = 90


def shortage(room: Room, marks: Marks, *, was_short: bool) -> str | None:
    """What there is too little of, in words that name its key; None if there is room."""
    percent = marks.resume_percent if was_short else 100
    if room.medium_bytes * 100 >= marks.medium_bytes_max * percent:
        return f"ferry files take {room.medium_bytes} bytes of the medium (medium.bytes_max)"
    if room.medium_free_bytes * percent < marks.medium_free_bytes_min * 100:
        return f"{room.medium_free_bytes} bytes are free on the medium (medium.free_bytes_min)"
    if room.spool_free_bytes * percent < marks.spool_free_bytes_min * 100:
        return f"{room.spool_free_bytes} bytes are free on the spool's disk (spool.free_bytes_min)"
    return None


def fits(room: Room, marks: Marks, size: int) -> bool:
    """Whether so many more bytes leave what the marks ask for; for what crosses in many files."""
    return (
        room.medium_bytes + size <= marks.medium_bytes_max
        and room.medium_free_bytes - size >= marks.medium_free_bytes_min
        and room.spool_free_bytes - size >= marks.spool_free_bytes_min
    )
