"""What every sink is: one protocol, two results.

The contract, which tests/integration/test_sink_conformance.py runs against every sink:

1. `deliver` returns `Delivered` only once the far side has taken the message over (HL7 AA or CA,
   HTTP 2xx, file and folder synced), and `Failed` with a reason in every other case. It raises
   nothing but cancellation; an exception is a defect, which the pipeline survives.
2. What identifies the message to the far side (Idempotency-Key, MSH-10, file name) depends on the
   message alone, so every repeat, also after a restart, carries the same one.
3. After anything that leaves the outcome open (time-out, lost connection, garbage) nothing that
   arrives late can be taken for the answer to a later message.
4. `deliver` ends by itself: every step of it has a time limit.
5. Several channels may share a sink and call it at once; a sink that can carry only one message at
   a time puts them in line itself. One channel never calls it twice at once.
6. No payload, and nothing that the far side said beyond a bounded code, is logged or returned.
7. `probe` tells whether the far side can be reached without handing it anything.
8. An object (`message.large`) is read part by part, so that memory stays bounded, and the far side
   sees the whole of it or nothing. What cannot be read of it is no fault of the far side.
9. `close` may be called twice, and ends whatever is still open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ferry_format.reasons import DELIVERY_FAULT, FerryError, Refused

if TYPE_CHECKING:
    from ferry_format.reasons import Reason
    from inner_agent.journal import JournaledMessage


@dataclass(frozen=True, slots=True)
class Delivered:
    """The internal system took the message over."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The internal system did not take the message over, or we cannot know.

    `permanent`: the same message would be refused again. `detail`: a protocol code for the log
    ("http 503", "MSA-1 AE"), never data. `retry_after_s`: what the far side asked for, unbounded.
    """

    reason: Reason
    permanent: bool = False
    detail: str = ""
    retry_after_s: float | None = None


SinkResult = Delivered | Failed


OBJECT_BYTES_PER_S_MIN: Final = 1024 * 1024
"""Slower than this an object is not delivered: its time limit grows with its size."""


def object_s(message: JournaledMessage) -> float:
    """Seconds that a message may take beyond what a small one may."""
    return 0.0 if message.large is None else message.large.object_bytes / OBJECT_BYTES_PER_S_MIN


def unreadable(fault: FerryError) -> Failed:
    """What becomes of an object that our own disk does not give: damaged is for good."""
    if isinstance(fault, Refused):
        return Failed(fault.reason, permanent=True)
    return Failed(DELIVERY_FAULT, detail=fault.reason.code)


class Sink(Protocol):
    """Replays messages to one internal system; the contract stands at the head of this file."""

    @property
    def name(self) -> str:
        """The sink's name in the configuration, logs and metrics."""

    async def deliver(self, message: JournaledMessage) -> SinkResult:
        """Hand over one message and wait for what the far side says."""

    async def probe(self) -> Reason | None:
        """Return None if the far side can be reached, else the reason."""

    async def close(self) -> None:
        """Close what is open; nothing is delivered afterwards."""
