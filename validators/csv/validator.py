"""One CSV channel: its columns and limits, applied to each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import (
    CHARSET_NOT_ALLOWED,
    CONTROL_CHARACTER,
    FIELD_MISSING,
    FIELD_NOT_ALLOWED,
    FORMULA_NOT_ALLOWED,
    HEADER_INCOMPLETE,
    LIMIT_EXCEEDED,
    MESSAGE_EMPTY,
    NOT_DECODABLE,
    NOT_WELL_FORMED,
    Refused,
)
from validators import text_fields
from validators.characters import find_forbidden
from validators.csv import table
from validators.csv.formulas import is_formula, neutralised
from validators.judging import judge
from validators.order_key import digest_of
from validators.verdict import Accepted, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from validators.csv.table import Row
    from validators.policy import CsvPolicy

CONTENT_TYPE: Final = "text/csv"
CONTROL_ID_CHARS_MAX: Final = 199
FIELDS_MAX: Final = 1000
_BYTE_ORDER_MARK: Final = "\ufeff"
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_CODECS: Final = {"UTF-8": "utf-8", "GB18030": "gb18030"}
_TAB: Final = "\t"


class CsvValidator:
    """A channel's columns, prepared once. Raises SchemaError if a pattern cannot serve."""

    def __init__(self, policy: CsvPolicy, order_by: str | None = None) -> None:
        self._policy = policy
        self._breaks = policy.line_breaks != "refuse"
        self._spaces = policy.line_breaks == "space"
        self._delimiter = _TAB if policy.delimiter == "tab" else policy.delimiter
        self._names = [column.name for column in policy.columns]
        self._rules = [
            text_fields.rule_of(column, f"column {column.name}") for column in policy.columns
        ]
        self._control_id = (
            None if policy.control_id is None else self._names.index(policy.control_id)
        )
        self._order_by = None if order_by is None else self._names.index(order_by.removeprefix("/"))

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        return judge(payload, self._policy.message_bytes_max, self._accept)

    def _accept(self, payload: bytes) -> Accepted:
        policy = self._policy
        text = self._decoded(payload)
        lines = table.lines(text, policy.rows_max + 1, breaks=self._breaks)
        rows = table.read(lines, self._delimiter, FIELDS_MAX)
        rows = self._in_declared_order(rows)
        if not rows:
            raise Refused(MESSAGE_EMPTY, "no row")
        if len(rows) > policy.rows_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {policy.rows_max} rows")
        rows = [self._judged(row, number) for number, row in enumerate(rows, 1)]
        control_id = self._control_id_of(rows[0])
        accepted = payload
        if policy.fidelity == "rebuilt":
            head = [self._names] if policy.header else []
            text = table.write(head + rows, self._delimiter)
            accepted = text.encode(_CODECS[policy.charset])
        return Accepted(accepted, policy.message_type, control_id, self._order_key(rows[0]))

    def _decoded(self, payload: bytes) -> str:
        if payload.startswith(_UTF_16_MARKS):
            raise Refused(CHARSET_NOT_ALLOWED, "byte order mark of UTF-16")
        try:
            text = payload.decode(_CODECS[self._policy.charset])
        except UnicodeDecodeError as error:
            line = payload.count(b"\n", 0, error.start) + 1
            raise Refused(NOT_DECODABLE, f"line {line}") from None
        text = text.removeprefix(_BYTE_ORDER_MARK)
        forbidden = find_forbidden(text)
        if forbidden is not None:
            raise Refused(CONTROL_CHARACTER, f"line {text.count(chr(10), 0, forbidden) + 1}")
        return text

    def _in_declared_order(self, rows: list[Row]) -> list[Row]:
        """The rows without the header, each with the declared columns in their order."""
        if not self._policy.header:
            if any(len(row) != len(self._names) for row in rows):
                number = next(n for n, row in enumerate(rows, 1) if len(row) != len(self._names))
                raise Refused(NOT_WELL_FORMED, f"row {number}: not {len(self._names)} fields")
            return rows
        if not rows:
            return rows
        header, *rest = rows
        places = self._places(header)
        for number, row in enumerate(rest, 1):
            if len(row) != len(header):
                raise Refused(NOT_WELL_FORMED, f"row {number}: not {len(header)} fields")
        if places == list(range(len(header))):
            return rest
        return [[row[place] for place in places] for row in rest]

    def _places(self, header: Row) -> list[int]:
        if len(set(header)) != len(header):
            raise Refused(NOT_WELL_FORMED, "header: a column stands twice")
        strips = self._policy.unknown_columns == "strip"
        for number, name in enumerate(header, 1):
            if name not in self._names and not strips:
                raise Refused(FIELD_NOT_ALLOWED, f"column {number}")
        for name in self._names:
            if name not in header:
                raise Refused(FIELD_MISSING, f"column {name}")
        return [header.index(name) for name in self._names]

    def _judged(self, row: Row, number: int) -> Row:
        formulas = self._policy.formulas
        judged: Row = []
        for column, rule, sent in zip(self._policy.columns, self._rules, row, strict=True):
            value = sent.replace("\n", " ") if self._spaces else sent
            place = f"{column.name} (row {number})"
            if formulas != "allow" and column.type not in text_fields.NUMBERS and is_formula(value):
                if formulas == "refuse":
                    raise Refused(FORMULA_NOT_ALLOWED, place)
                value = neutralised(value)
            text_fields.check(value, column, rule, place)
            judged.append(value)
        return judged

    def _order_key(self, first: Sequence[str]) -> bytes | None:
        value = "" if self._order_by is None else first[self._order_by]
        return digest_of(value) if value else None

    def _control_id_of(self, first: Sequence[str]) -> str | None:
        if self._control_id is None:
            return None
        found = first[self._control_id]
        if not found:
            raise Refused(HEADER_INCOMPLETE, self._policy.control_id or "")
        if len(found) > CONTROL_ID_CHARS_MAX:
            raise Refused(LIMIT_EXCEEDED, self._policy.control_id or "")
        return found
