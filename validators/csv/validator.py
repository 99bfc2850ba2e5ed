"""One CSV channel: its columns and limits, applied to each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

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
    SCHEMA_MISMATCH,
    Refused,
)
from validators.characters import find_forbidden
from validators.csv import table
from validators.csv.formulas import is_formula, neutralised
from validators.json_schema import SchemaError
from validators.judging import judge
from validators.verdict import Accepted, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from validators.csv.table import Row
    from validators.policy import CsvColumn, CsvPolicy

CONTENT_TYPE: Final = "text/csv"
CONTROL_ID_CHARS_MAX: Final = 199
FIELDS_MAX: Final = 1000
_BYTE_ORDER_MARK: Final = "\ufeff"
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_CODECS: Final = {"UTF-8": "utf-8", "GB18030": "gb18030"}
_TAB: Final = "\t"
_PATTERN_BYTES_MAX: Final = 1 << 20
_NUMBERS: Final = {
    "integer": "^-?(0|[1-9][0-9]*)$",
    "decimal": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$",
}
_FORMATS: Final = {"date": "date", "datetime": "date-time"}


class CsvValidator:
    """A channel's columns, prepared once. Raises SchemaError if a pattern cannot serve."""

    def __init__(self, policy: CsvPolicy) -> None:
        self._policy = policy
        self._delimiter = _TAB if policy.delimiter == "tab" else policy.delimiter
        self._names = [column.name for column in policy.columns]
        self._rules = [_rule(column) for column in policy.columns]
        self._control_id = (
            None if policy.control_id is None else self._names.index(policy.control_id)
        )

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        return judge(payload, self._policy.message_bytes_max, self._accept)

    def _accept(self, payload: bytes) -> Accepted:
        policy = self._policy
        rows = table.read(self._decoded(payload), self._delimiter, policy.rows_max + 1, FIELDS_MAX)
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
        return Accepted(accepted, policy.message_type, control_id)

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
            value = sent
            place = f"{column.name} (row {number})"
            if formulas != "allow" and column.type not in _NUMBERS and is_formula(value):
                if formulas == "refuse":
                    raise Refused(FORMULA_NOT_ALLOWED, place)
                value = neutralised(value)
            if not value:
                if column.required:
                    raise Refused(FIELD_MISSING, place)
            elif len(value) > column.chars_max:
                raise Refused(LIMIT_EXCEEDED, f"{place}: more than {column.chars_max} characters")
            elif rule is not None and not rule.is_valid(value):
                raise Refused(SCHEMA_MISMATCH, place)
            judged.append(value)
        return judged

    def _control_id_of(self, first: Sequence[str]) -> str | None:
        if self._control_id is None:
            return None
        found = first[self._control_id]
        if not found:
            raise Refused(HEADER_INCOMPLETE, self._policy.control_id or "")
        if len(found) > CONTROL_ID_CHARS_MAX:
            raise Refused(LIMIT_EXCEEDED, self._policy.control_id or "")
        return found


def _rule(column: CsvColumn) -> jsonschema_rs.Draft202012Validator | None:
    """What a value must satisfy, as JSON Schema: its patterns run in linear time."""
    every: list[dict[str, Any]] = []
    if column.type in _NUMBERS:
        every.append({"pattern": _NUMBERS[column.type]})
    if column.type in _FORMATS:
        every.append({"format": _FORMATS[column.type]})
    if column.pattern is not None:
        every.append({"pattern": f"^(?:{column.pattern})$"})
    if column.values:
        every.append({"enum": list(column.values)})
    if not every:
        return None
    try:
        return jsonschema_rs.Draft202012Validator(
            {"allOf": every},
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(
                size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX
            ),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(f"column {column.name}: {str(error).splitlines()[0]}") from None
