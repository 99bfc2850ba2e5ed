"""CSV text to rows of fields and back: RFC 4180, read strictly, written in one canonical form.

Python's csv module takes what RFC 4180 does not allow (a quote in the middle of a field, text after
a closing one), so that two readers could see two tables. A field holds no line break, unless the
channel says so: a row is a line, whoever reads it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from ferry_format.reasons import LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused

Row = list[str]
QUOTE: Final = '"'
LINE_END: Final = "\r\n"


class Line(NamedTuple):
    """A row's text, and the number of the line on which it begins."""

    number: int
    text: str


def lines(text: str, rows_max: int, *, breaks: bool) -> list[Line]:
    """The rows of a text whose lines end with LF or CR LF, the last one perhaps with neither.

    With `breaks`, a row goes on over lines while a quote is open: a whole one holds an even number.
    Raises Refused(LIMIT_EXCEEDED, NOT_WELL_FORMED).
    """
    split = text.replace("\r\n", "\n").split("\n")
    if not split[-1]:
        split.pop()
    if breaks:
        return _joined(split, rows_max)
    if len(split) > rows_max:
        raise Refused(LIMIT_EXCEEDED, f"more than {rows_max} lines")
    return [Line(number, line) for number, line in enumerate(split, 1)]


def _joined(split: list[str], rows_max: int) -> list[Line]:
    rows: list[Line] = []
    open_since, pending = 0, list[str]()
    for number, line in enumerate(split, 1):
        if len(rows) >= rows_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {rows_max} rows")
        closes = line.count(QUOTE) % 2 == 1
        if not pending and not closes:
            rows.append(Line(number, line))
            continue
        open_since = open_since if pending else number
        pending.append(line)
        if closes and len(pending) > 1:
            rows.append(Line(open_since, "\n".join(pending)))
            pending.clear()
    if pending:
        raise Refused(NOT_WELL_FORMED, f"line {open_since}")
    return rows


def read(rows: list[Line], delimiter: str, fields_max: int) -> list[Row]:
    """The fields of each row. Raises Refused(NOT_WELL_FORMED, LIMIT_EXCEEDED) at its line."""
    return [_row(text, number, delimiter, fields_max) for number, text in rows]


def write(rows: list[Row], delimiter: str) -> str:
    """Each row a line that ends with CR LF; quotes only where a field cannot do without."""
    lines = [delimiter.join([_field(value, delimiter) for value in row]) for row in rows]
    # A blank line would be no row.
    return LINE_END.join([line or QUOTE + QUOTE for line in lines] + [""])


def _row(line: str, number: int, delimiter: str, fields_max: int) -> Row:
    if not line or "\r" in line:
        raise Refused(NOT_WELL_FORMED, f"line {number}")
    if line.count(delimiter) >= fields_max and QUOTE not in line:
        raise Refused(LIMIT_EXCEEDED, f"line {number}: more than {fields_max} fields")
    if QUOTE not in line:
        return line.split(delimiter)
    return _quoted_row(line, number, delimiter, fields_max)


def _quoted_row(line: str, number: int, delimiter: str, fields_max: int) -> Row:
    pattern = _field_pattern(delimiter)
    row: Row = []
    position = 0
    while True:
        found = pattern.match(line, position)
        if found is None:
            raise Refused(NOT_WELL_FORMED, f"line {number}, field {len(row) + 1}")
        if len(row) == fields_max:
            raise Refused(LIMIT_EXCEEDED, f"line {number}: more than {fields_max} fields")
        quoted, bare, end = found.groups()
        row.append(bare if quoted is None else quoted.replace(QUOTE + QUOTE, QUOTE))
        if not end:
            return row
        position = found.end()


@lru_cache(maxsize=8)
def _field_pattern(delimiter: str) -> re.Pattern[str]:
    """One field and the delimiter after it, or the line's end. Possessive: each step goes on."""
    mark = re.escape(delimiter)
    return re.compile(rf'(?:"((?:[^"]|"")*+)"|([^"{mark}]*+))({mark}|\Z)')


def _field(value: str, delimiter: str) -> str:
    if QUOTE in value or delimiter in value or "\n" in value:
        return QUOTE + value.replace(QUOTE, QUOTE + QUOTE) + QUOTE
    return value
