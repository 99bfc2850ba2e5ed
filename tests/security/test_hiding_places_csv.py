"""Where data could hide in CSV: refused, or gone on the other side."""

from __future__ import annotations

import pytest

from tests.simulator.hiding import HIDDEN, Place, check

WORD = HIDDEN.encode()
CLEAN = b"id,name\r\n7,Zhang\r\n"
POLICY = {
    "csv": {
        "columns": [{"name": "id", "type": "integer"}, {"name": "name", "chars_max": 8}],
        "unknown_columns": "strip",
    }
}
PLACES = [
    Place("an unknown column", b"id,hidden,name\r\n7," + WORD + b",Zhang\r\n", "gone"),
    Place("its name", b"id,name," + WORD + b"\r\n7,Zhang,x\r\n", "gone"),
    Place(
        "an unknown column, refusing",
        b"id,name,x\r\n7,Zhang," + WORD + b"\r\n",
        ("field_not_allowed",),
        {"unknown_columns": "refuse"},
    ),
    Place("a field too many", CLEAN.replace(b"Zhang", b"Zhang," + WORD), ("not_well_formed",)),
    Place("a comment", b"# " + WORD + b"\r\n" + CLEAN, ("not_well_formed", "field_missing")),
    Place("a comment line", CLEAN + b"#" + WORD + b"\r\n", ("not_well_formed", "schema_mismatch")),
    Place(
        "behind a quoted field", CLEAN.replace(b"Zhang", b'"Zhang"' + WORD), ("not_well_formed",)
    ),
    Place(
        "a line break in a field",
        CLEAN.replace(b"Zhang", b'"a\r\n%s"' % WORD),
        ("not_well_formed",),
    ),
    Place("behind a NUL", CLEAN + b"\0" + WORD, ("control_character", "not_well_formed")),
    Place("a column twice", b"id,name,name\r\n7,Zhang," + WORD + b"\r\n", ("not_well_formed",)),
    Place("quotes", b'"id","name"\n"7","Zhang"\n', "gone"),
    Place("the order of columns", b"name,id\r\nZhang,7\r\n", "gone"),
    Place("line ends", CLEAN.replace(b"\r\n", b"\n"), "gone"),
    Place("a byte order mark", b"\xef\xbb\xbf" + CLEAN, "gone"),
    Place("blank lines", CLEAN + b"\r\n\r\n", ("not_well_formed",)),
    Place("spellings of a number", CLEAN.replace(b"7", b"007"), ("schema_mismatch",)),
    Place("over-long UTF-8", CLEAN.replace(b"Z", b"\xc1\x9a"), ("not_decodable",)),
    Place("zero-width spaces", CLEAN.replace(b"Z", b"Z\xe2\x80\x8b"), ("control_character",)),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_csv(place: Place) -> None:
    check(place, CLEAN, POLICY)
