"""What a simulated receiver saw, and the two questions asked of it: twice? out of order?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Received:
    """One arrival. `message_id`: whatever identifies it on this protocol (MSH-10, key, name)."""

    message_id: str
    data: bytes
    at_s: float  # time.monotonic()
    taken: bool  # the receiver acknowledged it as taken over
    connection: int  # which connection, counted from 1
    headers: Mapping[str, str] = field(default_factory=dict)


class Recording:
    def __init__(self) -> None:
        self.received: list[Received] = []
        self._changed = asyncio.Condition()

    async def add(
        self,
        message_id: str,
        data: bytes,
        *,
        taken: bool,
        connection: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.received.append(
            Received(message_id, data, time.monotonic(), taken, connection, headers or {})
        )
        async with self._changed:
            self._changed.notify_all()

    @property
    def ids(self) -> list[str]:
        return [each.message_id for each in self.received]

    @property
    def taken_ids(self) -> list[str]:
        return [each.message_id for each in self.received if each.taken]

    def duplicates(self) -> dict[str, int]:
        """Arrivals beyond the first, by id, of messages that were taken over more than once."""
        return {name: n - 1 for name, n in Counter(self.taken_ids).items() if n > 1}

    def repeats(self) -> dict[str, int]:
        """Arrivals beyond the first, by id, whatever was answered."""
        return {name: n - 1 for name, n in Counter(self.ids).items() if n > 1}

    def order_violations(self, expected: Sequence[str]) -> int:
        """How many taken messages arrived (first) after one that should have come later."""
        rank = {name: index for index, name in enumerate(expected)}
        highest, violations = -1, 0
        for name in dict.fromkeys(self.taken_ids):
            if rank[name] < highest:
                violations += 1
            highest = max(highest, rank[name])
        return violations

    async def wait_for(self, number: int, timeout_s: float = 10.0) -> None:
        """Wait until `number` different messages were taken over."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: len(set(self.taken_ids)) >= number)

    async def wait_for_arrivals(self, number: int, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: len(self.received) >= number)
