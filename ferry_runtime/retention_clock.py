"""The time by which things are deleted: it never runs faster than time passes.

A clock that jumps years ahead must not make everything "old" while it is still needed. So deletion
counts the time that really passed while the agent ran, from a moment that its database remembers;
at a start at most an hour is believed on top. The price is that what is older than a long pause is
kept longer than configured. A clock that jumps back delays deletion too.
"""

from __future__ import annotations

from typing import Final

BELIEVED_AT_START_MS: Final = 3_600_000


class RetentionClock:
    """`remembered_ms` is what the database kept of it, None in a new one. Unix milliseconds."""

    def __init__(self, remembered_ms: int | None, wall_ms: int, monotonic_s: float) -> None:
        believed_ms = wall_ms if remembered_ms is None else remembered_ms + BELIEVED_AT_START_MS
        self._base_ms = min(wall_ms, believed_ms)
        self._base_s = monotonic_s

    def now_ms(self, wall_ms: int, monotonic_s: float) -> int:
        """The time for deletion, at this wall clock and this monotonic one."""
        passed_ms = int((monotonic_s - self._base_s) * 1000)
        return min(wall_ms, self._base_ms + passed_ms)
