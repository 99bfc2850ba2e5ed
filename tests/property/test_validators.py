"""Properties of the validators: fixed points, models that survive writing, no bytes that crash."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ferry_format.reasons import Refused
from validators import json_text
from validators.characters import _FORBIDDEN, find_forbidden
from validators.hl7v2 import files
from validators.hl7v2.acknowledgement import build_ack, parse_ack
from validators.hl7v2.charset import UTF_8
from validators.hl7v2.escapes import EscapeRules
from validators.hl7v2.grammar import _SegmentParser, fold_segment_ends, parse
from validators.hl7v2.header import read_control_id, read_header
from validators.hl7v2.rebuild import rebuild
from validators.hl7v2.separators import Separators
from validators.hl7v2.validator import HL7v2Validator
from validators.policy import HL7v2Policy
from validators.verdict import Accepted, Rejected

STRICT = HL7v2Policy(messages=("*",), segments="any")
LAX = HL7v2Policy(messages=("*",), segments="any", header="lax", escapes="any")
STRIPPING = HL7v2Policy(
    messages=("*",), segments="any", fields=("PID-2", "NTE-*"), unknown_fields="strip"
)
VALIDATORS = [HL7v2Validator(policy) for policy in (STRICT, LAX, STRIPPING)]
SEPARATORS = Separators("|", "^", "~", "\\", "&")
RULES = EscapeRules("\\", UTF_8, any_text=False, hex_line_breaks=False, converting=False)
LAX_RULES = EscapeRules("\\", UTF_8, any_text=True, hex_line_breaks=True, converting=False)
MSH = "MSH|^~\\&|HIS|H|EMR|H|2026||ADT^A01|4711|P|2.5"

leaf = st.text(st.sampled_from("ab1 患é亅\"'%"), max_size=4) | st.sampled_from(["\\F\\", "\\.br\\"])
field = st.lists(leaf | st.sampled_from("^~&"), max_size=8).map("".join)
segment = st.builds(
    lambda name, fields: "|".join([name, *fields]),
    st.sampled_from(["PID", "NTE", "ZZ1", "OBX|1|ST"]),
    st.lists(field, max_size=6),
)
end = st.sampled_from(["\r", "\n", "\r\n", "\r\r\n"])
message = st.builds(
    lambda segments, ends: MSH + "".join(f"{e}{s}" for s, e in zip(segments, ends, strict=False)),
    st.lists(segment, max_size=5),
    st.lists(end, min_size=5, max_size=5),
)
noise = st.text(st.sampled_from("MSHPID|^~\\&\r\n 1aX0D.br亅é\x00\u202e\x85"), max_size=60)


@given(message)
def test_what_is_rebuilt_parses_to_the_same_model_and_rebuilds_to_itself(text: str) -> None:
    model = parse(fold_segment_ends(text), SEPARATORS, STRICT, RULES)
    written = rebuild(model)
    assert parse(written, SEPARATORS, STRICT, RULES) == model
    assert rebuild(parse(written, SEPARATORS, STRICT, RULES)) == written


tight = HL7v2Policy(
    messages=("*",), segments="any", fields_max=3, field_chars_max=9,
    repetitions_max=2, components_max=2,
)  # fmt: skip


@pytest.mark.parametrize("policy", [STRICT, tight])
def test_a_line_that_is_taken_as_it_stands_is_what_parsing_and_writing_it_gives(
    policy: HL7v2Policy,
) -> None:
    parser = _SegmentParser(SEPARATORS, policy, RULES)
    for count in range(6):
        for characters in itertools.product("a^~&|\\", repeat=count):
            line = f"PID|{''.join(characters)}"
            if parser._is_tidy(line):
                assert parser._tidied("PID", 2, line) == line
            header = f"MSH|^~\\&|{''.join(characters)}"
            if parser._is_tidy_header(header):
                assert parser._tidied("MSH", 1, header) == header


@given(
    st.lists(
        st.text(st.sampled_from("PIDZ1|^~&\\a"), min_size=1, max_size=9)
        | segment
        | st.sampled_from(["PID", "PIDX", "PI", "MSH|1", "BTS|1"]),
        max_size=4,
    ),
    st.sampled_from([STRICT, tight]),
)
@example(["PID|1", "NTE"], STRICT)
def test_lines_that_are_taken_together_are_what_each_of_them_is_by_itself(
    lines: list[str], policy: HL7v2Policy
) -> None:
    parser = _SegmentParser(SEPARATORS, policy, RULES)
    if parser.is_tidy_behind_header(["MSH", *lines]):
        assert [parser.canonical(number, line) for number, line in enumerate(lines, 2)] == lines


@given(
    st.lists(
        st.sampled_from(["ED", "eD", " ED", "E", "ST", "FT", "", "&ED", "X", "\\X4544\\"])
        | st.text(st.sampled_from("ED~^&\\ "), max_size=3)
    ),
    st.lists(
        st.sampled_from(
            ["^", "^^^", "~", "&", "Base64", "hex", "Ba\\X73\\e64", "H\\.br\\ex", " ", "中", "1.5"]
        )
        | st.sampled_from(["JVBERi0x", "JVBE", "Ri0xLjQ=", "\\X4a\\VBERi0xLjQ", "\\.br\\", "/9j/"]),
        max_size=8,
    ).map("".join),
)
def test_a_text_without_any_file_is_told_in_one_search(kinds: list[str], value: str) -> None:
    observations = [f"OBX|1|{kind}|X||{value}||||||F" for kind in kinds]
    text = "\r".join([MSH, *observations, f"OBX|2|ST|X||{value}", ""])
    model = parse(text, SEPARATORS, LAX, LAX_RULES)
    if not files.may_hold_files(rebuild(model), SEPARATORS):
        assert not any(map(files.holds_files, model.segments))
    for number, each in enumerate(model.segments, 1):
        if each.name == "OBX" and not files.holds_files(each):
            assert files.checked(each, number, STRICT) == each


@given(message, st.sampled_from(VALIDATORS))
def test_the_verdict_on_a_rebuilt_message_is_the_verdict(text: str, judge: HL7v2Validator) -> None:
    verdict = judge.validate(text.encode())
    assert isinstance(verdict, Accepted)
    assert judge.validate(verdict.payload) == verdict


@given(
    st.binary(max_size=200) | noise.map(str.encode),
    st.sampled_from([b"", b"MSH|^~\\&|", (MSH + "\r").encode(), (MSH + "||||||GBK\r").encode()]),
    st.sampled_from(VALIDATORS),
)
def test_no_bytes_raise_and_accepted_ones_are_fixed(
    tail: bytes, start: bytes, judge: HL7v2Validator
) -> None:
    verdict = judge.validate(start + tail)
    if isinstance(verdict, Accepted):
        assert judge.validate(verdict.payload) == verdict
    else:
        assert isinstance(verdict, Rejected)


@given(noise.map(str.encode) | st.binary(max_size=100), st.sampled_from(["UTF-8", "GB18030"]))
def test_any_header_can_be_answered(tail: bytes, default: str) -> None:
    for payload in (tail, b"MSH|^~\\&|" + tail):
        header = read_header(payload, default)
        if header is None:
            continue
        answer = build_ack(header, "AR", None, "F1", 0)
        assert not answer.translate(None, bytes(set(range(256)) - set(range(32)))).strip(b"\r\t")
        again = parse_ack(answer)
        assert again is None or again.code == "AR"


@given(
    noise.map(str.encode) | st.binary(max_size=100),
    st.sampled_from(
        [b"", b"MSH|^~\\&|", b"MSH|^~\\&|a|b|c|d|||ADT^A01|", b"\xef\xbb\xbfMSH|^~\\&|"]
    ),
)
def test_the_quick_look_for_the_control_id_sees_what_the_header_says(
    tail: bytes, start: bytes
) -> None:
    header = read_header(start + tail)
    assert read_control_id(start + tail) == (None if header is None else header.control_id)


@given(
    st.text(st.sampled_from("MSAERR|^~\\&\r\n1 ")),
    st.sampled_from(["", "\rMSA|AA|1", "\nMSA|AE|1\nERR|||207^x", "\r\nMSA|AR"]),
)
def test_an_answer_in_ascii_is_read_as_one_in_any_other_characters(tail: str, body: str) -> None:
    text = f"MSH|^~\\&|A{body}{tail}"
    assert parse_ack(text.encode()) == parse_ack(f"{text}\rNTE|é".encode())


@given(st.text())
def test_the_quick_look_for_forbidden_characters_misses_none(text: str) -> None:
    found = _FORBIDDEN.search(text)
    assert find_forbidden(text) == (None if found is None else found.start())


def test_the_quick_look_misses_no_character_at_all() -> None:
    for code in range(0x110000):
        character = chr(code)
        assert (find_forbidden(character) is None) == (_FORBIDDEN.search(character) is None)


exact = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
plain_text = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | exact | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_keeps_its_value_and_its_canonical_form(value: object) -> None:
    parsed = json_text.parse(json.dumps(value).encode(), 64)
    written = json_text.write(parsed)
    assert json.loads(written) == value
    assert json_text.write(json_text.parse(written, 64)) == written


@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_json_numbers_keep_their_digits(digits: int, scale: int) -> None:
    text = str(Decimal(digits).scaleb(-scale))
    if "E" not in text and "." in text:
        assert json_text.write(json_text.parse(text.encode(), 1)).decode() == text


@given(st.binary(max_size=60) | st.text('[]{}":,\\ud8e019.-+ntf \x00', max_size=40).map(str.encode))
def test_no_bytes_are_json_twice(data: bytes) -> None:
    try:
        value = json_text.parse(data, 8)
    except Refused:
        return
    assert json_text.write(json_text.parse(json_text.write(value), 8)) == json_text.write(value)
