"""Fields that a spreadsheet would run when somebody opens the file (CWE-1236)."""

from __future__ import annotations

from typing import Final

_STARTS: Final = ("=", "+", "-", "@", "\t", "＝", "＋", "－", "＠")
"""Full-width forms too: spreadsheets of Chinese and Japanese hosts take them for the others."""
_SPACES: Final = " \u3000\u00a0"
MARK: Final = "'"
"""What makes a spreadsheet take the rest for text."""


def is_formula(value: str) -> bool:
    """Whether a spreadsheet may take it for one; spaces before it do not help."""
    return value.lstrip(_SPACES).startswith(_STARTS)


def neutralised(value: str) -> str:
    """The value as text. What is text already stays as it is."""
    return MARK + value if is_formula(value) else value
