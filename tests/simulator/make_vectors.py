"""Make ferry_format/vectors/ anew: `python -m tests.simulator.make_vectors`.

Only for a new version of the format: sealing draws random bytes, so each run makes other files. The
unlawful files are laid out here by hand, offset by offset, and signed with the published test key.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack

from ferry_format import envelope
from ferry_format.container import GENESIS_DIGEST, Sealer
from ferry_format.envelope import Beacon, Content, Envelope, Tombstone
from ferry_format.identifiers import lane_id
from ferry_format.keys import KeyFile, KeyKind, generate, private_text, public_text
from ferry_format.suites import ed25519_hybrid as suite

VECTORS = Path(__file__).parents[2] / "ferry_format" / "vectors"
MARK = "# PUBLISHED TEST KEY. Everybody has it: never use it.\n"
NOW_MS = 1_795_000_000_000
LANE = "front-to-inside"
STREAM = bytes(range(16))
OTHER_STREAM = bytes(range(16, 32))
MADE = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(frozen=True)
class Parts:
    """A frame before it is put together, field by field."""

    head: bytes
    version: int
    suite: int
    sender: bytes
    receiver: bytes
    lane: bytes
    stream: bytes
    sequence: int
    previous: bytes
    encapsulation: bytes
    ciphertext: bytes
    ciphertext_marker: bytes = b"\xc6"
    signature_marker: bytes = b"\xc4\x40"
    encapsulation_bytes: int = suite.ENCAPSULATION_BYTES

    def front(self) -> bytes:
        return (
            self.head
            + bytes((0xCC, self.version, 0xCC, self.suite))
            + b"\xc4\x20" + self.sender
            + b"\xc4\x20" + self.receiver
            + b"\xc4\x20" + self.lane
            + b"\xc4\x10" + self.stream
            + b"\xcf" + self.sequence.to_bytes(8, "big")
            + b"\xc4\x20" + self.previous
            + b"\xc5" + self.encapsulation_bytes.to_bytes(2, "big") + self.encapsulation
            + self.ciphertext_marker
        )  # fmt: skip

    def signed(self, key: KeyFile, size: int | None = None) -> bytes:
        size = len(self.ciphertext) if size is None else size
        part = self.front() + size.to_bytes(4, "big") + self.ciphertext + self.signature_marker
        return part + suite.sign(key.signing_key(), suite.digest(part))


class Maker:
    """Collects vectors and their manifest."""

    def __init__(self) -> None:
        self.keys = {
            name: generate(kind, name, MADE)
            for name, kind in (
                ("sender", KeyKind.SIGN),
                ("stranger", KeyKind.SIGN),
                ("receiver", KeyKind.RECEIVE),
                ("other-receiver", KeyKind.RECEIVE),
            )
        }
        self.rows: list[dict[str, Any]] = []

    def public(self, name: str) -> Any:
        public = self.keys[name].public
        assert public is not None
        return public

    def sealer(
        self, lane: str = LANE, stream: bytes = STREAM, receiver: str = "receiver"
    ) -> Sealer:
        return Sealer(self.keys["sender"], self.public(receiver), lane, stream)

    def add(self, name: str, data: bytes, description: str, **row: Any) -> None:
        (VECTORS / f"{name}.ferry").write_bytes(data)
        self.rows.append({"file": f"{name}.ferry", "description": description, **row})

    def refused(
        self, name: str, data: bytes, stage: str, reason: str, why: str, **row: Any
    ) -> None:
        self.add(name, data, why, stage=stage, reason=reason, **row)

    def parts(self, plaintext: bytes, sequence: int = 1) -> Parts:
        """A lawful frame around any plaintext."""
        sender, receiver = self.public("sender").key_id, self.public("receiver").key_id
        lane = lane_id(LANE)
        context = lane + sender + receiver + STREAM
        key = suite.receive_public_key(self.public("receiver").raw)
        secret, encapsulation = suite.encapsulate(key, context)
        parts = Parts(
            b"\x9c\xc4\x08\x89FERRY\r\n", 1, 1, sender, receiver, lane, STREAM, sequence,
            GENESIS_DIGEST, encapsulation, b"",
        )  # fmt: skip
        sealed_bytes = len(plaintext) + suite.NONCE_BYTES + suite.TAG_BYTES
        header = parts.front() + sealed_bytes.to_bytes(4, "big")
        place = STREAM + sequence.to_bytes(8, "big")
        return replace(parts, ciphertext=suite.encrypt(secret, place, header, plaintext))

    def sealed(self, plaintext: bytes) -> bytes:
        return self.parts(plaintext).signed(self.keys["sender"])


def message(number: int, channel: str, sequence: int, payload: bytes) -> Envelope:
    return Envelope(
        number.to_bytes(16, "big"), channel, sequence, NOW_MS, "application/hl7-v2", payload
    )


ADT = "MSH|^~\\&|FRONT|NET|HIS|HOSP|20261123||ADT^A01|1|P|2.5\rPID|1||P1||演示^患者\r".encode()
BATCH = Content(
    NOW_MS,
    (
        message(1, "adt", 1, ADT),
        Envelope((2).to_bytes(16, "big"), "booking", 1, NOW_MS, "application/json", b'{"id":"1"}'),
        message(3, "adt", 2, ADT),
    ),
    Beacon((("adt", 2), ("booking", 1))),
)
HEARTBEAT = Content(NOW_MS, (), Beacon((("adt", 2), ("booking", 1))))
TOMBSTONE = Content(
    NOW_MS,
    (Tombstone((4).to_bytes(16, "big"), "adt", 1, NOW_MS, "medium_unavailable"),),
    Beacon((("adt", 1),)),
)


def entries_of(content: Content) -> list[dict[str, Any]]:
    """The manifest's words for a content's entries."""
    return [
        {
            "kind": "envelope" if isinstance(entry, Envelope) else "tombstone",
            "message_id": entry.message_id.hex(),
            "channel": entry.channel,
            "channel_sequence": entry.channel_sequence,
            "payload": entry.payload.hex() if isinstance(entry, Envelope) else None,
        }
        for entry in content.entries
    ]


def make_valid(maker: Maker) -> dict[str, bytes]:
    """The lawful vectors; returns the files of the stream of three."""
    stream: dict[str, bytes] = {}
    sealer, previous = maker.sealer(), GENESIS_DIGEST
    for sequence, (name, content) in enumerate(
        (("stream-1", BATCH), ("stream-2", HEARTBEAT), ("stream-3", HEARTBEAT)), 1
    ):
        if sequence == 3:
            sealer = maker.sealer()
        sealed = sealer.seal(sequence, previous, content)
        previous, stream[name] = sealed.digest, sealed.data
        what = "a batch on two channels" if sequence == 1 else "a heartbeat"
        maker.add(
            name,
            sealed.data,
            f"file {sequence} of a stream of three: {what}"
            + ("; a new epoch" if sequence == 3 else ""),
            sequence=sequence,
            entries=entries_of(content),
            received=list(stream)[:-1],
        )
    single = maker.sealer().seal(1, GENESIS_DIGEST, TOMBSTONE)
    maker.add(
        "tombstone", single.data, "a withdrawn message", sequence=1, entries=entries_of(TOMBSTONE)
    )
    return stream


def make_frame(maker: Maker, good: bytes) -> None:
    """Chapter 4.3, steps 1 to 8."""
    sign = maker.keys["sender"]
    parts = maker.parts(envelope.encode(BATCH))
    refused = maker.refused
    refused("too-short", good[:1447], "frame", "file_too_short", "one byte less than any file has")
    refused(
        "bad-magic",
        replace(parts, head=b"\x9c\xc4\x08\x89FERRX\r\n").signed(sign),
        "frame",
        "bad_magic",
        "another magic",
    )
    refused(
        "version-2",
        replace(parts, version=2).signed(sign),
        "frame",
        "unsupported_version",
        "version 2",
    )
    refused(
        "suite-2",
        replace(parts, suite=2).signed(sign),
        "frame",
        "unsupported_suite",
        "suite 2, which version 1 reserves",
    )
    refused(
        "bad-array-marker",
        replace(parts, head=b"\x9d\xc4\x08\x89FERRY\r\n").signed(sign),
        "frame",
        "bad_frame",
        "an array of thirteen",
    )
    refused(
        "bad-encapsulation-length",
        replace(parts, encapsulation_bytes=1167).signed(sign),
        "frame",
        "bad_frame",
        "an encapsulation of 1,167 bytes",
    )
    refused(
        "bad-ciphertext-marker",
        replace(parts, ciphertext_marker=b"\xdb").signed(sign),
        "frame",
        "bad_frame",
        "text where the ciphertext belongs",
    )
    refused(
        "ciphertext-too-long",
        parts.signed(sign, len(parts.ciphertext) + 1),
        "frame",
        "bad_frame",
        "the ciphertext's length leads past the end",
    )
    refused(
        "bad-signature-marker",
        replace(parts, signature_marker=b"\xc4\x3f").signed(sign),
        "frame",
        "bad_frame",
        "a signature of 63 bytes",
    )
    refused(
        "sequence-0", replace(parts, sequence=0).signed(sign), "frame", "bad_frame", "sequence 0"
    )
    refused(
        "trailing-byte", good + b"\0", "frame", "trailing_bytes", "one byte after the signature"
    )
    maker.rows.append(
        {
            "file": None,
            "description": "a file one byte larger than the limit; made when it is read",
            "bytes": 25_231_361,
            "stage": "frame",
            "reason": "file_too_large",
        }
    )


def make_trust(maker: Maker, good: bytes) -> None:
    """Chapter 4.3, steps 9 to 15."""
    refused = maker.refused
    stranger = Sealer(maker.keys["stranger"], maker.public("receiver"), LANE, STREAM)
    refused(
        "unknown-sender",
        stranger.seal(1, GENESIS_DIGEST, BATCH).data,
        "trust",
        "unknown_sender",
        "signed by a key that nobody trusts",
    )
    refused(
        "key-revoked",
        good,
        "trust",
        "key_revoked",
        "the sender's key was revoked",
        trust={"revoked": True},
    )
    refused(
        "key-not-yet-valid",
        good,
        "trust",
        "key_not_valid_now",
        "before the key's first millisecond",
        trust={"not_before_ms": NOW_MS + 1},
    )
    refused(
        "key-expired",
        good,
        "trust",
        "key_not_valid_now",
        "after the key's last millisecond",
        trust={"not_after_ms": NOW_MS - 1},
    )
    refused(
        "suite-not-allowed",
        good,
        "trust",
        "suite_not_allowed",
        "the key is trusted for suite 2 alone",
        trust={"suites": [2]},
    )
    refused(
        "wrong-lane",
        maker.sealer(lane="another-lane").seal(1, GENESIS_DIGEST, BATCH).data,
        "trust",
        "wrong_lane",
        "sealed for another lane",
    )
    refused(
        "wrong-receiver",
        maker.sealer(receiver="other-receiver").seal(1, GENESIS_DIGEST, BATCH).data,
        "trust",
        "wrong_receiver",
        "sealed for another receiver",
    )
    flipped = good[:-1] + bytes((good[-1] ^ 1,))
    refused(
        "bad-signature", flipped, "signature", "bad_signature", "one bit of the signature flipped"
    )
    changed = good[:1400] + bytes((good[1400] ^ 1,)) + good[1401:]
    refused(
        "changed-ciphertext",
        changed,
        "signature",
        "bad_signature",
        "one bit of the ciphertext flipped",
    )


def make_content(maker: Maker) -> None:
    """Chapters 5 and 6: signed by the trusted key, unlawful inside."""
    sign, refused = maker.keys["sender"], maker.refused
    parts = maker.parts(envelope.encode(BATCH))
    broken = bytes((parts.encapsulation[0] ^ 1,)) + parts.encapsulation[1:]
    refused(
        "unseal-encapsulation",
        replace(parts, encapsulation=broken).signed(sign),
        "unseal",
        "unseal_failed",
        "an encapsulation that does not open",
    )
    moved = replace(parts, sequence=2)
    refused(
        "unseal-moved",
        moved.signed(sign),
        "unseal",
        "unseal_failed",
        "a ciphertext moved to another sequence",
    )

    def inside(name: str, reason: str, why: str, plaintext: bytes) -> None:
        refused(name, maker.sealed(plaintext), "content", reason, why)

    pack: Callable[[Any], bytes] = msgpack.packb
    one = [0, bytes(16), "adt", 1, 1, "text/plain", b"x"]
    good = [1, [["adt", 1]], [one]]

    def entry(**changes: Any) -> bytes:
        names = ("kind", "id", "channel", "sequence", "at", "type", "payload")
        changed = [changes.get(name, value) for name, value in zip(names, one, strict=True)]
        return pack([1, [["adt", 1]], [changed]])

    inside("content-trailing", "trailing_bytes", "a byte after the content", pack(good) + b"\0")
    inside("content-truncated", "bad_content", "the content ends early", pack(good)[:-1])
    inside("content-empty", "bad_content", "no content at all", b"")
    inside("content-map", "bad_content", "a map where the content belongs", pack({"a": 1}))
    inside(
        "content-padded-integer",
        "content_not_canonical",
        "an integer longer than it needs to be",
        b"\x93\xcc\x01\x90\x90",
    )
    inside(
        "content-padded-array",
        "content_not_canonical",
        "an array header longer than it needs to be",
        b"\x93\x01\xdc\x00\x00\x90",
    )
    inside(
        "content-nested",
        "content_limit",
        "a thousand arrays, one in another, in an integer's place",
        b"\x93" + b"\x91" * 1000 + b"\x01",
    )
    inside(
        "content-array-bomb",
        "content_limit",
        "four thousand million entries announced",
        b"\x93\x01\x90\xdd\xff\xff\xff\xff",
    )
    inside("content-negative-time", "bad_content", "a negative time", pack([-1, [], []]))
    inside("content-float-time", "bad_content", "a time as a float", pack([1.0, [], []]))
    inside("content-short-id", "bad_content", "a message id of 15 bytes", entry(id=bytes(15)))
    inside("content-text-id", "bad_content", "a message id as text", entry(id="0" * 16))
    inside(
        "content-bad-channel", "bad_content", "a channel name with a slash", entry(channel="a/b")
    )
    inside("content-sequence-0", "bad_content", "channel sequence 0", entry(sequence=0))
    inside(
        "content-bad-type",
        "bad_content",
        "a content type with a line end",
        entry(type="text/plain\r"),
    )
    inside("content-no-payload", "bad_content", "an empty payload", entry(payload=b""))
    inside("content-text-payload", "bad_content", "a payload as text", entry(payload="x"))
    inside("content-unknown-kind", "bad_content", "an entry of kind 2", entry(kind=2))
    two = [0, bytes(15) + b"\1", "adt", 3, 1, "text/plain", b"x"]
    inside(
        "content-channel-hole",
        "bad_content",
        "a channel sequence left out",
        pack([1, [["adt", 3]], [one, two]]),
    )
    twin = [0, bytes(16), "adt", 2, 1, "text/plain", b"x"]
    inside(
        "content-twin-ids",
        "bad_content",
        "a message id twice",
        pack([1, [["adt", 2]], [one, twin]]),
    )
    inside(
        "content-beacon-order",
        "bad_content",
        "beacon channels not in order",
        pack([1, [["b", 1], ["a", 1]], []]),
    )
    inside(
        "content-beacon-twice",
        "bad_content",
        "a beacon channel twice",
        pack([1, [["a", 1], ["a", 1]], []]),
    )
    inside(
        "content-beacon-count",
        "bad_content",
        "a beacon that does not count the entries",
        pack([1, [["adt", 2]], [one]]),
    )
    refused(
        "channel-not-authorised",
        maker.sealed(entry(channel="adt")),
        "authority",
        "channel_not_authorised",
        "a channel that the key may not send on",
        trust={"channels": ["booking"]},
    )


def make_stream(maker: Maker, stream: dict[str, bytes]) -> None:
    """Chapter 7 and the name of chapter 8."""
    refused = maker.refused
    other = maker.sealer(stream=OTHER_STREAM).seal(1, GENESIS_DIGEST, HEARTBEAT).data
    refused(
        "unknown-stream",
        other,
        "stream",
        "unknown_stream",
        "another stream of the same sender",
        received=["stream-1"],
    )
    refused(
        "sequence-replayed",
        stream["stream-1"],
        "stream",
        "sequence_replayed",
        "a file that was received before",
        received=["stream-1"],
    )
    again = maker.sealer().seal(1, GENESIS_DIGEST, HEARTBEAT).data
    refused(
        "sequence-reused",
        again,
        "stream",
        "sequence_reused",
        "other content under a sequence that was received",
        received=["stream-1"],
    )
    astray = maker.sealer().seal(2, bytes(31) + b"\1", HEARTBEAT).data
    refused(
        "chain-broken",
        astray,
        "stream",
        "chain_broken",
        "names another file before it",
        received=["stream-1"],
    )
    refused(
        "name-mismatch",
        stream["stream-1"],
        "medium",
        "name_mismatch",
        "stands under the name of sequence 2",
        name_sequence=2,
    )


def main() -> None:
    """Make everything anew."""
    VECTORS.mkdir(exist_ok=True)
    for old in VECTORS.iterdir():
        old.unlink()
    maker = Maker()
    for name, key in maker.keys.items():
        (VECTORS / f"{name}.key").write_text(MARK + private_text(key))
        (VECTORS / f"{name}.pub").write_text(MARK + public_text(key))
    stream = make_valid(maker)
    make_frame(maker, stream["stream-1"])
    make_trust(maker, stream["stream-1"])
    make_content(maker)
    make_stream(maker, stream)
    manifest = {
        "about": "Ferry file format, version 1. The keys here are published: never use them.",
        "now_ms": NOW_MS,
        "lane": LANE,
        "stream": STREAM.hex(),
        "sender_key": "sender.pub",
        "receiver_key": "receiver.key",
        "trust": {"suites": [1], "channels": ["adt", "booking"]},
        "vectors": maker.rows,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (VECTORS / "vectors.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
