"""MLLP on bytes: what a connection's bytes are cut into, however they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outer_agent.sources.mllp_framing import Frame, Framer, OutOfStep, TooLarge, frame

CONTENT = st.binary(max_size=200).filter(
    lambda data: b"\x0b" not in data and b"\x1c\r" not in data and not data.endswith(b"\x1c")
)


@given(st.lists(CONTENT, max_size=5), st.lists(st.integers(0, 400), max_size=8))
def test_frames_come_out_whole_however_the_bytes_are_cut(
    contents: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(frame(content) for content in contents)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    framer = Framer(1000)
    found = []
    for start, end in zip(edges, edges[1:], strict=False):
        found += framer.feed(stream[start:end])
    assert found == [Frame(content) for content in contents]


def test_cr_and_lf_between_frames_are_let_pass() -> None:
    assert Framer(10).feed(b"\r\n" + frame(b"a") + b"\r\n" + frame(b"b")) == [
        Frame(b"a"),
        Frame(b"b"),
    ]


@pytest.mark.parametrize("garbage", [b"x", b"MSH|", b"\x1c\r", b"\x00"])
def test_anything_else_between_frames_ends_the_agreement(garbage: bytes) -> None:
    framer = Framer(10)
    assert framer.feed(frame(b"a") + garbage) == [Frame(b"a"), OutOfStep(b"")]
    assert framer.feed(frame(b"b")) == []


def test_a_frame_within_a_frame_ends_the_agreement() -> None:
    assert Framer(100).feed(b"\x0bcut" + frame(b"next")) == [OutOfStep(b"cut")]


def test_a_frame_at_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert Framer(5).feed(frame(b"12345")) == [Frame(b"12345")]
    assert Framer(5).feed(frame(b"123456")) == [TooLarge(b"12345")]


def test_an_endless_frame_is_given_up_at_the_limit() -> None:
    framer = Framer(1000)
    found = []
    for _ in range(100):
        found += framer.feed(b"\x0b" if not found and framer._buffer == b"" else b"x" * 100)
    assert found == [TooLarge(b"x" * 1000)]
    assert len(framer._buffer) <= 1200


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    Framer(50).feed(data)
