"""MLLP: what is found in a connection's bytes is the same however they were cut."""

from __future__ import annotations

from outer_agent.sources.mllp_framing import Frame, Framed, Framer, frame
from tests.fuzz.harness import Harness

_CONTENT_BYTES_MAX = 200


def check(data: bytes) -> None:
    if not data:
        return
    step, stream = data[0] + 1, data[1:]
    whole = _found([stream])
    assert _found([stream[at : at + step] for at in range(0, len(stream), step)]) == whole
    for framed in whole:
        if isinstance(framed, Frame):
            assert len(framed.content) <= _CONTENT_BYTES_MAX
            assert frame(framed.content) in stream
        else:
            assert framed is whole[-1]


def _found(pieces: list[bytes]) -> list[Framed]:
    framer = Framer(_CONTENT_BYTES_MAX)
    return [framed for piece in pieces for framed in framer.feed(piece)]


def seeds() -> list[bytes]:
    message = b"MSH|^~\\&|HIS\rPID|1\r"
    return [
        b"\0" + frame(message) * 2,
        b"\7" + frame(message) + b"\r\n" + frame(b"x" * _CONTENT_BYTES_MAX),
        b"\1" + frame(b"x" * (_CONTENT_BYTES_MAX + 1)),
        b"\2\x0ba\x0bb\x1c\rc",
    ]


HARNESS = Harness(check, seeds, ("malicious/gen_mllp/",), (b"\x0b", b"\x1c\r", b"\x1c", b"\r\n"))
