"""CSV text to rows of fields and back: RFC 4180, read strictly, written in one canonical form.

Python's csv module takes what RFC 4180 does not allow (a quote in the middle of a field, text after
a closing one), so that two readers could see two tables. A field holds no line break here: a row is
a line, whoever reads it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ferry_format.reasons import LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused

Row = list[str]
QUOTE: Final = '"'
LINE_END: Final = "\r\n"


def read(text: str, delimiter: str, rows_max: int, fields_max: int) -> list[Row]:
    """The rows of a text whose lines end with LF or CR LF, the last one perhaps with neither.

    Raises Refused(NOT_WELL_FORMED, LIMIT_EXCEEDED), whose place is a line's number.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    if len(lines) > rows_max:
        raise Refused(LIMIT_EXCEEDED, f"more than {rows_max} lines")
    return [_row(line, number, delimiter, fields_max) for number, line in enumerate(lines, 1)]


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
    row = line.split(delimiter) if QUOTE not in line else _quoted_row(line, number, delimiter)
    if len(row) > fields_max:
        raise Refused(LIMIT_EXCEEDED, f"line {number}: more than {fields_max} fields")
    return row


def _quoted_row(line: str, number: int, delimiter: str) -> Row:
    pattern = _field_pattern(delimiter)
    row: Row = []
    position = 0
    while True:
        found = pattern.match(line, position)
        if found is None:
            raise Refused(NOT_WELL_FORMED, f"line {number}, field {len(row) + 1}")
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
    if QUOTE in value or delimiter in value:
        return QUOTE + value.replace(QUOTE, QUOTE + QUOTE) + QUOTE
    return value
