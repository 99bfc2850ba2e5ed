"""What every source is, and what it may ask of the rest of the agent.

The contract, which tests/integration/test_source_conformance.py holds every source to:

- A sender hears "taken" only after `Intake.submit` returned.
- A refusal for good and a refusal for now are told apart in the protocol's own words.
- Nothing of the protocol (headers, addresses, names of files) goes further than the source.
- `stop` takes nothing new and lets what was begun end with its true answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ferry_format.reasons import FerryError
from outer_agent.admission import ObjectSubmission, Receipt, Submission
from outer_agent.batches import BatchOutcome
from outer_agent.commit import Outcome
from outer_agent.metrics import OuterMetrics
from outer_agent.object_crossing import ReadExactly
from outer_agent.policy import SoapReplySection
from outer_agent.senders import SenderDirectory
from validators.policy import ContentPolicy


class Intaking(Protocol):
    """The intake, as sources see it."""

    def message_bytes_max(self, channel: str) -> int:
        """The largest message or batch of a channel; 0 if there is no such channel."""
        ...

    def content_of(self, channel: str) -> ContentPolicy | None:
        """What a channel may carry; None if there is no such channel."""
        ...

    async def submit(self, submission: Submission) -> Receipt:
        """The receipt of a message that is durable now. Raises Refused or Unavailable."""
        ...

    def soap_reply(self, channel: str) -> SoapReplySection | None:
        """How a channel's callers are answered in SOAP; None if they are not."""
        ...

    def takes_objects(self, channel: str) -> bool:
        """Whether the channel's messages are objects: to be read part by part."""
        ...

    async def submit_object(self, submission: ObjectSubmission, read: ReadExactly) -> Receipt:
        """The receipt of an object that is durable to its last byte. Raises as `submit`."""
        ...

    async def submit_in_order(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Many at once, numbered in their order; each one's receipt or failure."""
        ...

    def is_batch(self, channel: str, payload: bytes) -> bool:
        """Whether a payload is an HL7 v2 batch, to be handed over by `submit_batch`."""
        ...

    async def submit_batch(self, submission: Submission) -> BatchOutcome:
        """What became of each message of a batch. Raises as `submit` if none was looked at."""
        ...

    def note_failure(self, channel: str, sender: str, failure: FerryError) -> None:
        """Count a message that the source itself did not take."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a source works with. `clock_ms` tells unix milliseconds; `state_dir` is the agent's."""

    intake: Intaking
    senders: SenderDirectory
    metrics: OuterMetrics
    clock_ms: Callable[[], int]
    state_dir: Path


class Source(Protocol):
    """One way in."""

    name: str

    async def start(self) -> None:
        """Begin to take messages. Raises OSError if the listener or folder cannot be used."""
        ...

    async def stop(self) -> None:
        """Take no more; return when what was begun has been answered."""
        ...
