"""Contents that senders make: a few fixed ones, any that hypothesis draws, and spoilt ones."""

from __future__ import annotations

from hypothesis import strategies as st

from ferry_format.envelope import Beacon, Content, Entry, Envelope, Part, Tombstone, encode
from ferry_format.limits import PART_BYTES
from ferry_format.parts import object_digest, part_digest
from tests.simulator.frames import NOW_MS

CHANNELS = ("adt", "lab", "x")
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
CONTENT_TYPE = r"[a-z]+/[a-z0-9][a-z0-9.+-]*(; charset=[A-Za-z0-9._-]+)?"
COUNTS = st.integers(1, 2**63 - 9)
TIMES = st.integers(0, 2**53 - 1)
# Heads of msgpack values: what a random byte seldom makes of a content, an attacker does at once.
HEADS = st.sampled_from([*range(0x80, 0xA2), *range(0xC0, 0xE1), 0xFF])


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


def last_part(message_id: bytes, before: bytes, payload: bytes) -> Part:
    """The last part of an object, whose other parts are `before`; on channel imaging."""
    cut = [before[at : at + PART_BYTES] for at in range(0, len(before), PART_BYTES)]
    digest = object_digest(part_digest(one) for one in [*cut, payload])
    size = len(before) + len(payload)
    return Part(
        message_id, "imaging", 9, NOW_MS, "application/dicom", size, len(cut) + 1, digest, payload
    )


WHOLE_OBJECT = Content(
    NOW_MS, (last_part((5).to_bytes(16, "big"), b"", b"an object"),), Beacon((("imaging", 9),))
)
LAST_PART = Content(
    NOW_MS,
    (last_part((6).to_bytes(16, "big"), bytes(PART_BYTES), b"the rest"),),
    Beacon((("imaging", 9),)),
)
EDGES = (0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1)
PAYLOADS = (1, 255, 256, 65_535, 65_536)
TYPES = ("text/plain", "text/" + "a" * 26, "text/" + "a" * 27, "text/plain; charset=GB18030")


def every_width() -> Content:
    """Each length at which msgpack turns to another head, and the ends of each range."""
    names = ["0", *(f"{n:02d}".ljust(31 + n % 2, "x") for n in range(1, 15)), "z" * 64]
    entries = tuple(
        Envelope(
            (100 + n).to_bytes(16, "big"),
            name,
            max(EDGES[n % len(EDGES)], 1) if n < len(names) - 1 else 2**63 - 1,
            EDGES[-1 - n % len(EDGES)],
            TYPES[n % len(TYPES)],
            b"p" * (PAYLOADS[n] if n < len(PAYLOADS) else 2),
        )
        for n, name in enumerate(names)
    )
    counts = tuple((entry.channel, entry.channel_sequence) for entry in entries)
    return Content(2**53 - 1, entries, Beacon(counts))


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Any lawful content of a few entries, beside channels that only the beacon names."""
    last = dict(draw(st.lists(st.tuples(st.from_regex(NAME, fullmatch=True), COUNTS), max_size=3)))
    last = {channel: count for channel, count in last.items() if channel not in CHANNELS}
    entries: list[Entry] = []
    for message_id in draw(st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=8)):
        channel = draw(st.sampled_from(CHANNELS))
        last[channel] = last[channel] + 1 if channel in last else draw(COUNTS)
        common = (message_id, channel, last[channel], draw(TIMES))
        kind = draw(st.sampled_from(("envelope", "part", "tombstone")))
        if kind == "part":
            rest = draw(st.binary(min_size=1, max_size=300))
            parts_before = draw(st.integers(0, 2**20 - 2))
            size = parts_before * PART_BYTES + len(rest)
            digest = draw(st.binary(min_size=32, max_size=32))
            entries.append(Part(*common, "a/b", size, parts_before + 1, digest, rest))
        elif kind == "envelope":
            content_type = draw(st.from_regex(CONTENT_TYPE, fullmatch=True).filter(is_short))
            payload = draw(st.binary(min_size=1, max_size=300))
            entries.append(Envelope(*common, content_type, payload))
        else:
            reason = draw(st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True))
            entries.append(Tombstone(*common, reason))
    return Content(draw(TIMES), tuple(entries), Beacon(tuple(sorted(last.items()))))


def is_short(content_type: str) -> bool:
    return len(content_type) <= 100


@st.composite
def plaintexts(draw: st.DrawFn) -> bytes:
    """Lawful contents with up to four bytes changed, inserted or left out, perhaps cut short."""
    data = bytearray(draw(contents().map(encode)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        wide = draw(st.integers(0, 1))
        data[at : at + wide] = draw(st.lists(HEADS | st.integers(0, 255), max_size=2))
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])
