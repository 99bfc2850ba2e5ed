"""The page of metrics is what the code says, and what docs and examples name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import make_metrics
from tests.unit.markdown_pages import PAGES as MARKDOWN

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"(?<![\w:/-])ferry_(?:outer|inner)_[a-z_]+(?![\w:/.-])")
PAGES = [
    *MARKDOWN,
    *ROOT.glob("deploy/**/*.yml"),
    *ROOT.glob("deploy/**/*.json"),
]


def test_the_page_is_what_the_code_says() -> None:
    assert make_metrics.PAGE.read_text(encoding="utf-8") == make_metrics.page(), (
        "run: python -m docs.make_metrics"
    )


def test_every_metric_says_what_it_means() -> None:
    for make in make_metrics.TABLES.values():
        found = list(make_metrics.documented(make()))
        assert found
        assert [one.name for one in found if not one.meaning] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_metric_that_is_named_exists(page: Path) -> None:
    known = set(make_metrics.sample_names())
    known |= {name.removesuffix("_bucket") for name in known}
    assert set(NAME.findall(page.read_text(encoding="utf-8"))) <= known
