"""The header of any bytes, and the acknowledgements made from it and read from sinks."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from validators.hl7v2.acknowledgement import Ack, build_ack, parse_ack, refusal_code
from validators.hl7v2.header import MessageHeader, read_header
from validators.hl7v2.validator import HL7v2Validator
from validators.policy import HL7v2Policy
from validators.verdict import Accepted

MSH = "MSH|^~\\&|HIS|HOSP|EMR|LAB|20260101||ADT^A01^ADT_A01|47/11|P|2.5|||AL|NE||{charset}"
NOW_MS = 1_790_000_000_000


def header(text: str | bytes, default: str = "UTF-8") -> MessageHeader:
    found = read_header(text if isinstance(text, bytes) else text.encode(), default)
    assert found is not None
    return found


def test_fields_are_those_of_the_standard() -> None:
    found = header(MSH.format(charset="UTF-8") + "\rPID|1")
    assert found.sending_application == "HIS"
    assert found.sending_facility == "HOSP"
    assert found.receiving_application == "EMR"
    assert found.receiving_facility == "LAB"
    assert found.message_type == "ADT^A01^ADT_A01"
    assert found.control_id == "47/11"
    assert found.processing_id == "P"
    assert found.version == "2.5"
    assert found.accept_acknowledgement == "AL"
    assert found.application_acknowledgement == "NE"
    assert found.character_set == "UTF-8"
    assert found.enhanced
    assert not header("MSH|^~\\&|HIS").enhanced


def test_a_header_in_gbk_gives_its_own_bytes_back() -> None:
    text = MSH.format(charset="GB18030").replace("HOSP", "亅乗医院")
    found = header(text.encode("gb18030"))
    assert found.sending_facility == "亅乗医院"
    bare = MSH.format(charset="").replace("HOSP", "亅乗医院")
    assert header(bare.encode("gb18030"), "GB18030").sending_facility == "亅乗医院"
    assert header(bare.encode("gb18030")).codec == "iso8859-1"


@pytest.mark.parametrize(
    "junk", [b"", b"MSH", b"PID|1", b"GET / HTTP/1.1\r\n", b"\x00" * 99, b"\xff\xfe" + b"M\0S\0"]
)
def test_junk_has_no_header(junk: bytes) -> None:
    assert read_header(junk) is None


def test_a_line_without_end_is_read_no_further_than_its_bound() -> None:
    endless = MSH.format(charset="").encode() + b"|" + b"x" * 50_000_000
    assert header(endless).control_id == "47/11"


def test_duplicate_keys_do_not_collide() -> None:
    one = header("MSH|^~\\&|a|b|c|d|||ADT|1").duplicate_key
    other = header("MSH|^~\\&|a|bc||d|||ADT|1").duplicate_key
    assert one is not None
    assert other is not None
    assert one != other
    assert header("MSH|^~\\&|a|b|c|d|||ADT|").duplicate_key is None


def ack(text: str | bytes, code: str = "AA", reason: reasons.Reason | None = None) -> bytes:
    return build_ack(header(text), code, reason, "F1", NOW_MS)  # type: ignore[arg-type]


def test_the_acknowledgement_mirrors_the_header() -> None:
    assert ack(MSH.format(charset="UTF-8")) == (
        b"MSH|^~\\&|EMR|LAB|HIS|HOSP|20260921141320+0000||ACK^A01^ACK|F1|P|2.5||||||UTF-8\r"
        b"MSA|AA|47/11\r"
    )


def test_from_2_5_on_the_reason_stands_in_err() -> None:
    answer = ack(MSH.format(charset=""), "AR", reasons.MESSAGE_TYPE_NOT_ALLOWED).decode()
    msa, err = answer.split("\r")[1:3]
    assert msa == "MSA|AR|47/11"
    assert err.split("|")[3] == "200^Unsupported message type^HL70357"
    assert err.split("|")[4] == "E"
    assert err.split("|")[5].startswith("message_type_not_allowed^")
    assert err.split("|")[8].startswith("message_type_not_allowed: ")


@pytest.mark.parametrize("version", ["2.1", "2.3", "2.3.1", "2.4"])
def test_before_2_5_the_reason_stands_in_msa_3(version: str) -> None:
    text = MSH.format(charset="").replace("|2.5|", f"|{version}|")
    answer = ack(text, "AE", reasons.MEDIUM_FULL).decode()
    assert "\rMSA|AE|47/11|medium_full\rERR|^^^207&medium_full&HL70357\r" in answer
    assert ("ACK^A01^ACK|" in answer) is (version in {"2.3.1", "2.4"})


def test_other_separators_and_charsets_are_kept_and_our_text_is_escaped() -> None:
    text = "MSH$%_!@$医$$B$$$$ADT%A01$7$P$2.5$$$$$$GBK".encode("gbk")
    answer = ack(text, "AR", reasons.HEADER_INCOMPLETE)
    fields = answer.decode("gbk").split("\r")[2].split("$")
    assert answer.decode("gbk").startswith("MSH$%_!@$B$$医$")
    assert fields[5].startswith("header!R!incomplete%")


def test_a_control_character_is_not_mirrored() -> None:
    answer = ack(b"MSH|^~\\&|a\x1c|b|c|d|||ADT^A01|9\x0b|P|2.5")
    assert b"\x1c" not in answer
    assert b"\x0b" not in answer
    assert b"\rMSA|AA\r" in answer


def test_nothing_of_the_payload_is_in_it() -> None:
    answer = ack(MSH.format(charset="") + "\rPID|1||SECRET", "AR", reasons.NOT_WELL_FORMED)
    assert b"SECRET" not in answer


def test_our_own_acknowledgement_is_valid_and_read_back() -> None:
    for reason in (None, *reasons.BY_CODE.values()):
        answer = ack(MSH.format(charset="UTF-8"), "AA" if reason is None else "AR", reason)
        policy = HL7v2Policy(messages=("ACK^*",), segments=("MSA", "ERR"))
        assert isinstance(HL7v2Validator(policy).validate(answer), Accepted)
        found = parse_ack(answer)
        assert found is not None
        assert found.control_id == "47/11"
        assert (found.error_code is None) is (reason is None)


def test_who_must_act_decides_between_error_and_reject() -> None:
    assert refusal_code(reasons.MEDIUM_FULL, enhanced=False) == "AE"
    assert refusal_code(reasons.MEDIUM_FULL, enhanced=True) == "CE"
    assert refusal_code(reasons.NOT_WELL_FORMED, enhanced=False) == "AR"
    assert refusal_code(reasons.NOT_WELL_FORMED, enhanced=True) == "CR"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("MSA|AA|1", Ack("AA", "1", None)),
        ("MSA|CE|x/y", Ack("CE", "x/y", None)),
        ("SFT|1\rMSA|AR|1|text\rERR|||207^x^HL70357|E", Ack("AR", "1", "207")),
        ("MSA|AE|1\rERR|PID^1^5^101&missing&HL70357", Ack("AE", "1", "101")),
        ("MSA|AE|1\rERR|||20 7^x|E", Ack("AE", "1", None)),
        ("MSA|AA", Ack("AA", "", None)),
        ("MSA|OK|1", None),
        ("MSA|aa|1", None),
        ("MSA", None),
        ("PID|1", None),
        ("MSA|AA|1\rMSA|AR|1", None),
        ("MSA|AA|1" + "x" * 70_000, None),
    ],
)
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_sinks_answer(body: str, expected: Ack | None, end: str) -> None:
    text = f"MSH|^~\\&|EMR||HIS||2026||ACK|5|P|2.5\r{body}\r".replace("\r", end)
    assert parse_ack(text.encode()) == expected


@pytest.mark.parametrize("junk", [b"", b"MSA|AA|1\r", b"HTTP/1.1 200 OK", b"MSH|^~\\&\xff\rMSA|AA"])
def test_junk_is_no_answer(junk: bytes) -> None:
    found = parse_ack(junk)
    assert found is None or found == Ack("AA", "", None)
