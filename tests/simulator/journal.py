"""A journal in memory, with what the replayer reads of the real one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inner_agent.journal import JournaledMessage

if TYPE_CHECKING:
    from collections.abc import Callable


def message(
    position: int,
    payload: bytes,
    channel: str = "adt",
    control_id: str | None = None,
    order_key: bytes | None = None,
) -> JournaledMessage:
    now_ms = time.time_ns() // 1_000_000
    return JournaledMessage(
        position=position,
        message_id=position.to_bytes(16, "big"),
        channel=channel,
        channel_sequence=position,
        accepted_at_ms=now_ms,
        received_at_ms=now_ms,
        content_type="application/hl7-v2",
        message_type="ADT^A01",
        control_id=control_id,
        late=False,
        payload=payload,
        order_key=order_key,
    )


class JournalInMemory:
    """Change it by assigning: `before_read` runs before each read and may raise."""

    def __init__(self) -> None:
        self.messages: dict[int, JournaledMessage] = {}
        self.reads = 0
        self.before_read: Callable[[], None] = lambda: None

    def append(
        self,
        payload: bytes,
        channel: str = "adt",
        control_id: str | None = None,
        order_key: bytes | None = None,
    ) -> JournaledMessage:
        position = self.highest_position() + 1
        self.messages[position] = message(position, payload, channel, control_id, order_key)
        return self.messages[position]

    def waiting(self, channel: str, after_position: int, limit: int) -> list[JournaledMessage]:
        self.reads += 1
        self.before_read()
        found = [
            each
            for position, each in self.messages.items()
            if each.channel == channel and position > after_position
        ]
        return found[:limit]

    def get(self, position: int) -> JournaledMessage | None:
        self.before_read()
        return self.messages.get(position)

    def retention_at_ms(self) -> int | None:
        return None

    def order_key(self, position: int) -> bytes | None:
        return self.messages[position].order_key

    def highest_position(self) -> int:
        return max(self.messages, default=0)

    def waiting_count(self, channel: str, after_position: int) -> int:
        return len(self.waiting(channel, after_position, len(self.messages)))
