"""The outer's side of a medium in memory: keys, streams, and files made by the real sealer.

Change it by assigning: `previous_digest`, `sequence` and `counts` are what the next file continues.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ferry_format import keys
from ferry_format.container import GENESIS_DIGEST, Opener, SealedFile, Sealer
from ferry_format.envelope import Beacon, Content, Entry, Envelope, Tombstone
from ferry_format.identifiers import new_message_id, new_stream_id
from ferry_format.keys import KeyFile, KeyKind, TrustedSender, TrustStore
from ferry_format.medium.layout import file_path
from ferry_format.medium.writer import MediumWriter

LANE = "front-to-his"
CONTENT_TYPE = "application/json"


@functools.cache
def key(kind: KeyKind, name: str) -> KeyFile:
    """One key a name for the whole run; making them is slow."""
    return keys.generate(kind, name, datetime.now(UTC))


def trusted(name: str = "front", key_name: str = "front-1", **fields) -> TrustedSender:
    public = key(KeyKind.SIGN, key_name).public
    values = {"suites": frozenset({1}), "channels": frozenset({"adt", "lab"})} | fields
    return TrustedSender(name, public, **values)


def opener(*senders: TrustedSender, lane: str = LANE, receiver: str = "inner-1") -> Opener:
    return Opener(TrustStore(senders or (trusted(),)), [key(KeyKind.RECEIVE, receiver)], lane)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class SendingSide:
    """One sender's stream onto `root`."""

    root: Path
    key_name: str = "front-1"
    lane: str = LANE
    receiver: str = "inner-1"
    stream_id: bytes = field(default_factory=new_stream_id)
    sequence: int = 0
    previous_digest: bytes = GENESIS_DIGEST
    counts: dict[str, int] = field(default_factory=dict)
    sealed: dict[int, SealedFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.writer = MediumWriter(self.root)
        self._sealer = Sealer(
            key(KeyKind.SIGN, self.key_name),
            key(KeyKind.RECEIVE, self.receiver).public,
            self.lane,
            self.stream_id,
        )

    def envelope(self, payload: bytes, channel: str = "adt", **fields) -> Envelope:
        self.counts[channel] = self.counts.get(channel, 0) + 1
        values = {
            "message_id": new_message_id(now_ms()),
            "channel_sequence": self.counts[channel],
            "accepted_at_ms": now_ms(),
            "content_type": CONTENT_TYPE,
        } | fields
        return Envelope(channel=channel, payload=payload, **values)

    def tombstone(self, channel: str = "adt") -> Tombstone:
        self.counts[channel] = self.counts.get(channel, 0) + 1
        return Tombstone(
            new_message_id(now_ms()), channel, self.counts[channel], now_ms(), "medium_unavailable"
        )

    def seal(self, *entries: Entry) -> SealedFile:
        """The stream's next file, not published."""
        self.sequence += 1
        content = Content(now_ms(), entries, Beacon(tuple(sorted(self.counts.items()))))
        sealed = self._sealer.seal(self.sequence, self.previous_digest, content)
        self.previous_digest = sealed.digest
        self.sealed[self.sequence] = sealed
        return sealed

    def send(self, *payloads: bytes, channel: str = "adt") -> int:
        """One published file with these messages; its sequence."""
        return self.send_entries(*(self.envelope(payload, channel) for payload in payloads))

    def send_entries(self, *entries: Entry) -> int:
        self.seal(*entries)
        self.publish(self.sequence)
        return self.sequence

    def lose(self, *payloads: bytes, channel: str = "adt") -> int:
        """A file that never reaches the medium; its sequence."""
        self.seal(*(self.envelope(payload, channel) for payload in payloads))
        return self.sequence

    def publish(self, sequence: int) -> None:
        """Put a sealed file on the medium, or put it there again."""
        self.writer.publish_again(self.stream_id, sequence, self.sealed[sequence].data)

    def place(self, sequence: int, data: bytes) -> Path:
        """Put any bytes in a sequence's place."""
        self.writer.publish_again(self.stream_id, sequence, data)
        return self.path(sequence)

    def path(self, sequence: int) -> Path:
        return self.root / file_path(self.stream_id, sequence)
