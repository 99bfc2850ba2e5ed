"""What the verifier hands to the journal, and what became of it: values.

Times are unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ferry_format.envelope import Tombstone
from ferry_format.reasons import Reason
from ferry_format.stream import Link
from inner_agent.channel_gaps import Missing
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.object_table import NewPart, PartTimes
from inner_agent.quarantine import RefusedThing

Repeat = tuple[int, bytes]
"""The file's sequence and the message's id, which the journal has from an earlier file."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that passed everything.

    `order_key` is the validator's; the journal stores a keyed digest of it.
    """

    message_id: bytes
    channel: str
    channel_sequence: int
    accepted_at_ms: int
    content_type: str
    message_type: str
    control_id: str | None
    payload: bytes
    order_key: bytes | None = None

    def __repr__(self) -> str:
        """Without the payload."""
        return f"NewMessage({self.message_id.hex()}, {self.channel!r})"


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A ferry file that was accepted, and what its entries became."""

    sequence: int
    link: Link
    entries: int
    late: bool
    messages: tuple[NewMessage, ...]
    tombstones: tuple[Tombstone, ...]
    refused: tuple[RefusedThing, ...]
    parts: tuple[NewPart, ...] = ()


@dataclass(frozen=True, slots=True)
class EndedObject:
    """An object that became whole, or was refused with a reason, by a file of this sequence."""

    file_sequence: int
    message_id: bytes
    channel: str
    accepted_at_ms: int
    object_bytes: int
    refused: Reason | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch, beyond what it says of itself."""

    repeated: frozenset[Repeat]
    objects: tuple[EndedObject, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Files of one stream, and how the stream stands after them.

    `gaps` and `missing` None are unchanged. Messages of the channels in `held` wait for earlier
    ones; `releases` says, by channel, below which channel sequence none waits any more (None: none
    waits at all).
    """

    received_at_ms: int
    stream: StreamRecord
    files: tuple[TakenFile, ...]
    progress: Mapping[str, int]
    gaps: tuple[GapRecord, ...] | None = None
    missing: Missing | None = None
    held: frozenset[str] = frozenset()
    releases: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def part_times(self) -> PartTimes:
        """The times of the parts in it."""
        return PartTimes(self.received_at_ms, self.stream.last_sealed_at_ms)
