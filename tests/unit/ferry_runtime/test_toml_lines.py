from __future__ import annotations

import tomllib

from ferry_runtime.toml_lines import TomlLines

TEXT = '''\
# [not.a.table]
title = "a # no comment"

[one]
a = [
  1, # [x]
  2,
]
b = """
[fake]
c = 1
"""
"quoted key" = 1
d.e = { f = 1, g = [2] }
[[many]]
name = 'x'
[many.sub]
k = 1
[[many]]
[[many.deep]]
v = 1
[[many.deep]]
v = 2
'''


def test_tables_and_keys_are_found_past_strings_arrays_and_comments() -> None:
    lines = TomlLines(TEXT)
    expected = {
        ("title",): 2,
        ("one",): 4,
        ("one", "a"): 5,
        ("one", "b"): 9,
        ("one", "quoted key"): 13,
        ("one", "d"): 14,
        ("one", "d", "e"): 14,
        ("many",): 15,
        ("many", 0): 15,
        ("many", 0, "name"): 16,
        ("many", 0, "sub"): 17,
        ("many", 0, "sub", "k"): 18,
        ("many", 1): 19,
        ("many", 1, "deep", 0): 20,
        ("many", 1, "deep", 0, "v"): 21,
        ("many", 1, "deep", 1, "v"): 23,
    }
    tomllib.loads(TEXT)
    assert {path: lines.exact(path) for path in expected} == expected


def test_what_stands_in_strings_is_no_key() -> None:
    lines = TomlLines(TEXT)
    assert lines.exact(("fake",)) is None
    assert lines.exact(("one", "c")) is None
    assert lines.exact(("not", "a", "table")) is None


def test_a_key_inside_an_inline_table_is_on_the_line_of_what_surrounds_it() -> None:
    lines = TomlLines(TEXT)
    assert lines.exact(("one", "d", "e", "f")) is None
    assert lines.nearest(("one", "d", "e", "f")) == 14
    assert lines.nearest(("nowhere",)) is None


def test_windows_line_ends_count_once() -> None:
    assert TomlLines("a = 1\r\n[t]\r\nb = 2\r\n").exact(("t", "b")) == 3


def test_a_document_that_ends_inside_a_value_does_not_hang_or_raise() -> None:
    for end in range(len(TEXT)):
        TomlLines(TEXT[:end])
