"""Add to ferry_format/vectors/ what is missing: `python -m tests.simulator.make_vectors`.

What was published stays byte for byte: sealing draws random bytes, so that a file made again would
be another. For a new version of the format, empty the folder first. The unlawful files are laid out
by hand (`frames`, `unlawful_contents`) and signed with the published test key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ferry_format import envelope
from ferry_format.container import GENESIS_DIGEST
from ferry_format.envelope import Content, Entry, Part, Tombstone
from ferry_format.keys import KeyFile, KeyKind, generate, parse_key_file, private_text, public_text
from ferry_format.suites import ed25519_hybrid as suite
from tests.simulator.frames import LANE, NOW_MS, STREAM, Parts, Site
from tests.simulator.lawful_contents import (
    BATCH,
    HEARTBEAT,
    LAST_PART,
    TOMBSTONE,
    WHOLE_OBJECT,
    every_width,
)
from tests.simulator.unlawful_contents import all_of_them, entry

VECTORS = Path(__file__).parents[2] / "ferry_format" / "vectors"
MARK = "# PUBLISHED TEST KEY. Everybody has it: never use it.\n"
OTHER_STREAM = bytes(range(16, 32))
MADE = datetime(2026, 11, 23, tzinfo=UTC)
ORDER_OF_ED25519 = 2**252 + 27742317777372353535851937790883648493
KINDS = {
    "sender": KeyKind.SIGN,
    "stranger": KeyKind.SIGN,
    "receiver": KeyKind.RECEIVE,
    "other-receiver": KeyKind.RECEIVE,
}


def entries_of(content: Content) -> list[dict[str, Any]]:
    """The manifest's words for a content's entries."""
    return [
        {
            "kind": type(entry).__name__.lower(),
            "message_id": entry.message_id.hex(),
            "channel": entry.channel,
            "channel_sequence": entry.channel_sequence,
            "at_ms": entry.withdrawn_at_ms
            if isinstance(entry, Tombstone)
            else entry.accepted_at_ms,
            "text": entry.reason if isinstance(entry, Tombstone) else entry.content_type,
            "payload_bytes": None if isinstance(entry, Tombstone) else len(entry.payload),
            "payload_sha256": None
            if isinstance(entry, Tombstone)
            else suite.digest(entry.payload).hex(),
            **_part_words(entry),
        }
        for entry in content.entries
    ]


def _part_words(entry: Entry) -> dict[str, Any]:
    if not isinstance(entry, Part):
        return {}
    return {
        "object_bytes": entry.object_bytes,
        "number": entry.number,
        "object_digest": entry.digest.hex(),
    }


@dataclass
class Collection:
    """The vectors and their manifest's rows."""

    site: Site
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, data: bytes, description: str, **row: Any) -> bytes:
        """Publish `data` as `name`, unless something is; returns what is published."""
        path = VECTORS / f"{name}.ferry"
        if not path.exists():
            path.write_bytes(data)
        self.rows.append({"file": path.name, "description": description, **row})
        return path.read_bytes()

    def refused(self, stage: str, *rows: tuple[str, str, str, bytes], **more: Any) -> None:
        for name, reason, description, data in rows:
            self.add(name, data, description, stage=stage, reason=reason, **more)

    def signed(self, parts: Parts, **changes: Any) -> bytes:
        return replace(parts, **changes).signed(self.site.keys["sender"])


def make_valid(made: Collection) -> dict[int, bytes]:
    """The lawful vectors; returns the files of the stream of three by sequence."""
    stream: dict[int, bytes] = {}
    sealer, previous = made.site.sealer(), GENESIS_DIGEST
    for sequence, content, what in (
        (1, BATCH, "a batch on two channels"),
        (2, HEARTBEAT, "a heartbeat"),
        (3, HEARTBEAT, "a heartbeat; a new epoch"),
    ):
        if sequence == 3:
            sealer = made.site.sealer()
        stream[sequence] = made.add(
            f"stream-{sequence}",
            sealer.seal(sequence, previous, content).data,
            f"file {sequence} of a stream of three: {what}",
            sequence=sequence,
            entries=entries_of(content),
            received=[f"stream-{before}" for before in range(1, sequence)],
        )
        previous = suite.digest(stream[sequence][:-64])
    for name, content, what in (
        ("tombstone", TOMBSTONE, "a withdrawn message"),
        ("object-of-one-part", WHOLE_OBJECT, "an object of one part"),
        ("object-last-part", LAST_PART, "the second part of two; the first is 4 MiB of zeros"),
        ("every-width", every_width(), "each width of integer, text and binary"),
    ):
        data = made.site.sealer().seal(1, GENESIS_DIGEST, content).data
        trust = {"channels": sorted({entry.channel for entry in content.entries})}
        made.add(name, data, what, sequence=1, entries=entries_of(content), trust=trust)
    made.add(
        "period-of-a-moment",
        stream[1],
        "the first millisecond of a key's period, which is its last",
        sequence=1,
        entries=entries_of(BATCH),
        trust={"not_before_ms": NOW_MS, "not_after_ms": NOW_MS},
    )
    return stream


def make_frame(made: Collection, good: bytes) -> None:
    """Chapter 4.3, steps 1 to 8."""
    parts, signed = made.site.parts(envelope.encode(BATCH)), made.signed
    size = len(parts.ciphertext)
    magic, thirteen = b"\x9c\xc4\x08\x89FERRX\r\n", b"\x9d\xc4\x08\x89FERRY\r\n"
    made.refused(
        "frame",
        ("too-short", "file_too_short", "one byte less than any file has", good[:1447]),
        ("bad-magic", "bad_magic", "another magic", signed(parts, head=magic)),
        ("version-0", "unsupported_version", "version 0", signed(parts, version=0)),
        ("version-2", "unsupported_version", "version 2", signed(parts, version=2)),
        ("suite-0", "unsupported_suite", "suite 0", signed(parts, suite=0)),
        ("suite-2", "unsupported_suite", "suite 2, which is reserved", signed(parts, suite=2)),
        ("magic-before-version", "bad_magic", "both wrong", signed(parts, head=magic, version=2)),
        ("bad-array-marker", "bad_frame", "an array of thirteen", signed(parts, head=thirteen)),
        (
            "bad-sequence-marker",
            "bad_frame",
            "a signed sequence",
            signed(parts, sequence_marker=b"\xd3"),
        ),
        (
            "bad-encapsulation-length",
            "bad_frame",
            "an encapsulation of 1,167 bytes",
            signed(parts, encapsulation_bytes=1167),
        ),
        (
            "bad-ciphertext-marker",
            "bad_frame",
            "text where the ciphertext belongs",
            signed(parts, ciphertext_marker=b"\xdb"),
        ),
        (
            "ciphertext-too-short",
            "bad_frame",
            "a ciphertext of 27 bytes, and one byte after the signature",
            signed(parts, ciphertext=bytes(27), ciphertext_bytes=27) + b"\0",
        ),
        (
            "ciphertext-too-long",
            "bad_frame",
            "the ciphertext's length leads past the end",
            signed(parts, ciphertext_bytes=size + 1),
        ),
        (
            "ciphertext-bomb",
            "bad_frame",
            "a ciphertext of 2^32 - 1 bytes announced",
            signed(parts, ciphertext_bytes=2**32 - 1),
        ),
        (
            "bad-signature-marker",
            "bad_frame",
            "a signature of 63 bytes",
            signed(parts, signature_marker=b"\xc4\x3f"),
        ),
        ("sequence-0", "bad_frame", "sequence 0", signed(parts, sequence=0)),
        ("sequence-too-large", "bad_frame", "sequence 2^63", signed(parts, sequence=2**63)),
        ("trailing-byte", "trailing_bytes", "one byte after the signature", good + b"\0"),
        (
            "trailing-before-sequence",
            "trailing_bytes",
            "sequence 0, and one byte after the signature",
            signed(parts, sequence=0) + b"\0",
        ),
    )
    made.rows.append(
        {
            "file": None,
            "description": "a file of zeros, one byte larger than the limit",
            "bytes": 25_231_361,
            "stage": "frame",
            "reason": "file_too_large",
        }
    )


def make_trust(made: Collection, good: bytes) -> None:
    """Chapter 4.3, steps 9 to 15."""
    site = made.site

    def seal(**changes: Any) -> bytes:
        return site.sealer(**changes).seal(1, GENESIS_DIGEST, BATCH).data

    elsewhere = seal(lane="another-lane", receiver="other-receiver")
    made.refused(
        "trust",
        ("unknown-sender", "unknown_sender", "of a key nobody trusts", seal(sender="stranger")),
        ("wrong-lane", "wrong_lane", "sealed for another lane", seal(lane="another-lane")),
        ("wrong-receiver", "wrong_receiver", "for another one", seal(receiver="other-receiver")),
        ("lane-before-receiver", "wrong_lane", "another lane and receiver", elsewhere),
        (
            "receiver-before-signature",
            "wrong_receiver",
            "for another receiver, with a signature that does not hold",
            flipped(seal(receiver="other-receiver"), -1),
        ),
    )  # fmt: skip
    for name, reason, description, trust in (
        ("key-revoked", "key_revoked", "the sender's key was revoked", {"revoked": True}),
        (
            "key-not-yet-valid",
            "key_not_valid_now",
            "before the key's first millisecond",
            {"not_before_ms": NOW_MS + 1},
        ),
        (
            "key-expired",
            "key_not_valid_now",
            "after the key's last millisecond",
            {"not_after_ms": NOW_MS - 1},
        ),
        (
            "revoked-before-expired",
            "key_revoked",
            "a key both revoked and expired",
            {"revoked": True, "not_after_ms": NOW_MS - 1},
        ),
        (
            "suite-not-allowed",
            "suite_not_allowed",
            "the key is trusted for suite 2 alone",
            {"suites": [2]},
        ),
    ):
        made.refused("trust", (name, reason, description, good), trust=trust)
    scalar = int.from_bytes(good[-32:], "little") + ORDER_OF_ED25519
    other = "bad_signature"
    made.refused(
        "signature",
        ("bad-signature", other, "one bit of the signature flipped", flipped(good, -1)),
        ("changed-ciphertext", other, "one bit of the ciphertext flipped", flipped(good, 1400)),
        ("changed-sequence", other, "one bit of the sequence flipped", flipped(good, 142)),
        (
            "signature-spelt-twice",
            other,
            "the same signature with the group's order added to its second half",
            good[:-32] + scalar.to_bytes(32, "little"),
        ),
    )


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def make_content(made: Collection) -> None:
    """Chapters 5 and 6: signed by the trusted key, unlawful inside."""
    site, plaintext, code = made.site, envelope.encode(BATCH), "unseal_failed"
    parts = site.parts(plaintext)
    zero_share = parts.encapsulation[:1088] + bytes(32) + parts.encapsulation[1120:]
    made.refused(
        "unseal",
        (
            "unseal-encapsulation",
            code,
            "an encapsulation that does not open",
            made.signed(parts, encapsulation=flipped(parts.encapsulation, 0)),
        ),
        (
            "unseal-zero-share",
            code,
            "an X25519 share of zeros",
            made.signed(parts, encapsulation=zero_share),
        ),
        (
            "unseal-other-lane",
            code,
            "the epoch of another lane",
            made.signed(site.parts(plaintext, epoch_lane="another-lane")),
        ),
        (
            "unseal-other-stream",
            code,
            "moved to another stream",
            made.signed(parts, stream=OTHER_STREAM),
        ),
        ("unseal-moved", code, "moved to another sequence", made.signed(parts, sequence=2)),
        (
            "unseal-previous",
            code,
            "put behind another file",
            made.signed(parts, previous=bytes(31) + b"\1"),
        ),
        (
            "unseal-tag",
            code,
            "one bit of the tag flipped",
            made.signed(parts, ciphertext=flipped(parts.ciphertext, -1)),
        ),
    )
    for name, reason, why, unlawful in all_of_them():
        made.refused("content", (f"content-{name}", reason, why, site.sealed(unlawful)))
    made.refused(
        "authority",
        (
            "channel-not-authorised",
            "channel_not_authorised",
            "a channel that the key may not send on",
            site.sealed(entry()),
        ),
        trust={"channels": ["booking"]},
    )


def make_stream(made: Collection, stream: dict[int, bytes]) -> None:
    """Chapter 7 and the name of chapter 8."""

    def seal(sequence: int, previous: bytes, **changes: Any) -> bytes:
        return made.site.sealer(**changes).seal(sequence, previous, HEARTBEAT).data

    first = suite.digest(stream[1][:-64])
    astray = bytes(31) + b"\1"
    for name, reason, why, data, received in (
        (
            "unknown-stream",
            "unknown_stream",
            "another stream of the same sender",
            seal(1, GENESIS_DIGEST, stream=OTHER_STREAM),
            [1],
        ),
        (
            "sequence-replayed",
            "sequence_replayed",
            "a file that was received before",
            stream[1],
            [1],
        ),
        (
            "sequence-reused",
            "sequence_reused",
            "other content under a sequence that was received",
            seal(1, GENESIS_DIGEST),
            [1],
        ),
        ("chain-broken", "chain_broken", "names another file before it", seal(2, astray), [1]),
        ("first-follows", "chain_broken", "a first file with another before", seal(1, astray), []),
        ("last-sequence", "bad_frame", "the one without a next", seal(2**63 - 1, first), [1]),
        (
            "late-forged",
            "chain_broken",
            "late, and not the file that the next one names",
            seal(2, first),
            [1, 3],
        ),
    ):  # fmt: skip
        before = [f"stream-{sequence}" for sequence in received]
        made.refused("stream", (name, reason, why, data), received=before)
    for name, decision, why, sequence, received in (
        ("late", "late", "fills the gap that was given up", 2, ["stream-1", "stream-3"]),
        ("ahead", "wait", "comes before the file that precedes it", 3, ["stream-1"]),
    ):
        made.add(
            name,
            stream[sequence],
            why,
            sequence=sequence,
            entries=entries_of(HEARTBEAT),
            received=received,
            decision=decision,
        )
    made.refused(
        "medium",
        ("name-mismatch", "name_mismatch", "stands under the name of sequence 2", stream[1]),
        name_sequence=2,
    )


def keys() -> dict[str, KeyFile]:
    """The published keys; what is missing is made."""
    found: dict[str, KeyFile] = {}
    for name, kind in KINDS.items():
        path = VECTORS / f"{name}.key"
        if not path.exists():
            made = generate(kind, name, MADE)
            path.write_text(MARK + private_text(made))
            path.with_suffix(".pub").write_text(MARK + public_text(made))
        found[name] = parse_key_file(path.read_text(), path.name)
    return found


def main() -> None:
    """Make what is missing, and the manifest."""
    VECTORS.mkdir(exist_ok=True)
    made = Collection(Site(keys()))
    stream = make_valid(made)
    make_frame(made, stream[1])
    make_trust(made, stream[1])
    make_content(made)
    make_stream(made, stream)
    manifest = {
        "about": "Vectors of the ferry file format, version 1; SPEC.md, chapter 10, says how to"
        " read this. Keys here are published: never use them.",
        "now_ms": NOW_MS,
        "lane": LANE,
        "stream": STREAM.hex(),
        "sender_key": "sender.pub",
        "receiver_key": "receiver.key",
        "trust": {"suites": [1], "channels": ["adt", "booking"]},
        "vectors": made.rows,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (VECTORS / "vectors.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
