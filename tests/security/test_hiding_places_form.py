"""Where data could hide in forms: refused, or gone on the other side."""

from __future__ import annotations

import pytest

from tests.simulator.hiding import HIDDEN, Place, check

WORD = HIDDEN.encode()
CLEAN = b"id=7&name=Zhang"
POLICY = {
    "form": {
        "fields": [{"name": "id", "type": "integer"}, {"name": "name", "chars_max": 8}],
        "unknown_fields": "strip",
    }
}
PLACES = [
    Place("an unknown field", CLEAN + b"&x=" + WORD, "gone"),
    Place("its name", CLEAN + b"&" + WORD + b"=1", "gone"),
    Place(
        "an unknown field, refusing",
        CLEAN + b"&" + WORD + b"=1",
        ("field_not_allowed",),
        {"unknown_fields": "refuse"},
    ),
    Place("a field twice", CLEAN + b"&name=" + WORD, ("limit_exceeded",)),
    Place("a name without a value", CLEAN + b"&" + WORD, ("not_well_formed",)),
    Place("a value without a name", CLEAN + b"&=" + WORD, ("not_well_formed",)),
    Place("behind a semicolon", CLEAN + b";x=" + WORD, ("not_well_formed",)),
    Place("behind a second =", CLEAN + b"=" + WORD, ("not_well_formed",)),
    Place("behind a fragment", CLEAN + b"#" + WORD, ("not_well_formed",)),
    Place("behind a NUL", CLEAN + b"%00" + WORD, ("control_character",)),
    Place("line ends", CLEAN + b"\r\n" + WORD, ("not_well_formed",)),
    Place("the order of fields", b"name=Zhang&id=7", "gone"),
    Place("escapes that need not be", b"%69d=%37&name=Z%68ang", "gone"),
    Place("lower-case hex", CLEAN.replace(b"Z", b"%5a"), "gone"),
    Place("over-long UTF-8", CLEAN.replace(b"Z", b"%C1%9A"), ("not_decodable",)),
    Place("zero-width spaces", CLEAN.replace(b"Z", b"Z%E2%80%8B"), ("control_character",)),
    Place("empty pairs", CLEAN + b"&&", ("not_well_formed",)),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_forms(place: Place) -> None:
    check(place, CLEAN, POLICY)
