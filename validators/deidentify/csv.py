"""CSV messages as slots: by column, each row by itself, since each may be another patient's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from validators.csv import table
from validators.deidentify.slots import Part, Slot

if TYPE_CHECKING:
    from validators.csv.table import Row
    from validators.policy import CsvPolicy
    from validators.policy.deidentify import DeidentificationPolicy

_CODECS: Final = {"UTF-8": "utf-8", "GB18030": "gb18030"}
_TAB: Final = "\t"


class CsvFamily:
    """Where persons stand in the rows of one channel. The policy names every column."""

    def __init__(self, policy: DeidentificationPolicy, content: CsvPolicy) -> None:
        kinds = {place.at: place.holds for place in policy.places}
        names = [column.name for column in content.columns]
        self._columns = [(index, name, kinds[name]) for index, name in enumerate(names)]
        self._patient = None if policy.patient is None else names.index(policy.patient)
        self._content = content
        self._delimiter = _TAB if content.delimiter == "tab" else content.delimiter

    def open(self, payload: bytes) -> CsvDocument:
        """Parse an accepted message."""
        text = payload.decode(_CODECS[self._content.charset])
        lines = table.lines(text, self._content.rows_max + 1, breaks=True)
        rows = table.read(lines, self._delimiter, len(self._content.columns))
        head = rows[:1] if self._content.header else []
        body = rows[len(head) :]
        parts = [Part(self._slots(row), self._patients(row)) for row in body]
        return CsvDocument(head + body, parts, self._delimiter, _CODECS[self._content.charset])

    def _slots(self, row: Row) -> list[Slot]:
        return [
            Slot(name, kind, row[index], partial(_put, row, index))
            for index, name, kind in self._columns
            if kind != "keep" and row[index]
        ]

    def _patients(self, row: Row) -> set[str]:
        return set() if self._patient is None or not row[self._patient] else {row[self._patient]}


class CsvDocument:
    """One message; what is put into its slots stands in `write`."""

    def __init__(self, rows: list[Row], parts: list[Part], delimiter: str, codec: str) -> None:
        self.parts = parts
        self._rows = rows
        self._delimiter = delimiter
        self._codec = codec

    def write(self) -> bytes:
        """The message as it stands now."""
        return table.write(self._rows, self._delimiter).encode(self._codec)


def _put(row: Row, index: int, value: str | None) -> None:
    row[index] = value or ""
