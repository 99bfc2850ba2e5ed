"""Contents at their limits: what is just lawful, and what is just not, on writing and on reading.

The unlawful plaintexts that a reader must refuse are vectors (test_vectors.py).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import msgpack
import pytest

from ferry_format import limits
from ferry_format.envelope import Beacon, Content, Entry, Envelope, Part, Tombstone, decode, encode
from ferry_format.reasons import Refused

ONE = Envelope(bytes(16), "adt", 1, 1, "text/plain", b"x")
FIRST = Part(bytes(16), "img", 1, 1, "a/b", limits.PART_BYTES + 1, 1, b"", bytes(limits.PART_BYTES))
LAST = replace(FIRST, number=2, digest=bytes(32), payload=b"x")
GONE = Tombstone(bytes(16), "adt", 1, 1, "medium_full")


def content(*entries: Entry, beacon: tuple[tuple[str, int], ...] | None = None) -> Content:
    counts = tuple(sorted({entry.channel: entry.channel_sequence for entry in entries}.items()))
    return Content(1, entries, Beacon(counts if beacon is None else beacon))


def many(count: int) -> list[Envelope]:
    return [
        replace(ONE, message_id=n.to_bytes(16, "big"), channel_sequence=n + 1) for n in range(count)
    ]


def refusal(made: Content) -> str:
    with pytest.raises(Refused) as caught:
        encode(made)
    return caught.value.reason.code


@pytest.mark.parametrize(
    "made",
    [
        content(),
        content(beacon=(("adt", limits.SEQUENCE_MAX),)),
        content(ONE),
        content(GONE),
        content(replace(ONE, channel="a" * 64, content_type="text/" + "a" * 95)),
        content(replace(GONE, reason="a" * 64)),
        content(replace(ONE, channel_sequence=limits.SEQUENCE_MAX)),
        content(replace(ONE, accepted_at_ms=0)),
        content(replace(ONE, accepted_at_ms=limits.TIME_MS_MAX)),
        content(replace(ONE, payload=b"p" * limits.MESSAGE_BYTES_MAX)),
        content(FIRST),
        content(LAST),
        content(replace(LAST, object_bytes=limits.PART_BYTES * 2, payload=FIRST.payload)),
        content(*many(4096)),
        content(beacon=tuple((f"c{n:04d}", 1) for n in range(1024))),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_just_lawful_reads_back(made: Content) -> None:
    assert decode(encode(made)) == made


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (content(replace(ONE, message_id=bytes(17))), "bad_content"),
        (content(replace(ONE, channel="")), "bad_content"),
        (content(replace(ONE, channel="a" * 65)), "bad_content"),
        (content(replace(ONE, channel="ADT")), "bad_content"),
        (content(replace(ONE, channel_sequence=0)), "bad_content"),
        (content(replace(ONE, channel_sequence=limits.SEQUENCE_MAX + 1)), "bad_content"),
        (content(replace(ONE, accepted_at_ms=-1)), "bad_content"),
        (content(replace(ONE, accepted_at_ms=limits.TIME_MS_MAX + 1)), "bad_content"),
        (content(replace(ONE, content_type="TEXT/plain")), "bad_content"),
        (content(replace(ONE, content_type="text/plain;charset=UTF-8")), "bad_content"),
        (content(replace(ONE, content_type="text/plain; charset=UTF-8\n")), "bad_content"),
        (content(replace(ONE, content_type="text/" + "a" * 96)), "content_limit"),
        (content(replace(ONE, payload=b"")), "bad_content"),
        (content(replace(ONE, payload=b"p" * (limits.MESSAGE_BYTES_MAX + 1))), "content_limit"),
        (content(replace(GONE, reason="Full")), "bad_content"),
        (content(replace(GONE, reason="a" * 65)), "content_limit"),
        (content(replace(GONE, withdrawn_at_ms=-1)), "bad_content"),
        (content(replace(FIRST, digest=bytes(32))), "bad_content"),
        (content(replace(FIRST, payload=FIRST.payload[1:])), "bad_content"),
        (content(replace(LAST, digest=b"")), "bad_content"),
        (content(replace(LAST, object_bytes=limits.OBJECT_BYTES_MAX + 1)), "content_limit"),
        (content(ONE, replace(ONE, channel="b")), "bad_content"),
        (content(ONE, beacon=()), "bad_content"),
        (content(ONE, beacon=(("adt", 2),)), "bad_content"),
        (content(beacon=(("b", 1), ("a", 1))), "bad_content"),
        (content(beacon=(("a", 1), ("a", 2))), "bad_content"),
        (content(beacon=(("a", 0),)), "bad_content"),
        (content(beacon=tuple((f"c{n:04d}", 1) for n in range(1025))), "content_limit"),
        (replace(content(), sealed_at_ms=limits.TIME_MS_MAX + 1), "bad_content"),
        (content(*many(4097)), "content_limit"),
    ],
    ids=range(30),
)  # fmt: skip
def test_a_sender_never_writes_what_a_reader_would_refuse(made: Content, code: str) -> None:
    assert refusal(made) == code


def test_a_content_larger_than_a_file_is_neither_written_nor_read() -> None:
    payload = b"p" * limits.MESSAGE_BYTES_MAX
    two = content(
        replace(ONE, payload=payload),
        replace(ONE, message_id=b"\1" * 16, channel_sequence=2, payload=payload),
    )
    assert refusal(two) == "content_limit"
    with pytest.raises(Refused, match="content_limit"):
        decode(bytes(limits.CONTENT_BYTES_MAX + 1))


def test_entries_of_several_channels_may_stand_between_each_other() -> None:
    entries = [
        replace(ONE, message_id=n.to_bytes(16, "big"), channel=channel, channel_sequence=sequence)
        for n, (channel, sequence) in enumerate([("b", 7), ("a", 1), ("b", 8), ("a", 2)])
    ]
    made = content(*entries)
    assert decode(encode(made)).entries == tuple(entries)


def test_each_value_is_in_its_shortest_encoding() -> None:
    assert encode(content(ONE)) == (
        b"\x93\x01\x91\x92\xa3adt\x01\x91\x97\x00\xc4\x10" + bytes(16)
        + b"\xa3adt\x01\x01\xaatext/plain\xc4\x01x"
    )  # fmt: skip


def test_whatever_prefix_of_a_content_is_refused() -> None:
    data = encode(content(ONE, replace(GONE, message_id=b"\1" * 16, channel_sequence=2)))
    for size in range(len(data)):
        with pytest.raises(Refused, match="bad_content"):
            decode(data[:size])


def test_msgpacks_slow_form_is_refused_by_name_rather_than_refusing_every_file() -> None:
    assert msgpack.Unpacker.__module__ != "msgpack.fallback"
    told = subprocess.run(
        [sys.executable, "-c", "import ferry_format.envelope"],
        env={"MSGPACK_PUREPYTHON": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode != 0
    assert "MSGPACK_PUREPYTHON" in told.stderr.splitlines()[-1]
