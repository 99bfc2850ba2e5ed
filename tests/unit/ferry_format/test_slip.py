"""The slip: written on the inner, typed, scanned or read out, read on the outer."""

from __future__ import annotations

import io

import numpy as np
import pytest
import segno
import zxingcpp
from hypothesis import assume, given
from hypothesis import strategies as st

from ferry_format import limits, slip
from ferry_format.reasons import BAD_SLIP, Refused
from ferry_format.stream import Gap

STREAM = bytes.fromhex("2ede2d20a14a99c153d0d3bc870e6842")
LINE = "FERRY1 2EDE2D20 120-125 130 6GGBPX"

STREAMS = st.binary(min_size=16, max_size=16)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[Gap, ...]:
    sequences = st.integers(1, limits.SEQUENCE_MAX)
    most = 2 * slip.RANGES_MAX
    ends = draw(st.lists(sequences, min_size=2, max_size=most, unique=True))
    ends.sort()
    return tuple(Gap(*pair) for pair in zip(ends[::2], ends[1::2], strict=False))


def refusal(text: str) -> str:
    with pytest.raises(Refused) as caught:
        slip.read(text)
    assert caught.value.reason is BAD_SLIP
    return caught.value.where


def test_the_published_example() -> None:
    assert slip.write(STREAM, [Gap(120, 125), Gap(130, 130)]) == LINE
    said = slip.read(LINE)
    assert said.missing == (Gap(120, 125), Gap(130, 130))
    assert said.is_of(STREAM)


@given(STREAMS, ranges())
def test_what_is_written_reads_the_same(stream_id: bytes, missing: tuple[Gap, ...]) -> None:
    said = slip.read(slip.write(stream_id, missing))
    assert said.missing == missing
    assert said.is_of(stream_id)


def test_how_it_is_typed_says_nothing() -> None:
    typed = LINE.lower().replace(" ", "\n \t ")
    assert slip.read(typed).is_of(STREAM)
    number = next(n for n in range(1, 200) if "0" in slip.write(STREAM, [Gap(n, n)])[-6:])
    line = slip.write(STREAM, [Gap(number, number)])
    assert slip.read(line[:-6] + line[-6:].replace("0", "o")).is_of(STREAM)


@given(st.integers(0, len(LINE) - 1), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ- "))
def test_one_wrong_letter_is_found(place: int, letter: str) -> None:
    typed = LINE[:place] + letter + LINE[place + 1 :]
    assume(" ".join(typed.split()) != LINE)
    try:
        said = slip.read(typed)
    except Refused:
        return
    assert not said.is_of(STREAM)


@given(STREAMS, STREAMS, ranges())
def test_another_streams_slip_is_told(one: bytes, other: bytes, missing: tuple[Gap, ...]) -> None:
    assume(one != other)
    assert not slip.read(slip.write(one, missing)).is_of(other)
    same_beginning = one[:4] + other[4:]
    assume(same_beginning != one)
    assert not slip.read(slip.write(one, missing)).is_of(same_beginning)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "begins with FERRY1"),
        ("FERRY2 2EDE2D20 1 AAAAAA", "begins with FERRY1"),
        ("FERRY1 2EDE2D20 AAAAAA", "four words"),
        ("FERRY1 2EDE2D2 1 AAAAAA", "word 2"),
        ("FERRY1 2EDE2D2X 1 AAAAAA", "word 2"),
        ("FERRY1 2EDE2D20 1 x AAAAAA", "word 4"),
        ("FERRY1 2EDE2D20 0 AAAAAA", "word 3"),
        ("FERRY1 2EDE2D20 5-3 AAAAAA", "word 3"),
        (f"FERRY1 2EDE2D20 {2**63} AAAAAA", "word 3"),
        ("FERRY1 2EDE2D20 5-7 7 AAAAAA", "ascend"),
        ("FERRY1 2EDE2D20 9 7 AAAAAA", "ascend"),
        ("FERRY1 2EDE2D20 " + " ".join(map(str, range(1, 19))) + " AAAAAA", "too many"),
        ("FERRY1 2EDE2D20 １ AAAAAA", "word 3"),
    ],
)
def test_what_is_no_slip_is_told(text: str, where: str) -> None:
    assert where in refusal(text)


def test_more_ranges_than_anybody_types_wait_for_the_next_slip() -> None:
    many = [Gap(number, number) for number in range(1, 100, 2)]
    assert slip.read(slip.write(STREAM, many)).missing == tuple(many[: slip.RANGES_MAX])


def test_the_code_in_the_terminal_reads_as_the_line() -> None:
    longest = [Gap(10**18 + 9 * n, 10**18 + 9 * n + 3) for n in range(slip.RANGES_MAX)]
    for missing in ([Gap(120, 125)], longest):
        line = slip.write(STREAM, missing)
        shown = io.StringIO()
        segno.make(line, error="m", micro=False).terminal(shown, compact=True)
        (found,) = zxingcpp.read_barcodes(_picture(shown.getvalue()))
        assert found.text == line


def _picture(blocks: str) -> np.ndarray:
    """The terminal's half blocks as pixels; dark letters stand for light modules."""
    light = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    rows = [
        [light[letter][half] for letter in text] for text in blocks.splitlines() for half in (0, 1)
    ]
    width = max(map(len, rows))
    pixels = np.array([row + [1] * (width - len(row)) for row in rows], dtype=np.uint8) * 255
    return np.kron(np.pad(pixels, 4, constant_values=255), np.ones((6, 6), dtype=np.uint8))
