"""What the framer finds depends on the bytes alone: not on how they were cut on their way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outer_agent.sources.mllp_framing import (
    BEGINNING_BYTES_MAX,
    Frame,
    Framed,
    Framer,
    OutOfStep,
    TooLarge,
    frame,
)

LIMIT = 12
# Mostly the bytes that mean something, so that every rule is met often.
BYTES = st.lists(st.sampled_from([0x0B, 0x1C, 0x0D, 0x0A, 0x41, 0x42]), max_size=60).map(bytes)
CONTENT = st.binary(max_size=LIMIT).filter(
    lambda data: b"\x0b" not in data and b"\x1c\r" not in data and not data.endswith(b"\x1c")
)


def found(pieces: list[bytes], limit: int = LIMIT) -> list[Framed]:
    framer = Framer(limit)
    return [framed for piece in pieces for framed in framer.feed(piece)]


@given(BYTES)
def test_any_cut_finds_the_same(data) -> None:
    whole = found([data])
    assert found([bytes([byte]) for byte in data]) == whole
    for cut in range(len(data) + 1):
        assert found([data[:cut], data[cut:]]) == whole


@given(st.lists(CONTENT, max_size=8), st.lists(st.sampled_from([b"", b"\r", b"\n", b"\r\n"])))
def test_frames_come_out_as_they_went_in(contents, between) -> None:
    ends = [*between, *[b""] * len(contents)]
    data = b"".join(end + frame(content) for content, end in zip(contents, ends, strict=False))
    assert found([data]) == [Frame(content) for content in contents]


@given(BYTES)
def test_it_never_holds_more_than_its_limit_and_says_when_it_stops(data) -> None:
    framer = Framer(LIMIT)
    stopped = False
    for byte in data:
        results = framer.feed(bytes([byte]))
        assert not (stopped and results)
        assert len(framer._buffer) <= LIMIT + 3
        for framed in results:
            assert len(framed.content if isinstance(framed, Frame) else framed.beginning) <= LIMIT
            stopped = not isinstance(framed, Frame)


@given(BYTES)
def test_a_frame_never_holds_the_start_of_another(data) -> None:
    for framed in found([data]):
        content = framed.content if isinstance(framed, Frame) else framed.beginning
        assert b"\x0b" not in content


@given(st.binary(max_size=40))
def test_a_frame_of_exactly_the_limit_passes_and_one_byte_more_does_not(content) -> None:
    content = content.replace(b"\x0b", b"a").replace(b"\x1c", b"b")
    assert found([frame(content)], len(content)) == [Frame(content)]
    if content:
        (refused,) = found([frame(content)], len(content) - 1)
        assert refused == TooLarge(content[:-1])


def test_the_beginning_of_a_refused_frame_is_short() -> None:
    huge = b"\x0b" + b"M" * 1_000_000
    (refused,) = found([huge], 100_000)
    assert refused == TooLarge(b"M" * BEGINNING_BYTES_MAX)
    (nested,) = found([huge + b"\x0b"], 2_000_000)
    assert nested == OutOfStep(b"M" * BEGINNING_BYTES_MAX)
