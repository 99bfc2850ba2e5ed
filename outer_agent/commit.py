"""One batch of admitted messages becomes one ferry file, durable in spool and medium.

Plain and synchronous; the publisher runs it in a thread of its own. The order of steps is the
promise (docs/delivery.md):

1. seal the batch as the stream's next file;
2. write it aside on the medium, so that a full medium is met here, where nothing has been promised
   yet;
3. commit it to the spool: from here on the outer will never forget it; on a disk, what was written
   aside is synchronised at the same time (both on one disk: 0.7 of the time one after the other);
4. publish it on the medium: rename and synchronise the directory;
5. only now may the senders be told.

A failure in 1 or 2, or of the spool in 3, leaves no trace and the senders send again. A failure in
4 leaves a spooled file that nobody has seen: its messages are withdrawn, tombstones take their
place in the spool, and the senders send again. Where it was seen or may have been, be its name gone
since, the batch stays undecided and is published until it is certain. What could not be
synchronised in 3 is written anew in 4, or fails there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from ferry_format import reasons
from ferry_format.container import Sealer, read_untrusted_header
from ferry_format.envelope import Beacon, Content, Entry, Envelope, Part, Tombstone
from ferry_format.medium.writer import Aside, MediumWriter, Staged
from ferry_format.reasons import FerryError, Refused, StorageFault, Unavailable
from outer_agent.admission import Admitted, Fingerprint, Receipt
from outer_agent.known_fingerprints import Remembered
from outer_agent.spool import ObjectChanges, Spool, SpooledFile

Reuse = Literal["new", "refuse"]
"""What a repeated message key with other bytes is: a new message, or a refusal."""

Outcome = Receipt | FerryError

_UNDECIDED_PAUSE_S: Final = 1.0
SYNC_APART_S: Final = 0.0003
"""What takes longer to synchronise is worth a thread of its own: the way there and back takes 0.1
ms, and in memory nothing takes that long."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for its commit."""

    admitted: Admitted
    reuse: Reuse


@dataclass(frozen=True, slots=True)
class _Plan:
    """The messages of a batch that are new, and what is already decided about the others."""

    fresh: tuple[Admitted, ...]
    decided: dict[int, Outcome]
    repeats: dict[int, bytes]


class Committer:
    """Turns batches into ferry files. Used by one thread at a time."""

    def __init__(
        self,
        spool: Spool,
        medium: MediumWriter,
        sealer: Callable[[bytes], Sealer],
        clock_ms: Callable[[], int],
        check_fresh: Callable[[bytes, int], None] = lambda _stream_id, _last_sequence: None,
        sync_apart_s: float = SYNC_APART_S,
    ) -> None:
        """`sealer` makes the sealer of a stream id; `clock_ms` tells unix milliseconds.

        `check_fresh` is called once, before anything is published; it raises StorageFault if the
        spool's stream, which ends at that sequence, has gone back in time. Where the last file
        took longer than `sync_apart_s` to synchronise, the next one's is left to another thread.
        """
        head = spool.head()
        self._spool = spool
        self._medium = medium
        self._clock_ms = clock_ms
        self._stream_id = head.stream_id
        self._sealer = sealer(head.stream_id)
        self._sequence = head.last_sequence
        self._digest = head.last_digest
        self._channels = dict(head.channel_sequences)
        self._published_up_to = 0
        self._unpublished: list[SpooledFile] = []
        # Nobody will send the rest of what was open when the last run ended.
        self._abandoned = spool.open_objects()
        self._stopping = threading.Event()
        self._apart = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._sync_apart_s = sync_apart_s
        self._sync_s = 0.0
        self._check_fresh = check_fresh
        self._is_fresh = False

    @property
    def stream_id(self) -> bytes:
        """The stream that this sender continues."""
        return self._stream_id

    @property
    def last_sequence(self) -> int:
        """The sequence of the last committed file; 0 before the first."""
        return self._sequence

    @property
    def published_up_to(self) -> int:
        """Every file up to this sequence is durable on the medium."""
        return self._published_up_to

    def stop_waiting(self) -> None:
        """Give up waiting for an undecided publication; called from another thread."""
        self._stopping.set()

    def recover(self) -> int:
        """Publish what a crash left in the spool alone; returns how many files.

        To be called before the first commit. Raises Unavailable while the medium cannot take them.
        """
        self._unpublished = self._spool.unpublished()
        count = len(self._unpublished)
        self._publish_unpublished()
        self._published_up_to = self._sequence
        self._spool.mark_published(self._sequence)
        return count

    def heartbeat(self) -> None:
        """Publish a file without entries, which tells that the sender lives and has no more.

        Raises Unavailable or StorageFault.
        """
        failure = self._write(())
        if failure is not None:
            raise failure

    def commit(self, batch: Sequence[Waiting]) -> list[Outcome]:
        """Make the batch durable; one outcome a message, in order.

        The batch must fit one ferry file. If the format refuses it, each message is tried by
        itself, so that only the one at fault is refused. Raises StorageFault when the disk or
        medium broke its promise: the caller then stops for good.
        """
        try:
            # Before anybody is told that a message was taken: what is spooled must be published.
            self._publish_unpublished()
        except Unavailable as unavailable:
            return [unavailable for _ in batch]
        plan = self._plan(batch)
        try:
            failure: FerryError | None = self._write(plan.fresh) if plan.fresh else None
        except Refused as refusal:
            if len(plan.fresh) > 1:
                return [self.commit([waiting])[0] for waiting in batch]
            failure = refusal
        return [_outcome(plan, index, waiting, failure) for index, waiting in enumerate(batch)]

    def find(self, fingerprint: Fingerprint) -> bytes | None:
        """The id of the message, durable everywhere, that this fingerprint was remembered with.

        Raises Unavailable while something spooled is still to be published.
        """
        self._publish_unpublished()
        return self._spool.find(fingerprint)

    def knows_key(self, key_digest: bytes) -> bool:
        """Whether a message with this key was taken before, whatever its bytes."""
        return self._spool.knows_key(key_digest)

    def abandon(self, message_id: bytes) -> None:
        """The rest of an object will not come: the next file withdraws what was sent of it."""
        channel = self._spool.open_objects().get(message_id)
        if channel is not None:
            self._abandoned[message_id] = channel

    def _plan(self, batch: Sequence[Waiting]) -> _Plan:
        fresh: list[Admitted] = []
        decided: dict[int, Outcome] = {}
        repeats: dict[int, bytes] = {}
        in_batch: dict[Fingerprint, bytes] = {}
        keys_in_batch: set[bytes] = set()
        known = self._spool.find_all(
            [each.admitted.fingerprint for each in batch if each.admitted.fingerprint is not None]
        )
        for index, waiting in enumerate(batch):
            fingerprint = waiting.admitted.fingerprint
            if fingerprint is not None:
                if fingerprint in in_batch:
                    repeats[index] = in_batch[fingerprint]
                    continue
                if fingerprint in known:
                    decided[index] = Receipt(known[fingerprint], duplicate=True)
                    continue
                if waiting.reuse == "refuse" and (
                    fingerprint.key_digest in keys_in_batch
                    or self._spool.knows_key(fingerprint.key_digest)
                ):
                    decided[index] = Refused(reasons.ID_REUSED)
                    continue
                in_batch[fingerprint] = waiting.admitted.message_id
                keys_in_batch.add(fingerprint.key_digest)
            fresh.append(waiting.admitted)
        return _Plan(tuple(fresh), decided, repeats)

    def _write(self, messages: tuple[Admitted, ...]) -> Unavailable | None:
        """One file from seal to publication; None once all of it is durable."""
        try:
            self._publish_unpublished()
            channels, entries = _number(
                self._channels, messages, dict(self._abandoned), self._clock_ms()
            )
            file = self._seal(self._sequence + 1, entries, channels)
            staging = self._begin_staging(file)
        except Unavailable as failure:
            return failure
        remembered = [
            Remembered(message.fingerprint, message.message_id, message.accepted_at_ms)
            for message in messages
            if message.fingerprint is not None
        ]
        touched = {entry.channel: channels[entry.channel] for entry in entries}
        try:
            objects = _object_changes(entries)
            self._spool.commit(
                file, touched, remembered, objects, published_up_to=self._published_up_to
            )
        except Unavailable as failure:
            with suppress(Unavailable):
                self._medium.discard(staging.result())
            self._spool.discard_aside(file)
            return failure
        for message_id in objects.ended:
            self._abandoned.pop(message_id, None)
        self._sequence, self._digest = file.sequence, file.sealed.digest
        self._channels = channels
        # Until it is published nothing may pass it: a later file would be seen without it.
        self._unpublished.append(file)
        return self._publish(file, staging, entries, remembered)

    def _publish(
        self,
        file: SpooledFile,
        staging: Future[Staged],
        entries: Sequence[Entry],
        remembered: Sequence[Remembered],
    ) -> Unavailable | None:
        may_be_seen = False
        while True:
            try:
                if isinstance(staging.exception(), Unavailable):
                    staging = _done(self._stage(file))
                self._medium.publish(staging.result())
            except Unavailable as failure:
                # Its name may be gone again, since no directory was synchronised; not who read it.
                may_be_seen = may_be_seen or self._is_visible(file) is not False
                if not may_be_seen and self._withdraw(file, entries, remembered):
                    return failure
            else:
                self._published_up_to = file.sequence
                self._unpublished.remove(file)
                return None
            if self._stopping.wait(_UNDECIDED_PAUSE_S):
                return Unavailable(reasons.STOPPING)

    def _is_visible(self, file: SpooledFile) -> bool | None:
        try:
            return self._medium.is_visible(self._stream_id, file.sequence)
        except (Unavailable, StorageFault):
            return None

    def _withdraw(
        self, file: SpooledFile, entries: Sequence[Entry], remembered: Sequence[Remembered]
    ) -> bool:
        """Put tombstones in the place of a spooled file that nobody has seen.

        False if the spool has no room for that now: then the file stays, and is published later.
        """
        now_ms = self._clock_ms()
        tombstones = [
            Tombstone(
                entry.message_id,
                entry.channel,
                entry.channel_sequence,
                now_ms,
                reasons.MEDIUM_UNAVAILABLE.code,
            )
            for entry in entries
        ]
        previous_digest = self._previous_digest(file)
        replacement = self._seal(file.sequence, tombstones, self._channels, previous_digest)
        try:
            self._spool.replace(file, replacement, [row.fingerprint for row in remembered])
        except Unavailable:
            return False
        self._digest = replacement.sealed.digest
        self._unpublished[self._unpublished.index(file)] = replacement
        return True

    def _previous_digest(self, file: SpooledFile) -> bytes:
        return read_untrusted_header(file.sealed.data).previous_digest

    def _seal(
        self,
        sequence: int,
        entries: Sequence[Entry],
        channels: dict[str, int],
        previous_digest: bytes | None = None,
    ) -> SpooledFile:
        now_ms = self._clock_ms()
        content = Content(now_ms, tuple(entries), Beacon(tuple(sorted(channels.items()))))
        sealed = self._sealer.seal(sequence, previous_digest or self._digest, content)
        return SpooledFile(sequence, now_ms, len(entries), sealed)

    def _stage(self, file: SpooledFile) -> Staged:
        return self._medium.stage(self._stream_id, file.sequence, file.sealed.data)

    def _begin_staging(self, file: SpooledFile) -> Future[Staged]:
        """Write a file aside and have it synchronised, beside the spool's commit if that pays.

        A large one is written for the spool at the same time, on its other disk: it stands there
        once this returns, and nothing is left of either if one of them fails.
        """
        if file.is_large:
            staging = self._apart.submit(self._stage, file)
            self._write_for_spool(file, staging)
            return staging
        aside = self._medium.write_aside(self._stream_id, file.sequence, file.sealed.data)
        if self._sync_s > self._sync_apart_s:
            return self._apart.submit(self._sync, aside)
        return _done(self._sync(aside))

    def _sync(self, aside: Aside) -> Staged:
        began_s = time.perf_counter()
        staged = self._medium.sync(aside)
        self._sync_s = time.perf_counter() - began_s
        return staged

    def _write_for_spool(self, file: SpooledFile, staging: Future[Staged]) -> None:
        try:
            self._spool.write_aside(file)
        except (Unavailable, StorageFault) as fault:
            self._spool.discard_aside(file)
            if staging.exception() is None:
                self._medium.discard(staging.result())
            raise _worse(fault, staging.exception()) from None
        failure = staging.exception()
        if failure is not None:
            self._spool.discard_aside(file)
            raise failure

    def _publish_unpublished(self) -> None:
        if not self._is_fresh:
            self._check_fresh(self._stream_id, self._sequence)
            self._is_fresh = True
        while self._unpublished:
            file = self._unpublished[0]
            self._medium.publish(self._stage(file))
            self._published_up_to = file.sequence
            self._unpublished.pop(0)


def _done(staged: Staged) -> Future[Staged]:
    future: Future[Staged] = Future()
    future.set_result(staged)
    return future


def _worse(fault: Exception, other: BaseException | None) -> BaseException:
    """Of two failures the one to be told: a failed disk before a full one."""
    return other if isinstance(other, StorageFault) else fault


def _number(
    channels: dict[str, int],
    messages: Sequence[Admitted],
    abandoned: dict[bytes, str],
    now_ms: int,
) -> tuple[dict[str, int], list[Entry]]:
    """Give each entry its channel's next sequence; returns the channels' new sequences too.

    Abandoned objects' tombstones come first.
    """
    channels = dict(channels)
    entries: list[Entry] = []
    for message_id, channel in abandoned.items():
        channels[channel] = channels.get(channel, 0) + 1
        code = reasons.OBJECT_ABANDONED.code
        entries.append(Tombstone(message_id, channel, channels[channel], now_ms, code))
    for message in messages:
        channels[message.channel] = channels.get(message.channel, 0) + 1
        entries.append(_entry(message, channels[message.channel]))
    return channels, entries


def _entry(message: Admitted, channel_sequence: int) -> Envelope | Part:
    common = (
        message.message_id,
        message.channel,
        channel_sequence,
        message.accepted_at_ms,
        message.content_type,
    )
    of = message.part
    if of is None:
        return Envelope(*common, message.payload)
    return Part(*common, of.object_bytes, of.number, of.digest, message.payload)


def _object_changes(entries: Sequence[Entry]) -> ObjectChanges:
    parts = [entry for entry in entries if isinstance(entry, Part)]
    return ObjectChanges(
        {part.message_id: part.channel for part in parts if part.number == 1 and not part.is_last},
        frozenset(
            entry.message_id
            for entry in entries
            if isinstance(entry, Tombstone) or (isinstance(entry, Part) and entry.is_last)
        ),
    )


def _outcome(plan: _Plan, index: int, waiting: Waiting, failure: FerryError | None) -> Outcome:
    if index in plan.decided:
        return plan.decided[index]
    if failure is not None:
        return failure
    if index in plan.repeats:
        return Receipt(plan.repeats[index], duplicate=True)
    return Receipt(waiting.admitted.message_id, duplicate=False)
