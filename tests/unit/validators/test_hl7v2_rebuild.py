"""HL7 v2: what is accepted, what it becomes, what is refused and where."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from validators.hl7v2.validator import HL7v2Validator
from validators.policy import HL7v2Policy
from validators.verdict import Accepted, Rejected

MSH = "MSH|^~\\&|HIS|H|EMR|H|20260101080000||ADT^A01^ADT_A01|4711|P|2.5"


def validator(**policy: object) -> HL7v2Validator:
    values = {"messages": ("*",), "segments": "any"} | policy
    return HL7v2Validator(HL7v2Policy.model_validate(values))


def rebuilt(text: str | bytes, **policy: object) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    verdict = validator(**policy).validate(data)
    assert isinstance(verdict, Accepted), verdict
    again = validator(**policy).validate(verdict.payload)
    assert isinstance(again, Accepted)
    assert again.payload == verdict.payload
    return verdict.payload


def refused(text: str | bytes, **policy: object) -> tuple[str, str]:
    data = text if isinstance(text, bytes) else text.encode()
    verdict = validator(**policy).validate(data)
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code, verdict.place


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "END", "ENDEND"])
def test_segment_ends_become_one_cr_each(end: str, last: str) -> None:
    text = f"{MSH}{end}PID|1||77^^^H{end}PV1|1|I" + last.replace("END", end)
    assert rebuilt(text) == f"{MSH}\rPID|1||77^^^H\rPV1|1|I\r".encode()


@pytest.mark.parametrize(
    ("sent", "becomes"),
    [
        ("PID|1||||", "PID|1"),
        ("PID|a^^", "PID|a"),
        ("PID|a&&^b&c&", "PID|a^b&c"),
        ("PID|^&~^|x", "PID||x"),
        ("PID|a~~", "PID|a"),
        ("PID|~a", "PID|~a"),
        ("PID|^a", "PID|^a"),
        ("PID|&a^b", "PID|&a^b"),
        ("PID|a^&~b", "PID|a~b"),
        ("PID|||", "PID"),
        ('PID|""|x', 'PID|""|x'),
        ("PID| a ", "PID| a "),
        ("NTE|1||100 % (a/b): 5 > 3", "NTE|1||100 % (a/b): 5 > 3"),
    ],
)
def test_only_trailing_empty_elements_go(sent: str, becomes: str) -> None:
    assert rebuilt(f"{MSH}\r{sent}") == f"{MSH}\r{becomes}\r".encode()


def test_the_senders_separators_stay() -> None:
    text = "MSH$%~!@#$HIS$$EMR$$2026$$ADT%A01$9$P$2.7$$\rPID$1$$a%b@c~d!S!\r"
    assert rebuilt(text) == text.replace("$$\r", "\r").encode()


@pytest.mark.parametrize(
    "start",
    [
        "MSH|^~\\|",
        "MSH|^~\\&#*|",
        "MSH|^^^^|",
        "MSH|^~\\||",
        "MSHA^~\\&A",
        "MSH|^r\\&|",
        "MSH|^.\\&|",
        "MSH",
        "PID|1",
        "\rMSH|^~\\&|",
        " MSH|^~\\&|",
    ],
)
def test_unusable_separators_are_refused(start: str) -> None:
    text = start + MSH.removeprefix("MSH|^~\\&|")
    assert refused(text) == ("not_well_formed", "MSH-1 or MSH-2")


@pytest.mark.parametrize("name", ["pid", "PI", "PIDX", "1ID", "P D", "PİD", ""])
def test_what_is_no_segment_name_is_refused(name: str) -> None:
    assert refused(f"{MSH}\r{name}|1|2") == ("not_well_formed", "segment 2")


@pytest.mark.parametrize("start", ["", "\ufeff", " \r\n", '<?xml version="1.0"?>'])
def test_hl7s_xml_encoding_is_named_as_such(start: str) -> None:
    text = f'{start}<ADT_A01 xmlns="urn:hl7-org:v2xml"/>'
    assert refused(text) == ("encoding_not_allowed", "MSH-1 or MSH-2")


@pytest.mark.parametrize(
    "text",
    [f"{MSH}\rPID|1\r{MSH}", "FHS|^~\\&\r", "BHS|^~\\&\r", f"{MSH}\rBTS|1"],
)
def test_batches_are_refused_with_a_reason_of_their_own(text: str) -> None:
    assert refused(text)[0] == "batch_not_allowed"


@pytest.mark.parametrize(
    ("char", "encoding"),
    [
        (c, "utf-8")
        for c in "\x00\x01\x0b\x1c\x1f\x7f\x85\u2028\u202e\u2066\u200f\u200b\ufeff\uffff"
    ],
)
def test_control_and_direction_characters_are_refused(char: str, encoding: str) -> None:
    text = f"{MSH}\rPID|1\rNTE|1||a{char}b"
    assert refused(text.encode(encoding)) == ("control_character", "segment 3")


def test_a_tab_is_text() -> None:
    assert b"a\tb" in rebuilt(f"{MSH}\rNTE|1||a\tb")


GBK_TRAPS = "乗俓僜刓乛俕僞刕亅倈億剕亊倊儈剘"  # second bytes \ ^ | ~


@pytest.mark.parametrize("declared", ["GB 18030-2000", "GB18030", "GBK", "GB2312"])
def test_gbk_second_bytes_are_no_separators(declared: str) -> None:
    text = f"{MSH}||||||{declared}\rPID|1||{GBK_TRAPS}^{GBK_TRAPS}|{GBK_TRAPS}\r"
    assert rebuilt(text.encode("gb18030")) == text.encode("gb18030")


def test_gbk_in_the_header_before_msh_18_is_read_right() -> None:
    text = MSH.replace("|HIS|H|", f"|{GBK_TRAPS}|{GBK_TRAPS}|") + "||||||GBK\rPID|1|亅\r"
    assert rebuilt(text.encode("gbk")) == text.encode("gbk")


def test_a_four_byte_character_is_no_gbk() -> None:
    text = f"{MSH}||||||GBK\rPID|1||\U00020000"
    assert refused(text.encode("gb18030"))[0] == "not_decodable"
    assert rebuilt(text.replace("GBK", "GB18030").encode("gb18030"))


def test_every_gb18030_character_of_the_plane_comes_back_as_it_was() -> None:
    codes = [*range(0x80, 0xD800), *range(0xE000, 0x10000)]
    text = "".join(c for c in map(chr, codes) if c.isprintable() or "\ue000" <= c <= "\uf8ff")
    message = f"{MSH}||||||GB18030\rNTE|1||{text}\r".encode("gb18030")
    assert rebuilt(message) == message


@pytest.mark.parametrize(
    ("default", "codec"),
    [("UTF-8", "utf-8"), ("GB18030", "gb18030"), ("GBK", "gbk"), ("ISO-8859-1", "latin-1")],
)
def test_without_msh_18_the_channels_default_holds(default: str, codec: str) -> None:
    word = "é" if codec == "latin-1" else "患者"
    message = f"{MSH}\rPID|1||{word}\r".encode(codec)
    assert rebuilt(message, default_charset=default) == message


def test_bytes_that_are_not_the_declared_charset_are_refused() -> None:
    message = f"{MSH}||||||UNICODE UTF-8\rPID|1||患者".encode("gbk")
    assert refused(message) == ("not_decodable", "segment 2")
    assert refused(f"{MSH}||||||ASCII\rPID|1||患者")[0] == "not_decodable"


@pytest.mark.parametrize("declared", ["KOI8-R", "UNICODE", "ASCII~GB18030"])
def test_a_charset_we_do_not_read_is_refused_unless_lax(declared: str) -> None:
    text = f"{MSH}||||||{declared}\rPID|1\r"
    assert refused(text) == ("charset_not_allowed", "MSH-18")
    assert rebuilt(text, header="lax") == text.encode()


def test_a_byte_order_mark_goes_and_must_not_contradict() -> None:
    text = f"{MSH}||||||UTF-8\rPID|1||患者\r"
    assert rebuilt(b"\xef\xbb\xbf" + text.encode()) == text.encode()
    bare = f"{MSH}\rPID|1||患者\r".encode()
    code, _ = refused(b"\xef\xbb\xbf" + bare, default_charset="GB18030")
    assert code == "charset_not_allowed"
    assert refused("\ufeff".encode("utf-16-le") + bare)[0] == "charset_not_allowed"


@pytest.mark.parametrize(
    ("charset_out", "codec", "name"),
    [("UTF-8", "utf-8", "UNICODE UTF-8"), ("GB18030", "gb18030", "GB 18030-2000")],
)
def test_conversion_sets_msh_18_to_the_truth(charset_out: str, codec: str, name: str) -> None:
    source = "gb18030" if codec == "utf-8" else "utf-8"
    default = "GB18030" if codec == "utf-8" else "UTF-8"
    verdict = validator(charset_out=charset_out, default_charset=default).validate(
        f"{MSH}\rPID|1||{GBK_TRAPS}".encode(source)
    )
    assert isinstance(verdict, Accepted)
    again = validator(charset_out=charset_out, default_charset=default).validate(verdict.payload)
    assert again == verdict
    assert verdict.payload.decode(codec) == f"{MSH}||||||{name}\rPID|1||{GBK_TRAPS}\r"


def test_conversion_refuses_what_depends_on_the_old_charset() -> None:
    for escape in ("\\XB0A1\\", "\\C2842\\", "\\M2442\\"):
        message = f"{MSH}||||||GB18030\rNTE|1||{escape}"
        assert refused(message, charset_out="UTF-8") == ("not_well_formed", "NTE-3 (segment 2)")
        assert rebuilt(message)


def test_verbatim_passes_the_bytes_after_the_same_checks() -> None:
    sent = f"{MSH}\nPID|1|||\n".encode()
    verdict = validator(fidelity="verbatim").validate(sent)
    assert isinstance(verdict, Accepted)
    assert verdict.payload == sent
    assert refused(f"{MSH}\rPID|\x01", fidelity="verbatim")[0] == "control_character"


STANDARD_ESCAPES = ["F", "S", "T", "R", "E", "P", "H", "N", ".br", ".sp", ".sp3", ".in+4", ".ti-2",
                    ".fi", ".nf", ".ce", ".sk5", "X41", "Xe4bda0", "C2842", "M244228"]  # fmt: skip


@pytest.mark.parametrize("body", STANDARD_ESCAPES)
def test_standard_escapes_cross_untouched(body: str) -> None:
    text = f"{MSH}\rNTE|1||a\\{body}\\b^\\{body}\\\r"
    assert rebuilt(text) == text.encode()
    assert rebuilt(text, escapes="any") == text.encode()


OTHER_ESCAPES = ["\\q\\", "\\\\", "a\\b", "\\ZFOO\\", "\\X4\\", "\\XZZ\\", "\\Xff\\",
                 "C:\\Users\\x", "\\F|\\", "\\F^\\", "\\.spx\\"]  # fmt: skip


@pytest.mark.parametrize("field", OTHER_ESCAPES)
def test_other_escapes_cross_only_where_any_may(field: str) -> None:
    text = f"{MSH}\rNTE|1||{field}\r"
    assert refused(text)[0] == "not_well_formed"
    assert rebuilt(text, escapes="any") == text.encode()


@pytest.mark.parametrize("policy", [{}, {"escapes": "any"}])
@pytest.mark.parametrize(
    "body", ["X0D", "X410A", "X1C0D", "X00", "X7F", "XC285", "XE280AE", "XEFBBBF"]
)
def test_hexadecimal_controls_are_refused_everywhere(body: str, policy: dict[str, str]) -> None:
    text = f"{MSH}\rOBX|1|ST|||ok\\{body}\\PID"
    assert refused(text, **policy) == ("control_character", "OBX-5 (segment 2)")


def test_hexadecimal_line_breaks_pass_where_the_channel_says_so() -> None:
    text = f"{MSH}\rOBX|1|FT|||a\\X0D0A\\b\\X0A\\c\r"
    assert rebuilt(text, hex_line_breaks=True) == text.encode()
    assert refused(text.replace("X0A", "X0B"), hex_line_breaks=True)[0] == "control_character"


@pytest.mark.parametrize(
    ("field", "value", "reason", "place"),
    [
        (9, "", "header_incomplete", "MSH-9"),
        (9, "ADT~ADT", "not_well_formed", "MSH-9"),
        (9, "ADT^A01&B", "not_well_formed", "MSH-9"),
        (9, "ADT^A 01", "not_well_formed", "MSH-9"),
        (10, "", "header_incomplete", "MSH-10"),
        (10, "a^b", "not_well_formed", "MSH-10"),
        (10, "x" * 200, "limit_exceeded", "MSH-10"),
        (11, "", "header_incomplete", "MSH-11"),
        (11, "PP", "not_well_formed", "MSH-11"),
        (12, "", "header_incomplete", "MSH-12"),
        (12, "3.0", "version_not_allowed", "MSH-12"),
        (12, "2.999", "version_not_allowed", "MSH-12"),
    ],
)
def test_a_strict_header_is_complete(field: int, value: str, reason: str, place: str) -> None:
    fields = MSH.split("|")
    fields[field - 1] = value
    assert refused("|".join(fields)) == (reason, place)


def test_a_lax_header_needs_a_type_only() -> None:
    verdict = validator(header="lax").validate(b"MSH|^~\\&|||||||ADT^A01")
    assert verdict == Accepted(b"MSH|^~\\&|||||||ADT^A01\r", "ADT^A01", None)
    assert refused("MSH|^~\\&|HIS", header="lax") == ("header_incomplete", "MSH-9")


def test_type_and_control_id_are_told() -> None:
    verdict = validator().validate(MSH.encode())
    assert isinstance(verdict, Accepted)
    assert (verdict.message_type, verdict.control_id) == ("ADT^A01^ADT_A01", "4711")


@pytest.mark.parametrize(
    ("pattern", "kind", "allowed"),
    [
        ("ADT^A01", "ADT^A01", True),
        ("ADT^A01", "ADT^A01^ADT_A01", True),
        ("ADT^A01", "ADT^A02", False),
        ("ADT^A01^ADT_A01", "ADT^A01^ADT_A01", True),
        ("ADT^A01^ADT_A01", "ADT^A01", False),
        ("ADT^*", "ADT^A45^ADT_A45", True),
        ("ADT^*", "ORU^R01", False),
        ("*^A01", "x", False),
        ("ACK", "ACK", True),
        ("ACK", "ACK^A01", False),
        ("ADT^*^ADT_A01", "ADT^A04^ADT_A01", True),
        ("ADT^*^ADT_A01", "ADT^A40^ADT_A39", False),
        ("*", "ZZZ^Z01", True),
    ],
)
def test_the_whitelist_of_types(pattern: str, kind: str, *, allowed: bool) -> None:
    if pattern.startswith("*^"):
        with pytest.raises(ValueError, match="write a message type"):
            validator(messages=(pattern,))
        return
    verdict = validator(messages=(pattern,)).validate(MSH.replace("ADT^A01^ADT_A01", kind).encode())
    assert isinstance(verdict, Accepted) is allowed
    if isinstance(verdict, Rejected):
        assert verdict.reason is reasons.MESSAGE_TYPE_NOT_ALLOWED


def test_the_whitelist_of_segments_and_versions() -> None:
    text = f"{MSH}\rPID|1\rZPI|1"
    assert refused(text, segments=("PID",)) == ("segment_not_allowed", "ZPI (segment 3)")
    assert rebuilt(text, segments=("PID", "Z*"))
    assert rebuilt(text, segments=("PID", "ZPI"))
    assert refused(text, segments=("Z*",)) == ("segment_not_allowed", "PID (segment 2)")
    assert refused(text, versions=("2.4", "2.5.1")) == ("version_not_allowed", "MSH-12")
    assert rebuilt(text, versions=("2.5",))


VISIT = f"{MSH}|||||CHN|UNICODE UTF-8\rPID|1||77^^^H~78||Wang^Wu||19800101\rNTE|1|L|free text\r"


def test_only_the_fields_that_a_channel_names_may_be_filled() -> None:
    named = ("MSH-17", "PID-1", "PID-3", "PID-5", "PID-7", "NTE-*")
    assert rebuilt(VISIT, fields=named) == VISIT.encode()
    for dropped, place in (
        ("PID-7", "PID-7 (segment 2)"),
        ("MSH-17", "MSH-17 (segment 1)"),
        ("NTE-*", "NTE-1 (segment 3)"),
    ):
        fewer = tuple(name for name in named if name != dropped)
        assert refused(VISIT, fields=fewer) == ("field_not_allowed", place)


def test_other_fields_are_emptied_where_the_channel_strips() -> None:
    stripped = rebuilt(VISIT, fields=("PID-3", "PID-7"), unknown_fields="strip")
    header = f"{MSH}||||||UNICODE UTF-8"
    assert stripped.decode() == f"{header}\rPID|||77^^^H~78||||19800101\rNTE\r"
    with pytest.raises(ValueError, match="strip nothing"):
        validator(fields=("PID-3",), unknown_fields="strip", fidelity="verbatim")


def test_an_empty_field_and_hl7s_null_are_two_things() -> None:
    assert rebuilt(f"{MSH}\rPID|1||||^^^", fields=("PID-1",))
    assert refused(f'{MSH}\rPID|1||||""', fields=("PID-1",))[0] == "field_not_allowed"


def test_required_fields_are_filled_in_every_segment_of_their_name() -> None:
    assert rebuilt(VISIT, required=("PID-3", "NTE-3", "MSH-17"))
    assert refused(VISIT, required=("PID-3", "PID-8")) == ("field_missing", "PID-8 (segment 2)")
    assert refused(VISIT, required=("PV1-2",)) == ("field_missing", "PV1-2")
    two = f"{VISIT}NTE|2|L\r"
    assert refused(two, required=("NTE-3",)) == ("field_missing", "NTE-3 (segment 4)")
    # What is stripped is not filled.
    places = {"fields": ("PID-3",), "unknown_fields": "strip", "required": ("PID-5",)}
    assert refused(VISIT, **places) == ("field_missing", "PID-5 (segment 2)")


def test_a_required_component_is_filled_in_every_repetition() -> None:
    policy = {"required": ("PID-3.1",)}
    assert rebuilt(f"{MSH}\rPID|1||77^^^H~78\r", **policy)
    assert rebuilt(f"{MSH}\rPID|1||77\r", **policy)
    for field in ("^^^H", "77~^^^H", ""):
        told = ("field_missing", "PID-3.1 (segment 2)")
        assert refused(f"{MSH}\rPID|1||{field}|x\r", **policy) == told
    assert refused(f"{MSH}\rPV1|1\r", **policy) == ("field_missing", "PID-3.1")


@pytest.mark.parametrize(
    ("rule", "fits", "breaks", "reason"),
    [
        ({"at": "PID-8", "values": ["M", "F"]}, ["M", "M~F", ""], ["m", "X", '""', "M^x"], "value"),
        ({"at": "PID-8", "values": ['""']}, ['""'], ["M"], "value"),
        ({"at": "PID-8.2", "values": ["M"]}, ["x", "x^M", "x^M~y"], ["x^N", "x^M~y^N"], "value"),
        ({"at": "PID-8.1", "values": ["M"]}, ["M", "M^x", "^x"], ["x^M", "M&x"], "value"),
        (
            {"at": "PID-8", "chars_max": 3},
            ["abc", "a^b~a^b", "\u738b\u82b3\u738b"],
            ["a^bc", "abcd"],
            "limit",
        ),
        ({"at": "PID-8.2", "chars_max": 1}, ["abc^d", "abc"], ["a^bc", "a^b&c"], "limit"),
        ({"at": "PID-8", "repetitions_max": 1}, ["a", "a~", ""], ["a~b", "~b"], "limit"),
    ],
)
def test_rules_say_what_may_stand_in_a_field(rule, fits, breaks, reason) -> None:
    for text in fits:
        assert rebuilt(f"{MSH}\rPID|1|||||||{text}\r", rules=[rule])
    for text in breaks:
        code, place = refused(f"{MSH}\rNTE|1\rPID|1|||||||{text}\r", rules=[rule])
        assert code.startswith(reason)
        assert place.startswith(f"{rule['at']} (segment 3)")


def test_a_rule_holds_in_every_segment_of_its_name_and_in_the_header() -> None:
    rule = {"at": "OBX-8", "values": ["N"]}
    assert refused(f"{MSH}\rOBX|1|||||||N\rOBX|2|||||||H\r", rules=[rule]) == (
        "value_not_allowed",
        "OBX-8 (segment 3)",
    )
    assert refused(f"{MSH}\r", rules=[{"at": "MSH-11", "values": ["T"]}])[1] == "MSH-11 (segment 1)"


@pytest.mark.parametrize(
    "rule", [{"at": "PID-8"}, {"at": "PID-*", "chars_max": 1}, {"at": "PID", "chars_max": 1}]
)
def test_a_rule_that_says_nothing_is_no_policy(rule) -> None:
    with pytest.raises(ValueError, match="rules"):
        validator(rules=[rule])


@pytest.mark.parametrize("name", ["PID", "PID-0", "pid-3", "PID-3.1.2", "PID-", "PID-1000", "*"])
def test_a_field_that_is_none_is_no_policy(name: str) -> None:
    for key in ("fields", "required"):
        with pytest.raises(ValueError, match="write a field"):
            validator(**{key: (name,)})


@pytest.mark.parametrize(
    ("limit", "most", "body"),
    [
        ("segments_max", 3, "NTE|1\rNTE|2{more:\rNTE|3}"),
        ("fields_max", 15, "NTE" + "|x" * 15 + "{more:|x}"),
        ("field_chars_max", 200, "NTE|" + "x" * 200 + "{more:x}"),
        ("repetitions_max", 4, "NTE|a~b~c~d{more:~e}"),
        ("components_max", 4, "NTE|a^b^c^d{more:^e}"),
        ("components_max", 4, "NTE|a&b&c&d{more:&e}"),
    ],
)
def test_limits_are_inclusive(limit: str, most: int, body: str) -> None:
    within, more = body.removesuffix("}").split("{more:")
    assert rebuilt(f"{MSH}\r{within}", **{limit: most})
    assert refused(f"{MSH}\r{within}{more}", **{limit: most})[0] == "limit_exceeded"


def test_nothing_is_no_message() -> None:
    assert refused("") == ("message_empty", "")
    assert refused("\r\r")[0] == "not_well_formed"


def test_the_size_limit_holds_for_what_comes_in_and_for_what_goes_out() -> None:
    most = len(MSH) + len("\rNTE|12345\r")
    assert rebuilt(f"{MSH}\rNTE|12345", message_bytes_max=most)
    assert refused(f"{MSH}\rNTE|12345|||", message_bytes_max=most)[0] == "limit_exceeded"
    # One byte below the limit as it came; the segment end that is added takes it past.
    assert refused(f"{MSH}\rNTE|123456", message_bytes_max=most)[0] == "limit_exceeded"
