"""Plaintexts that no lawful sender makes, each with the reason that refuses it (SPEC.md, 6.3)."""

from __future__ import annotations

from typing import Any

import msgpack

BAD, LIMIT, SPELLING, TRAILING = (
    "bad_content",
    "content_limit",
    "content_not_canonical",
    "trailing_bytes",
)
ONE = [0, bytes(16), "adt", 1, 1, "text/plain", b"x"]
PART = [2, bytes(16), "img", 1, 1, "a/b", 1, 1, bytes(32), b"x"]
NAMES = ("kind", "id", "channel", "sequence", "at", "type", "payload")
PART_NAMES = (*NAMES[:-1], "object", "number", "digest", "payload")


def pack(value: Any) -> bytes:
    return msgpack.packb(value)


def entry(**changes: Any) -> bytes:
    """A content of one envelope, of which something is changed."""
    changed = [changes.get(name, value) for name, value in zip(NAMES, ONE, strict=True)]
    return pack([1, [["adt", 1]], [changed]])


def part(**changes: Any) -> bytes:
    """A content of one part, the only one of its object, of which something is changed."""
    changed = [changes.get(name, value) for name, value in zip(PART_NAMES, PART, strict=True)]
    return pack([1, [["img", 1]], [changed]])


def spelt(plain: bytes, spelling: bytes) -> bytes:
    """A lawful content in which one place is spelt otherwise."""
    content = entry()
    assert content.count(plain) == 1
    return content.replace(plain, spelling)


def tombstone(reason: str, *more: Any) -> bytes:
    return pack([1, [["adt", 1]], [[1, bytes(16), "adt", 1, 1, reason, *more]]])


def two(**changes: Any) -> bytes:
    """A content of two envelopes on one channel, of which the second is changed."""
    said = {"id": bytes(15) + b"\1", "sequence": 2, **changes}
    second = [said.get(name, value) for name, value in zip(NAMES, ONE, strict=True)]
    return pack([1, [["adt", said["sequence"]]], [ONE, second]])


def all_of_them() -> list[tuple[str, str, str, bytes]]:
    """Name, reason, what is wrong, plaintext."""
    return [
        # The whole
        ("trailing", TRAILING, "a byte after the content", entry() + b"\0"),
        ("truncated", BAD, "the content ends early", entry()[:-1]),
        ("empty", BAD, "no content at all", b""),
        ("map", BAD, "a map where the content belongs", pack({"a": 1})),
        ("two-elements", BAD, "a content without entries' array", pack([1, []])),
        ("four-elements", LIMIT, "a content of four elements", pack([1, [], [], 1])),
        # Counts
        ("array-bomb", LIMIT, "2^32 - 1 entries announced", b"\x93\x01\x90\xdd\xff\xff\xff\xff"),
        ("many-entries", LIMIT, "4,097 entries announced", b"\x93\x01\x90\xdc\x10\x01"),
        ("many-channels", LIMIT, "1,025 channels announced", b"\x93\x01\xdc\x04\x01"),
        ("eight-fields", BAD, "an entry of eight fields", pack([1, [], [[*ONE, 1]]])),
        ("eleven-fields", LIMIT, "an entry of eleven fields", pack([1, [], [[*PART, 1]]])),
        ("five-fields", BAD, "an entry of five fields", pack([1, [], [ONE[:5]]])),
        # Types
        ("nested", LIMIT, "a thousand arrays in an integer's place", b"\x93" + b"\x91" * 1000),
        ("empty-array", LIMIT, "an empty array in an integer's place", pack([[], [], []])),
        ("map-in-place", LIMIT, "an empty map in an integer's place", pack([{}, [], []])),
        ("extension", LIMIT, "an extension in an integer's place", b"\x93\xd4\x01\x00\x90\x90"),
        ("negative-time", BAD, "a negative time", pack([-1, [], []])),
        ("float-time", BAD, "a time as a float", pack([1.0, [], []])),
        ("nil-time", BAD, "nil in a time's place", pack([None, [], []])),
        ("true-time", BAD, "true in a time's place", pack([True, [], []])),
        ("true-kind", BAD, "true in the kind's place", entry(kind=True)),
        ("no-msgpack", BAD, "c1, which msgpack never uses", b"\x93\xc1\x90\x90"),
        ("text-id", BAD, "a message id as text", entry(id="0" * 16)),
        ("binary-channel", BAD, "a channel as bytes", entry(channel=b"adt")),
        ("text-payload", BAD, "a payload as text", entry(payload="x")),
        (
            "no-utf8",
            BAD,
            "a content type that is not UTF-8",
            spelt(b"text/plain", b"text/pla\xff\xff"),
        ),
        # Values
        ("time-too-late", BAD, "a time of 2^53", entry(at=2**53)),
        ("short-id", BAD, "a message id of 15 bytes", entry(id=bytes(15))),
        ("bad-channel", BAD, "a channel name with a slash", entry(channel="a/b")),
        ("long-channel", BAD, "a channel name of 65 characters", entry(channel="a" * 65)),
        ("sequence-0", BAD, "channel sequence 0", entry(sequence=0)),
        ("sequence-too-large", BAD, "channel sequence 2^63", entry(sequence=2**63)),
        ("bad-type", BAD, "a content type with a line end", entry(type="text/plain\r")),
        ("long-type", LIMIT, "a content type of 101 characters", entry(type="text/" + "a" * 96)),
        ("no-payload", BAD, "an empty payload", entry(payload=b"")),
        ("bad-reason", BAD, "a reason with a capital", tombstone("Full")),
        ("long-reason", LIMIT, "a reason of 65 characters", tombstone("a" * 65)),
        ("unknown-kind", BAD, "an entry of kind 2 with seven fields", entry(kind=2)),
        ("kind-3", BAD, "an entry of kind 3", part(kind=3)),
        ("tombstone-payload", BAD, "a tombstone with a payload", tombstone("full", b"x")),
        ("part-0", BAD, "a part with number 0", part(number=0)),
        ("part-too-high", BAD, "part 2 of an object of one", part(number=2)),
        ("part-too-short", BAD, "a last part shorter than the rest", part(object=2)),
        ("part-too-long", BAD, "a last part longer than the rest", part(payload=b"xx")),
        ("part-empty", BAD, "an object of no bytes", part(object=0, payload=b"")),
        ("part-too-many", LIMIT, "an object of 2^42 + 1 bytes", part(object=2**42 + 1)),
        ("part-first-short", BAD, "a first part of one byte", part(object=2**22 + 1, digest=b"")),
        ("part-no-digest", BAD, "a last part without a digest", part(digest=b"")),
        ("part-text-digest", BAD, "a digest as text", part(digest="0" * 32)),
        # Between values
        ("channel-hole", BAD, "a channel sequence left out", two(sequence=3)),
        ("channel-backwards", BAD, "a channel sequence twice", two(sequence=1)),
        ("twin-ids", BAD, "a message id twice", two(id=bytes(16))),
        ("beacon-order", BAD, "beacon channels not in order", pack([1, [["b", 1], ["a", 1]], []])),
        ("beacon-twice", BAD, "a beacon channel twice", pack([1, [["a", 1], ["a", 1]], []])),
        ("beacon-name", BAD, "a beacon channel of no lawful name", pack([1, [["A", 1]], []])),
        ("beacon-count", BAD, "a beacon that miscounts", pack([1, [["adt", 2]], [ONE]])),
        ("beacon-missing", BAD, "a beacon without an entry's channel", pack([1, [], [ONE]])),
        # Spelling
        ("padded-integer", SPELLING, "an integer longer than needed", b"\x93\xcc\x01\x90\x90"),
        ("signed-integer", SPELLING, "a signed integer", b"\x93\xd0\x01\x90\x90"),
        ("padded-array", SPELLING, "an array header too long", b"\x93\x01\xdc\x00\x00\x90"),
        ("padded-text", SPELLING, "a text header too long", spelt(b"\xaatext/", b"\xd9\x0atext/")),
        ("padded-binary", SPELLING, "a binary header too long", spelt(b"\xc4\x01x", b"\xc5\0\1x")),
    ]
