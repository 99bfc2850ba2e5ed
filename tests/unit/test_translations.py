"""The Chinese pages say what the English ones say: the same sections, blocks and names."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.unit.markdown_pages import ROOT, blocks, headings, inline_codes, links, name, read

TRANSLATED = [ROOT / "docs/operating.md", ROOT / "docs/runbooks.md"]
pages = pytest.mark.parametrize("page", TRANSLATED, ids=name)


def chinese(page: Path) -> Path:
    """The same page in Chinese."""
    return page.with_suffix(".zh-CN.md")


def sections(text: str) -> list[str]:
    """The text from each heading to the next; what stands before the second one is left out."""
    return re.split(r"^##+ .+$", text, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("page", [*TRANSLATED, ROOT / "README.md"], ids=name)
def test_both_have_the_same_levels_of_headings_and_lead_to_each_other(page: Path) -> None:
    english, other = read(page), read(chinese(page))
    pairs = zip_longest(headings(english), headings(other), fillvalue=(0, "nothing"))
    for (level, words), (other_level, other_words) in pairs:
        assert level == other_level, f"{words} beside {other_words}"
    assert chinese(page).name in links(english)
    assert page.name in links(other)


@pages
def test_both_have_the_very_same_code_blocks(page: Path) -> None:
    other = chinese(page)
    pairs = zip_longest(blocks(read(page)), blocks(read(other)))
    for one, same in pairs:
        assert one, f"{name(other)}:{same.line} is not in {page.name}"
        assert same, f"{name(page)}:{one.line} is not in {other.name}"
        assert (one.language, one.text) == (same.language, same.text), (
            f"{name(page)}:{one.line} is not {name(other)}:{same.line}"
        )


@pages
def test_both_name_the_same_things_in_each_section(page: Path) -> None:
    english = read(page)
    titles = [words for level, words in headings(english) if level > 1]
    pairs = zip(titles, sections(english), sections(read(chinese(page))), strict=True)
    for title, text, other in pairs:
        assert set(inline_codes(text)) == set(inline_codes(other)), title
