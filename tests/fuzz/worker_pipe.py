"""What a worker that fell to its message may say to its parent: verdicts, or a broken pipe."""

from __future__ import annotations

from ferry_format.reasons import LIMIT_EXCEEDED
from tests.fuzz.harness import Harness
from validators.verdict import Accepted, Rejected
from validators.worker import wire


def check(data: bytes) -> None:
    for count in (1, 2):
        try:
            verdicts = wire.unpack_verdicts(data, count)
        except wire.WireError:
            continue
        assert len(verdicts) == count
        assert [wire._verdict(row) for row in wire._walked(data, count)] == verdicts
        again = wire.pack_verdicts(verdicts)[wire.LENGTH.size :]
        assert wire.unpack_verdicts(again, count) == verdicts


def seeds() -> list[bytes]:
    verdicts = (
        [Accepted(b"payload", "ADT^A01", "4711", bytes(32))],
        [Accepted(b"payload", "csv", None), Rejected(LIMIT_EXCEEDED, "segment 1")],
    )
    return [wire.pack_verdicts(each)[wire.LENGTH.size :] for each in verdicts]


HARNESS = Harness(
    check,
    seeds,
    ("malicious/gen_msgpack/", "malicious/msgpack_kawanet/"),
    (b"\x91\x94\xc4", b"\xaelimit_exceeded", b"\xc4\x20" + bytes(32), b"\xdd\xff\xff\xff\xff"),
)
