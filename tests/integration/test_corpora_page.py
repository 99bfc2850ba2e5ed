"""docs/corpora.md says what is so: every file of the corpora is judged again."""

from __future__ import annotations

from docs import make_corpora


def test_the_page_of_the_corpora_is_true() -> None:
    assert make_corpora.PAGE.read_text(encoding="utf-8") == make_corpora.page()
