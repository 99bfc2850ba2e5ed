"""What a validator says of one payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ferry_format.reasons import Reason


@dataclass(frozen=True, slots=True)
class Accepted:
    """The payload may cross, as `payload`: rebuilt and canonical, or as it came if verbatim.

    `message_type` is safe for logs and metrics. `control_id` is the sender's own text: it names the
    message in a search and never a file. `order_key` is SHA-256 of the value by which the channel
    orders its messages; None where it orders all of them alike, or the message has no such value.
    `flag` is a reason that holds, and for which the channel refuses nothing.
    """

    payload: bytes
    message_type: str
    control_id: str | None
    order_key: bytes | None = None
    flag: Reason | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The payload may not cross; `place` says where the reason lies and never holds data."""

    reason: Reason
    place: str


Verdict = Accepted | Rejected


class Validator(Protocol):
    """One family under one policy. Same bytes, same verdict: no clock, no state, no I/O."""

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes; raises nothing for any of them (MemoryError apart)."""
