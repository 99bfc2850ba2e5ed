"""One object on its way out: read, judged by its beginning, published part by part.

While one part is made durable the next one is read, so no more than two are in memory. The sender
hears "taken" after the last; whatever fails before withdraws the object as a whole, and a receiver
that has some of its parts forgets them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ferry_format import parts, reasons
from ferry_format.reasons import Refused
from outer_agent import admission
from outer_agent.admission import (
    Admitted,
    BodyDigest,
    Fingerprint,
    ObjectSubmission,
    PartOf,
    Receipt,
)
from outer_agent.commit import Reuse
from validators.objects import HEAD_BYTES
from validators.verdict import Accepted, Verdict


class Scan(Protocol):
    """A virus scan of an object under way."""

    async def send(self, data: bytes) -> None:
        """Give the next bytes. Raises Unavailable."""
        ...

    async def finish(self) -> None:
        """Pass what was sent, if it is clean. Raises Refused and Unavailable."""
        ...


ReadExactly = Callable[[int], Awaitable[bytes]]
"""Gives exactly so many of the next bytes, or raises Refused or Unavailable."""


class Validation(Protocol):
    """The pool of validation workers."""

    def validate(self, channel: str, payload: bytes) -> Awaitable[Verdict]:
        """The verdict on a message, or on an object's beginning.

        May be at work before it is awaited. Raises Unavailable(VALIDATOR_UNAVAILABLE).
        """
        ...


class Publication(Protocol):
    """The publisher, as objects need it."""

    async def publish(self, admitted: Admitted, *, reuse: Reuse) -> Receipt:
        """Return once durable. Raises Unavailable or Refused(ID_REUSED)."""
        ...

    async def find(self, fingerprint: Fingerprint) -> Receipt | None:
        """The receipt that a message or object with this fingerprint was given before."""
        ...

    async def knows_key(self, key_digest: bytes) -> bool:
        """Whether something with this key was taken before, whatever its bytes."""
        ...

    async def abandon(self, message_id: bytes) -> None:
        """Withdraw what was published of an object."""
        ...


@dataclass(frozen=True, slots=True)
class Crossing:
    """The receipt, and what was published last; None if the object had been taken before.

    `verdict` is what it was accepted as, where it was judged now.
    """

    receipt: Receipt
    admitted: Admitted | None
    verdict: Accepted | None


class ObjectCrossing:
    """Carries one object, once."""

    def __init__(
        self,
        submission: ObjectSubmission,
        message_id: bytes,
        content_type: str,
        validation: Validation,
        publication: Publication,
        fingerprint_key: bytes,
        scan: Scan | None = None,
        verdict: Accepted | None = None,
    ) -> None:
        """`content_type` is the channel's own; `fingerprint_key` the installation's secret.

        With a `scan`, the last part is not published before the whole object is called clean. With
        a `verdict`, the whole object was judged before, and its beginning is not judged again.
        """
        self._scan = scan
        self._submission = submission
        self._message_id = message_id
        self._content_type = content_type
        self._validation = validation
        self._publication = publication
        self._body = BodyDigest(fingerprint_key)
        self._digests: list[bytes] = []
        self._verdict = verdict
        key = submission.duplicate_key
        self._key_digest = (
            None if key is None else admission.key_digest(fingerprint_key, submission, key)
        )

    async def carry(self, read: ReadExactly) -> Crossing:
        """Read the whole object and publish it.

        Raises Refused (the beginning is of another kind, ID_REUSED), Unavailable, and what `read`
        raises.
        """
        if self._key_digest is not None and await self._publication.knows_key(self._key_digest):
            return Crossing(await self._compare(read, self._key_digest), None, self._verdict)
        publishing: asyncio.Task[Receipt] | None = None
        try:
            for number in range(1, self._count + 1):
                admitted = await self._part(number, read)
                if publishing is not None:
                    await publishing
                publishing = asyncio.create_task(
                    self._publication.publish(admitted, reuse="refuse")
                )
            assert publishing is not None
            receipt = await publishing
        except BaseException:
            if publishing is not None:
                # What is being committed can't be called back; only then can it be withdrawn.
                with suppress(Exception):
                    await asyncio.shield(publishing)
            await self._publication.abandon(self._message_id)
            raise
        if receipt.message_id != self._message_id:  # somebody sent the same at the same time
            await self._publication.abandon(self._message_id)
        return Crossing(receipt, admitted, self._verdict)

    @property
    def _count(self) -> int:
        return parts.part_count(self._submission.whole_bytes)

    async def _part(self, number: int, read: ReadExactly) -> Admitted:
        payload = await read(parts.part_bytes(self._submission.whole_bytes, number))
        if self._key_digest is not None:
            await asyncio.to_thread(self._body.update, payload)
        if self._verdict is None:
            payload = await self._judged(payload)
        self._digests.append(await asyncio.to_thread(parts.part_digest, payload))
        is_last = number == self._count
        if self._scan is not None:
            await self._scan.send(payload)
            if is_last:
                await self._scan.finish()
        return Admitted(
            self._message_id,
            self._submission.channel,
            self._submission.received_at_ms,
            self._content_type,
            payload,
            self._fingerprint() if is_last else None,
            PartOf(
                self._submission.whole_bytes,
                number,
                parts.object_digest(self._digests) if is_last else b"",
            ),
        )

    async def _judged(self, payload: bytes) -> bytes:
        head = payload[:HEAD_BYTES]
        verdict = await self._validation.validate(self._submission.channel, head)
        if not isinstance(verdict, Accepted):
            raise Refused(verdict.reason, verdict.place)
        if len(verdict.payload) != len(head):
            raise Refused(reasons.NOT_WELL_FORMED, "beginning of the object")
        self._verdict = verdict
        return verdict.payload + payload[HEAD_BYTES:]

    def _fingerprint(self) -> Fingerprint | None:
        if self._key_digest is None:
            return None
        return Fingerprint(self._key_digest, self._body.digest())

    async def _compare(self, read: ReadExactly, key_digest: bytes) -> Receipt:
        """Hold an object against the one that was taken under its key, without publishing it."""
        for number in range(1, self._count + 1):
            payload = await read(parts.part_bytes(self._submission.whole_bytes, number))
            await asyncio.to_thread(self._body.update, payload)
        earlier = await self._publication.find(Fingerprint(key_digest, self._body.digest()))
        if earlier is None:
            raise Refused(reasons.ID_REUSED, f"channel {self._submission.channel}")
        return earlier
