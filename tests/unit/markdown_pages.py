"""The project's pages, taken apart: code blocks, inline code, headings, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/adr/*.md"),
        ROOT / "validators/README.md",
        ROOT / "validators/profiles/README.md",
        ROOT / "ferry_format/SPEC.md",
        ROOT / "deploy/debian/carried/INSTALL.md",
    ]
)

_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One code block; `line` is where it begins in its page, from 1."""

    language: str
    text: str
    line: int


def name(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def read(page: Path) -> str:
    """The page's text."""
    return page.read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> Iterator[Block]:
    """The code blocks of these languages; of any, if none is named."""
    for found in _BLOCK.finditer(text):
        if not languages or found[1] in languages:
            yield Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)


def prose(text: str) -> str:
    """The text without its code blocks."""
    return _BLOCK.sub("", text)


def inline_codes(text: str) -> list[str]:
    """What stands in backticks outside of code blocks, on one line each."""
    return [" ".join(code.split()) for code in _INLINE.findall(prose(text))]


def headings(text: str) -> list[tuple[int, str]]:
    """Level and words of each heading."""
    return [(len(marks), words) for marks, words in _HEADING.findall(prose(text))]


def anchors(text: str) -> set[str]:
    """What a link can name after `#`, made as GitHub and most viewers make it."""
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for _, words in headings(text)}


def links(text: str) -> list[str]:
    """The targets of links and pictures."""
    return _LINK.findall(_INLINE.sub("", prose(text)))
