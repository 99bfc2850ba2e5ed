"""What de-identification would do to a sample, in words: places, methods and counts, no value."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from validators.verdict import Accepted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from validators.deidentify.deidentifier import Change, Examination

_HEADINGS: Final = ("place", "kind", "method", "values", "gone", "found in text")


def report(examination: Examination) -> str:
    """A table with a line a place, and what would become of the message."""
    rows = [_HEADINGS, *_rows(examination.changes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", _outcome(examination)])


def _rows(changes: Iterable[Change]) -> list[tuple[str, ...]]:
    counted: Counter[tuple[str, str, str, str]] = Counter()
    gone: Counter[tuple[str, str, str, str]] = Counter()
    for each in changes:
        key = (each.place, each.kind, each.method, ", ".join(each.found))
        counted[key] += 1
        gone[key] += each.gone
    return [
        (place, kind, method, str(count), str(gone[place, kind, method, found]), found)
        for (place, kind, method, found), count in counted.items()
    ]


def _outcome(examination: Examination) -> str:
    verdict = examination.verdict
    if not isinstance(verdict, Accepted):
        return f"refused: {verdict.reason.code} ({verdict.place}). {verdict.reason.action}"
    if verdict.flag is not None:
        return f"crosses, flagged: {verdict.flag.code}"
    return "crosses"
