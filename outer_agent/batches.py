"""HL7 v2 batches at the outer: which payload is one, and its messages as submissions. Pure.

Each message is admitted, validated and numbered by itself, and is known by its own id, so a batch
that is sent again, after a crash in its middle or a lost answer, crosses once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ferry_format.reasons import Refused, Unavailable
from outer_agent.admission import Receipt, Submission
from outer_agent.commit import Outcome
from outer_agent.policy import OuterChannel
from validators.hl7v2 import batch
from validators.hl7v2.batch import BatchFile


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch: one outcome a message, in the file's order."""

    file: BatchFile
    outcomes: tuple[Outcome, ...]

    @property
    def is_taken(self) -> bool:
        """Whether custody was taken of every message."""
        return all(isinstance(each, Receipt) for each in self.outcomes)

    @property
    def deferred(self) -> Unavailable | None:
        """Why some messages were not taken for now; None if all were decided."""
        return next((each for each in self.outcomes if isinstance(each, Unavailable)), None)

    @property
    def refused(self) -> Iterator[tuple[int, Refused]]:
        """The number (from 1) and the failure of each message that was refused for good."""
        for number, each in enumerate(self.outcomes, 1):
            if isinstance(each, Refused):
                yield number, each


def is_batch(channel: OuterChannel, payload: bytes) -> bool:
    """Whether a payload is a batch, and its channel splits those."""
    return channel.splits_batches and batch.is_batch(payload)


def read(submission: Submission, channel: OuterChannel) -> BatchFile:
    """The batches in a submission. Raises Refused(NOT_WELL_FORMED, LIMIT_EXCEEDED)."""
    hl7v2 = channel.content.hl7v2
    assert hl7v2 is not None  # the policy lets nothing else be split
    return batch.read_batch_file(
        submission.payload,
        channel.batch_messages_max,
        hl7v2.default_charset,
        needs_trailers=channel.batch_trailers == "required",
    )


def submissions(submission: Submission, file: BatchFile) -> list[Submission]:
    """Each message as a submission of its own.

    A message without a control id is known by what the protocol knows the batch by, and its place.
    """
    key = submission.duplicate_key
    return [
        replace(
            submission,
            payload=payload,
            duplicate_key=None if key is None else b"%s\x00%d" % (key, number),
        )
        for number, payload in enumerate(file.messages, 1)
    ]
