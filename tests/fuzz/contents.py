"""What a ferry file holds, decoded: one encoding for each content, and nothing but refusals."""

from __future__ import annotations

from ferry_format.envelope import decode, encode
from ferry_format.reasons import Refused
from tests.fuzz.harness import Harness
from tests.simulator import lawful_contents, unlawful_contents


def check(data: bytes) -> None:
    try:
        content = decode(data)
    except Refused:
        return
    assert encode(content) == data


def seeds() -> list[bytes]:
    lawful = (
        lawful_contents.BATCH,
        lawful_contents.HEARTBEAT,
        lawful_contents.TOMBSTONE,
        lawful_contents.WHOLE_OBJECT,
    )
    unlawful = (
        unlawful_contents.entry(kind=1),
        unlawful_contents.part(number=2),
        unlawful_contents.two(sequence=3),
        unlawful_contents.tombstone("no reason"),
    )
    return [*map(encode, lawful), *unlawful]


HARNESS = Harness(
    check,
    seeds,
    ("malicious/gen_msgpack/", "malicious/msgpack_kawanet/"),
    [b"\xdd" + b"\xff" * 4, b"\xdc\x10\x01", b"\xc4\x10", b"\xa3adt", b"\xd4\x01\0", b"\xc1"],
)
