"""What the scan finds in a text, and what it leaves alone."""

from __future__ import annotations

import pytest

from validators.deidentify.leftovers import (
    IDENTITY_NUMBER,
    MOBILE_NUMBER,
    NAME,
    Traces,
    kinds_in,
)


@pytest.mark.parametrize(
    "text",
    [
        "身份证11010519491231002X,",
        "id 11010519491231002x",
        "110105 19491231 002 X",
        "１１０１０５１９４９１２３１００２Ｘ",
    ],
)
def test_identity_numbers_are_found(text: str) -> None:
    assert kinds_in(text) == (IDENTITY_NUMBER,)


@pytest.mark.parametrize(
    "text", ["电话13812345678", "+86 138-1234-5678", "8613812345678", "１３８１２３４５６７８。"]
)
def test_mobile_numbers_are_found(text: str) -> None:
    assert kinds_in(text) == (MOBILE_NUMBER,)


@pytest.mark.parametrize(
    "text",
    [
        "110105194912310021",  # the check digit is wrong
        "110105194902300025",  # no day of the calendar
        "12812345678",
        "20260228153000",
        "0.13812345678",
        "138123456789",
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert kinds_in(text) == ()


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["张", "三"], "患者张三自述"),
        (["三", "张"], "患者张三自述"),
        (["张三"], "张三"),
        (["欧阳", "娜娜"], "欧阳娜娜"),
        (["Smith", "John"], "seen by Dr. SMITH today"),
        (["Li", "Na"], "Na Li came"),
        (["Li", "Na"], "Li, Na"),
        (["O'Neil", "Al"], "Mr O'Neil"),
    ],
)
def test_names_of_the_message_are_found(parts: list[str], text: str) -> None:
    assert kinds_in(text, Traces.of([parts])) == (NAME,)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["张", "三"], "三天前"),
        (["Li", "Na"], "Na 138 mmol/l, Li 0.6"),
        (["Smith", "John"], "Smithsonian"),
        (["", " "], "anything"),
    ],
)
def test_words_that_only_hold_a_part_of_a_name_are_left_alone(parts: list[str], text: str) -> None:
    assert kinds_in(text, Traces.of([parts])) == ()


def test_a_name_cannot_break_the_pattern() -> None:
    assert kinds_in("a.*b", Traces.of([[".*("], ["(x"]])) == ()
