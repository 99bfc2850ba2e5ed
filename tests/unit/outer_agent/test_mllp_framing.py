"""MLLP frames cut out of bytes, and what is done about bytes that are none."""

from __future__ import annotations

import pytest

from outer_agent.sources.mllp_framing import Frame, Framer, OutOfStep, TooLarge, frame
from tests.simulator.corpora import samples

START, END = b"\x0b", b"\x1c\r"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (START + b"A" + END, [Frame(b"A")]),
        (START + END, [Frame(b"")]),
        (START + b"A" + END + START + b"B" + END, [Frame(b"A"), Frame(b"B")]),
        (START + b"A" + END + b"\r\n" + START + b"B" + END, [Frame(b"A"), Frame(b"B")]),
        (b"\r\n" + START + b"A" + END, [Frame(b"A")]),
        (START + b"A\x1cB" + END, [Frame(b"A\x1cB")]),
        (START + b"A\x1c\x1c\r", [Frame(b"A\x1c")]),
        (START + b"A", []),
        (START + b"A\x1c", []),
        (START + b"A\r", []),
        (b"", []),
        (b"\r\n\r\n", []),
        (b"A" + END, [OutOfStep(b"")]),
        (b"GET / HTTP/1.1\r\n\r\n" + START + b"A" + END, [OutOfStep(b"")]),
        (START + START + b"A" + END, [OutOfStep(b"")]),
        (START + b"A" + START + b"B" + END, [OutOfStep(b"A")]),
        (START + b"A\x1c" + START + b"B" + END, [OutOfStep(b"A\x1c")]),
        (START + b"A\x1c\n" + START + b"B" + END, [OutOfStep(b"A\x1c\n")]),
        (START + b"A" + END + b"garbage", [Frame(b"A"), OutOfStep(b"")]),
        (END, [OutOfStep(b"")]),
    ],
)
def test_each_case(data, expected) -> None:
    assert Framer(100).feed(data) == expected


def test_after_garbage_nothing_more_is_read() -> None:
    framer = Framer(100)
    assert framer.feed(b"x") == [OutOfStep(b"")]
    assert framer.feed(frame(b"A")) == []


def test_a_frame_beyond_the_limit_is_told_before_its_end_comes() -> None:
    framer = Framer(4)
    assert framer.feed(START + b"ABCD") == []
    assert framer.feed(b"E") == [TooLarge(b"ABCD")]
    assert framer.feed(END + frame(b"A")) == []


def test_a_frame_of_exactly_the_limit_passes_when_its_end_comes_in_two() -> None:
    framer = Framer(4)
    assert framer.feed(START + b"ABCD\x1c") == []
    assert framer.feed(b"\r") == [Frame(b"ABCD")]


def test_it_says_when_a_frame_is_under_way() -> None:
    framer = Framer(100)
    assert not framer.is_within_frame
    framer.feed(b"\r\n" + START + b"A")
    assert framer.is_within_frame
    framer.feed(END)
    assert not framer.is_within_frame


EXPECTED_OF_THE_CORPUS = {
    "crlf_segments": [Frame],
    "double_sb": [OutOfStep],
    "eb_inside_no_cr": [Frame],  # its content holds a control character: the validator's matter
    "eb_without_cr": [OutOfStep],
    "ebcr_inside_forges_second": [Frame, Frame],  # each is judged by itself
    "empty_frame": [Frame],
    "garbage_before": [OutOfStep],
    "lf_after_eb": [],
    "lf_segments": [Frame],
    "never_ending_256k": [TooLarge],
    "no_eb": [],
    "no_final_cr": [Frame],
    "no_sb": [OutOfStep],
    "nul_bytes": [Frame],
    "ok_one": [Frame],
    "ok_three_back_to_back": [Frame, Frame, Frame],
    "only_cr": [],
    "sb_inside": [OutOfStep],
}


def test_the_hostile_frames_of_the_corpus() -> None:
    found = {}
    for sample in samples("malicious"):
        if sample.name.startswith("gen_mllp/"):
            framed = Framer(100_000).feed(sample.read())
            found[sample.path.stem] = [type(each) for each in framed]
    assert found == EXPECTED_OF_THE_CORPUS
