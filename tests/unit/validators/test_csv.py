"""CSV: what is accepted, what it becomes, what is refused and where."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.processor_time import processor_time_below
from validators.csv import table
from validators.csv.validator import CsvValidator
from validators.json_schema import SchemaError
from validators.order_key import digest_of
from validators.policy import CsvPolicy
from validators.verdict import Accepted, Rejected

COLUMNS = (
    {"name": "id", "type": "integer", "required": True},
    {"name": "name"},
    {"name": "day", "type": "date"},
    {"name": "amount", "type": "decimal"},
)
ROW = "7,王芳,2026-11-24,-12.50"


def validator(**policy: object) -> CsvValidator:
    return CsvValidator(CsvPolicy.model_validate({"columns": COLUMNS} | policy))


def rebuilt(text: str | bytes, **policy: object) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    verdict = validator(**policy).validate(data)
    assert isinstance(verdict, Accepted), verdict
    assert validator(**policy).validate(verdict.payload) == verdict
    return verdict.payload.decode(str(policy.get("charset", "utf-8")))


def refused(text: str | bytes, **policy: object) -> tuple[str, str]:
    data = text if isinstance(text, bytes) else text.encode()
    verdict = validator(**policy).validate(data)
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code, verdict.place


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_with_cr_lf(end: str, *, last: bool) -> None:
    text = f"id,name,day,amount{end}{ROW}" + end * last
    assert rebuilt(text) == f"id,name,day,amount\r\n{ROW}\r\n"


def test_columns_cross_in_their_declared_order_and_quotes_only_where_needed() -> None:
    text = '"amount",name,id,day\n"1.0","a ""b"", c",7,""\n,"plain","8",\n'
    assert rebuilt(text) == 'id,name,day,amount\r\n7,"a ""b"", c",,1.0\r\n8,plain,,\r\n'


def test_a_table_without_header_has_the_declared_columns() -> None:
    assert rebuilt(ROW, header=False) == f"{ROW}\r\n"
    assert refused("7,a,b", header=False) == ("not_well_formed", "row 1: not 4 fields")


def test_columns_that_are_not_declared_are_refused_or_stripped() -> None:
    text = f"id,name,day,amount,note\n{ROW},private\n"
    assert refused(text) == ("field_not_allowed", "column 5")
    assert "private" not in rebuilt(text, unknown_columns="strip")
    assert refused("id,name,day\n7,,") == ("field_missing", "column amount")
    assert refused("id,id,name,day,amount\n7,7,,,")[0] == "not_well_formed"


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ("07,,,", "id (row 1)"),
        ("7.0,,,", "id (row 1)"),
        ("7,,24.11.2026,", "day (row 1)"),
        ("7,,2026-02-30,", "day (row 1)"),
        ('7,,,"1,5"', "amount (row 1)"),
        ("7,,,1e3", "amount (row 1)"),
        ("٧,,,", "id (row 1)"),
    ],
)
def test_a_field_is_of_its_columns_kind(row: str, place: str) -> None:
    assert refused(row, header=False) == ("schema_mismatch", place)


def test_a_column_may_have_a_pattern_values_and_a_length() -> None:
    columns = (
        {"name": "card", "pattern": "[0-9]{17}[0-9X]", "required": True},
        {"name": "sex", "values": ("男", "女")},
        {"name": "note", "chars_max": 3},
    )
    policy = {"columns": columns, "header": False}
    good = "11010519491231002X,女,abc"
    assert rebuilt(good, **policy) == f"{good}\r\n"
    assert refused(f"1{good}", **policy) == ("schema_mismatch", "card (row 1)")
    assert refused(good.replace("女", "x"), **policy) == ("schema_mismatch", "sex (row 1)")
    assert refused(f"{good}d", **policy)[0] == "limit_exceeded"
    assert refused(f"{good}\r\n,女,", **policy) == ("field_missing", "card (row 2)")
    with pytest.raises(SchemaError, match="card"):
        validator(columns=({"name": "card", "pattern": "(?=a)b"},))


@pytest.mark.parametrize(
    "value", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", " =1", "＝1", "\u3000@x", '"=1,2"']
)
def test_formulas_are_refused_or_neutralised(value: str) -> None:
    row = f"7,{value},,"
    assert refused(row, header=False) == ("formula_not_allowed", "name (row 1)")
    assert "'" in rebuilt(row, header=False, formulas="neutralise")
    assert "'" not in rebuilt(row, header=False, formulas="allow")


def test_a_signed_number_is_no_formula_in_a_column_of_numbers() -> None:
    assert rebuilt("-7,,,-1.5", header=False) == "-7,,,-1.5\r\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('7,a"b,,', "not_well_formed"),
        ('7,"a"b,,', "not_well_formed"),
        ('7,"a,,', "not_well_formed"),
        ('7,"a\nb",,', "not_well_formed"),
        ("7,a\rb,,", "not_well_formed"),
        (f"{ROW}\n\n{ROW}", "not_well_formed"),
        ("\n", "not_well_formed"),
        ("7,a\x00b,,", "control_character"),
        ("7,a\u202eb,,", "control_character"),
        (f"\ufeff\ufeff{ROW}", "control_character"),
        (b"7,\xc0\xaf,,", "not_decodable"),
        (b"7,\xff,,", "not_decodable"),
        (ROW.encode("utf-16"), "charset_not_allowed"),
        ("", "message_empty"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(text: str | bytes, reason: str) -> None:
    assert refused(text, header=False)[0] == reason


def test_a_byte_order_mark_goes_and_gb18030_stays() -> None:
    assert rebuilt(f"\ufeff{ROW}", header=False) == f"{ROW}\r\n"
    assert rebuilt(ROW.encode("gb18030"), header=False, charset="GB18030") == f"{ROW}\r\n"


@pytest.mark.parametrize(("name", "delimiter"), [("tab", "\t"), (";", ";"), ("|", "|")])
def test_another_delimiter(name: str, delimiter: str) -> None:
    sent = delimiter.join(["7", f'"a{delimiter}b"', "", "1,5".replace(",", ".")])
    assert rebuilt(sent, header=False, delimiter=name) == f"{sent}\r\n"


def test_limits_are_inclusive() -> None:
    rows = "id,name,day,amount\n" + f"{ROW}\n" * 3
    assert rebuilt(rows, rows_max=3)
    assert refused(rows, rows_max=2)[0] == "limit_exceeded"
    assert refused(f"{ROW}\n" * 3, header=False, rows_max=2)[0] == "limit_exceeded"
    assert refused("," * 1000, header=False)[0] == "limit_exceeded"
    assert refused('"",' * 1000, header=False)[0] == "limit_exceeded"
    assert refused("id,name,day,amount\n") == ("message_empty", "no row")
    size = len(f"{ROW}\r\n".encode())
    assert rebuilt(f"{ROW}\r\n", header=False, message_bytes_max=size)
    assert refused(ROW, header=False, message_bytes_max=size - 2)[0] == "limit_exceeded"
    assert refused(f"{ROW}\n", header=False, message_bytes_max=size - 1)[0] == "limit_exceeded"


def test_the_control_id_is_the_first_rows() -> None:
    verdict = validator(header=False, control_id="id", message_type="billing").validate(
        f"{ROW}\n8,,,\n".encode()
    )
    assert isinstance(verdict, Accepted)
    assert (verdict.control_id, verdict.message_type) == ("7", "billing")
    columns = ({"name": "id"}, {"name": "x"})
    assert refused(",y", header=False, columns=columns, control_id="id")[0] == "header_incomplete"


def test_verbatim_passes_the_bytes_after_the_same_checks() -> None:
    sent = b'"7",name,,\n'
    verdict = validator(header=False, fidelity="verbatim").validate(sent)
    assert isinstance(verdict, Accepted)
    assert verdict.payload == sent
    assert refused("x,,,", header=False, fidelity="verbatim")[0] == "schema_mismatch"


@pytest.mark.parametrize(
    "policy",
    [
        {"columns": ()},
        {"columns": ({"name": "a"}, {"name": "a"})},
        {"control_id": "none"},
        {"fidelity": "verbatim", "unknown_columns": "strip"},
        {"fidelity": "verbatim", "formulas": "neutralise"},
        {"delimiter": "x"},
        {"header": False, "unknown_columns": "strip"},
        {"columns": ({"name": 'a"column'},)},
        {"columns": ({"name": "a\ncolumn"},)},
    ],
)
def test_a_policy_that_contradicts_itself_is_none(policy: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"column|verbatim|delimiter|control_id"):
        validator(**policy)


cells = st.text(st.sampled_from("a,\"; '=王\u3000|"), max_size=5)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=4))
def test_what_pythons_csv_writes_means_the_same_here(rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    text = written.getvalue()
    for breaks in (False, True):
        assert table.read(table.lines(text, 10, breaks=breaks), ",", 10) == rows
    again = table.write(rows, ",")
    assert table.read(table.lines(again, 10, breaks=False), ",", 10) == rows
    assert list(csv.reader(io.StringIO(again, newline=""))) == rows


@given(st.lists(st.lists(st.text('a",\n'), min_size=2, max_size=2), min_size=1, max_size=4))
def test_so_it_does_with_line_breaks_in_fields(rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows(rows)
    found = table.read(table.lines(written.getvalue(), 10, breaks=True), ",", 10)
    assert found == rows
    again = table.read(table.lines(table.write(found, ","), 10, breaks=True), ",", 10)
    assert again == rows


@given(st.binary(max_size=60) | st.text(st.sampled_from('1,"\r\n=a '), max_size=30).map(str.encode))
def test_no_bytes_raise_and_accepted_ones_are_fixed(data: bytes) -> None:
    columns = ({"name": "a"}, {"name": "b"})
    judge = validator(columns=columns, header=False, formulas="neutralise")
    verdict = judge.validate(data)
    if isinstance(verdict, Accepted):
        assert judge.validate(verdict.payload) == verdict


@pytest.mark.parametrize("text", ['"' * (1 << 24), '"a",' * (1 << 22), '7,"' + "a" * 16_000_000])
def test_large_hostile_tables_end_soon(text: str) -> None:
    with processor_time_below(5):
        refused(text, header=False)


BREAKS = {"columns": [{"name": "a"}, {"name": "b"}], "header": False}


def test_line_breaks_in_quotes_are_refused_become_spaces_or_stay() -> None:
    sent = 'x,"1\r\n2\n3"\r\n"""\n""",y'
    assert refused(sent, **BREAKS) == ("not_well_formed", "line 1, field 2")
    spaces = rebuilt(sent, **BREAKS, line_breaks="space")
    assert spaces == 'x,1 2 3\r\n""" """,y\r\n'
    kept = rebuilt(sent, **BREAKS, line_breaks="keep")
    assert kept == 'x,"1\n2\n3"\r\n"""\n""",y\r\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('x,"open\ny,z\n', "line 1"),
        ('x,y\nx,"open', "line 2"),
        ('x"\n",y\n', "line 1, field 1"),
        ('x,"a\rb"\n', "line 1"),
        ('x,"a\n"b,c\n', "line 1, field 2"),
        ("x,y\n\nz,w\n", "line 2"),
    ],
)
def test_a_quote_that_holds_lines_together_is_closed(text: str, place: str) -> None:
    assert refused(text, **BREAKS, line_breaks="keep") == ("not_well_formed", place)


def test_rows_are_counted_however_many_lines_they_take() -> None:
    row = 'x,"1\n2\n3"\n'
    assert rebuilt(row * 2, **BREAKS, line_breaks="keep", rows_max=2)
    code, _ = refused(row * 3, **BREAKS, line_breaks="keep", rows_max=2)
    assert code == "limit_exceeded"


def test_verbatim_writes_no_spaces() -> None:
    with pytest.raises(ValueError, match="verbatim"):
        validator(**BREAKS, fidelity="verbatim", line_breaks="space")


def test_the_order_key_is_the_named_columns_first_field() -> None:
    policy = CsvPolicy.model_validate({"columns": [{"name": "card"}, {"name": "fee"}]})
    judge = CsvValidator(policy, "/card")
    verdict = judge.validate(b"fee,card\n1,7\n2,8\n")
    assert isinstance(verdict, Accepted)
    assert verdict.order_key == digest_of("7")
    verdict = judge.validate(b"fee,card\n1,\n")
    assert isinstance(verdict, Accepted)
    assert verdict.order_key is None
