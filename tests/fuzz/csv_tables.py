"""CSV tables: with and without header, in both character sets, formulas refused or neutralised."""

from __future__ import annotations

from tests.fuzz.harness import MARK, Harness, hold, validators

_COLUMNS = [
    {"name": "id", "type": "integer", "required": True},
    {"name": "name", "pattern": "[^0-9]*", "chars_max": 40},
    {"name": "day", "type": "date"},
    {"name": "at", "type": "datetime"},
    {"name": "amount", "type": "decimal"},
    {"name": "kind", "values": ["a", "b", ""]},
]
_CHANNELS = validators(
    {"csv": {"columns": _COLUMNS, "unknown_columns": "strip", "formulas": "neutralise"}},
    {"csv": {"columns": _COLUMNS, "charset": "GB18030", "delimiter": ";", "control_id": "id"}},
    {"csv": {"columns": [{"name": "a"}, {"name": "b"}], "header": False, "rows_max": 20}},
    {"csv": {"columns": [{"name": "a"}, {"name": "b"}], "header": False, "line_breaks": "keep"}},
    {"csv": {"columns": [{"name": "a"}, {"name": "b"}], "line_breaks": "space"}},
    {"csv": {"columns": [{"name": "a"}], "header": False, "formulas": "allow", "delimiter": "tab"}},
)


def check(data: bytes) -> None:
    for channel in _CHANNELS:
        hold(channel, data)


def seeds() -> list[bytes]:
    header = "id,name,day,at,amount,kind,more\r\n"
    row = f'7,"{MARK}, ""x""",2026-11-24,2026-11-24T08:00:00+08:00,-12.50,a,{MARK}\r\n'
    narrow = "id;name;day;at;amount;kind\n8;王芳;;;;b\n"
    return [
        (header + row).encode(),
        b"\xef\xbb\xbf" + (header + row.replace(MARK, "=1+1")).encode(),
        narrow.encode("gb18030"),
        narrow.encode(),
        b'a,b\n\'=c,"d\n"\n,',
    ]


HARNESS = Harness(
    check, seeds, (), (b'""', b'","', b"\r\n", b"=", b"'", b"\xef\xbb\xbf", b"@", b"\t=")
)
