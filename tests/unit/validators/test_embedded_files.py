"""Files in HL7 v2 and in JSON: known by content, of the types that the channel names."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from validators.hl7v2.validator import HL7v2Validator
from validators.json_schema import JsonValidator
from validators.policy import HL7v2Policy, JsonPolicy
from validators.verdict import Accepted, Rejected, Verdict

PDF = b"%PDF-1.7 a report"
PROGRAM = b"MZ\x90\0\x03\0\0\0"
MSH = "MSH|^~\\&|LIS|H|EMR|H|20261124080000||ORU^R01^ORU_R01|4711|P|2.5"
ALLOWING = {"attachments": ["application/pdf", "text/plain", "image/jpeg"]}


def digits(data: bytes) -> str:
    return base64.b64encode(data).decode()


def oru(value: str, kind: str = "ED") -> bytes:
    return f"{MSH}\rOBX|1|{kind}|R^report||{value}||||||F\r".encode()


def judged(payload: bytes, **policy: object) -> Verdict:
    values = {"messages": ["*"], "segments": "any"} | policy
    validator = HL7v2Validator(HL7v2Policy.model_validate(values))
    verdict = validator.validate(payload)
    if isinstance(verdict, Accepted):
        assert validator.validate(verdict.payload) == verdict
    return verdict


def reason(verdict: Verdict) -> str:
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code


@pytest.mark.parametrize(
    "value",
    [
        f"LIS^application^pdf^Base64^{digits(PDF)}",
        f"LIS^AP^PDF^BASE64^{digits(PDF)}",
        f"^PDF^^Base64^{digits(PDF)}",
        f"^^^base64^{digits(PDF)}",
        f"^application^octet-stream^Base64^{digits(PDF)}",
        f"^application^pdf^Hex^{PDF.hex().upper()}",
        "LIS^TEXT^plain^A^a note of plain text",
        f"^IM^JPG^Base64^{digits(bytes([0xFF, 0xD8, 0xFF, 0xE0]))}",
        f"^^PDF^Base64^{digits(PDF)}~^^PDF^Base64^{digits(PDF + b' 2')}",
        '""',
        "",
    ],
)
def test_a_file_of_a_named_type_crosses_as_it_came(value: str) -> None:
    verdict = judged(oru(value), **ALLOWING)
    assert isinstance(verdict, Accepted), verdict
    assert verdict.payload == oru(value)


@pytest.mark.parametrize(
    "value",
    [
        f"LIS^application^pdf^Base64^{digits(PROGRAM)}",  # declared, and something else
        f"LIS^image^jpeg^Base64^{digits(PDF)}",
        f"LIS^application^vnd.ms-excel^Base64^{digits(PDF)}",
        f"^application^octet-stream^Base64^{digits(PROGRAM)}",
        f"^^PDF^Base64^{digits(PDF)}~^^PDF^Base64^{digits(PROGRAM)}",
    ],
)
def test_a_file_of_another_type_is_refused(value: str) -> None:
    verdict = judged(oru(value), **ALLOWING)
    assert reason(verdict) == "attachment_not_allowed"
    assert isinstance(verdict, Rejected)
    assert verdict.place == "OBX-5 (segment 2)"


def test_no_file_crosses_where_none_is_named() -> None:
    for kind in ("ED", "ed"):
        payload = oru(f"LIS^application^pdf^Base64^{digits(PDF)}", kind)
        assert reason(judged(payload)) == "attachment_not_allowed"
    assert isinstance(judged(oru("a^b^c^d^e", "CE")), Accepted)


@pytest.mark.parametrize(
    "value",
    [
        digits(PDF),  # a file where its source stands
        f"LIS^application^pdf^Base64^{digits(PDF)}^more",
        f"LIS^application^pdf^gzip^{digits(PDF)}",
        "LIS^application^pdf^Base64^QR==",  # spare bits
        f"LIS^application^pdf^Base64^{digits(PDF)}&more",
        "LIS^application^pdf^Hex^255",
        f"LIS^application&x^pdf^Base64^{digits(PDF)}",
    ],
)
def test_what_is_no_encapsulated_data_is_refused(value: str) -> None:
    assert reason(judged(oru(value), **ALLOWING)) == "not_well_formed"


@pytest.mark.parametrize("between", [" ", "\\.br\\", "\\X0D\\\\X0A\\", "\\X0D0A\\"])
def test_line_breaks_in_base64_go(between: str) -> None:
    whole = digits(PDF)
    broken = f"LIS^application^pdf^Base64^{whole[:8]}{between}{whole[8:]}"
    verdict = judged(oru(broken), hex_line_breaks=True, **ALLOWING)
    assert isinstance(verdict, Accepted), verdict
    assert verdict.payload == oru(f"LIS^application^pdf^Base64^{whole}")
    untouched = judged(oru(broken), hex_line_breaks=True, fidelity="verbatim", **ALLOWING)
    assert isinstance(untouched, Accepted)
    assert untouched.payload == oru(broken)


@pytest.mark.parametrize("spelt", [("Base64", digits(PDF)), ("Hex", PDF.hex().upper())])
def test_a_file_has_the_size_that_the_channel_takes(spelt: tuple[str, str]) -> None:
    payload = oru(f"LIS^application^pdf^{spelt[0]}^{spelt[1]}")
    fitting = judged(payload, attachment_bytes_max=len(PDF), **ALLOWING)
    assert isinstance(fitting, Accepted), fitting
    assert reason(judged(payload, attachment_bytes_max=len(PDF) - 1, **ALLOWING)) == (
        "limit_exceeded"
    )
    text = oru("LIS^TEXT^plain^A^eighteen characters")
    assert reason(judged(text, attachment_bytes_max=17, **ALLOWING)) == "limit_exceeded"


SCHEMA = json.dumps({"type": "object"}).encode()
FILES = [
    {"at": "/report/pdf", "types": ["application/pdf"], "bytes_max": 100},
    {"at": "/images/*/data", "types": ["image/jpeg", "image/png"]},
]


def judged_json(value: object) -> Verdict:
    policy = JsonPolicy.model_validate(
        {
            "schema_file": "s.json",
            "schema_sha256": hashlib.sha256(SCHEMA).hexdigest(),
            "files": FILES,
        }
    )
    validator = JsonValidator(policy, {"s.json": SCHEMA})
    verdict = validator.validate(json.dumps(value).encode())
    if isinstance(verdict, Accepted):
        assert validator.validate(verdict.payload) == verdict
    return verdict


def test_a_named_field_holds_a_file_of_a_named_type() -> None:
    jpeg, png = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"
    images = [{"data": digits(jpeg)}, {"data": digits(png)[:4] + "\n" + digits(png)[4:]}]
    verdict = judged_json({"report": {"pdf": digits(PDF)}, "images": images, "other": "a/b"})
    assert isinstance(verdict, Accepted), verdict
    assert json.loads(verdict.payload)["images"] == [
        {"data": digits(jpeg)},
        {"data": digits(png)},
    ]
    for nothing in ({}, {"report": {"pdf": None}}, {"report": [], "images": {"x": 1}}):
        assert isinstance(judged_json(nothing), Accepted)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"report": {"pdf": digits(PROGRAM)}}, "attachment_not_allowed"),
        ({"report": {"pdf": [digits(PDF)]}}, "attachment_not_allowed"),
        ({"images": [{}, {"data": digits(PDF)}]}, "attachment_not_allowed"),
        ({"images": {"first": {"data": digits(PROGRAM)}}}, "attachment_not_allowed"),
        ({"report": {"pdf": f"data:application/pdf;base64,{digits(PDF)}"}}, "not_well_formed"),
        ({"report": {"pdf": digits(PDF * 6)}}, "limit_exceeded"),
    ],
)
def test_another_file_in_a_named_field_is_refused(value: object, why: str) -> None:
    verdict = judged_json(value)
    assert reason(verdict) == why
    assert isinstance(verdict, Rejected)
    assert verdict.place.startswith(("/report/pdf", "/images/*/data"))


@pytest.mark.parametrize(
    "kind", ["&ED", "^ED", "ST~ED", "\\X4544\\", "", " ED", "E", "EDED", "E D", "E\\.br\\D"]
)
def test_a_filled_observation_has_one_plain_value_type(kind: str) -> None:
    for value in (f"LIS^application^pdf^Base64^{digits(PDF)}", "5", "text"):
        verdict = judged(oru(value, kind), **ALLOWING)
        assert reason(verdict) == "not_well_formed"
        assert isinstance(verdict, Rejected)
        assert verdict.place == "OBX-2 (segment 2)"
    assert isinstance(judged(oru("", kind)), Accepted)


@pytest.mark.parametrize(
    "value",
    [
        f"LIS^application^pdf^Base64^{digits(PDF)}",
        f"^^^ base64 ^{digits(PROGRAM)}",
        f"^^^Base\\X36\\4^{digits(PROGRAM)}",
        f"^^^&Base64^{digits(PROGRAM)}",
        f"^^^HEX^{PDF.hex()}",
        f"^^^Base64^!{digits(PDF)}",
        digits(PDF),
        digits(PDF).rstrip("="),
        f"a^b&{digits(PDF)}",
        f"text~{digits(PDF)}",
        f"{digits(PDF)[:3]} {digits(PDF)[3:]}",
        f"{digits(PDF)[:5]}\\.br\\{digits(PDF)[5:]}",
        f"\\X4A\\{digits(PDF)[1:]}",
        f"data:application/pdf;base64,{digits(PDF)}",
        digits(bytes(128) + b"DICM and more"),
        digits(b"\x1f\x8b\x08\0\0\0\0\0"),
    ],
)
@pytest.mark.parametrize("kind", ["ST", "TX", "FT", "CE", "XYZ", "RP"])
def test_a_file_is_judged_as_one_whatever_its_value_type(value: str, kind: str) -> None:
    assert reason(judged(oru(value, kind))) == "attachment_not_allowed"
    png_only = judged(oru(value, kind), attachments=["image/png"])
    assert reason(png_only) in {"attachment_not_allowed", "not_well_formed"}


def test_a_file_of_a_named_type_crosses_under_another_value_type() -> None:
    text = digits(PDF)
    for value in (text, f"LIS^application^pdf^Base64^{text}", f"note&{text}^b"):
        verdict = judged(oru(value, "TX"), **ALLOWING)
        assert isinstance(verdict, Accepted)
        assert value.encode() in verdict.payload
    broken = judged(oru(f"{text[:4]}\\.br\\{text[4:]}", "TX"), **ALLOWING)
    assert isinstance(broken, Accepted)
    assert text.encode() in broken.payload


@pytest.mark.parametrize(
    "value", ["5.0", "Staphylococcus aureus", "POSITIVE", "a" * 200, "20261124080000", "^^^HEX"]
)
def test_what_only_resembles_base64_is_text(value: str) -> None:
    assert isinstance(judged(oru(value, "ST")), Accepted)


@pytest.mark.parametrize("data", [digits(PDF), f"{digits(PDF)[:4]}\\.br\\{digits(PDF)[4:]}"])
def test_a_text_that_is_base64_of_a_file_is_no_text(data: str) -> None:
    assert reason(judged(oru(f"^TEXT^plain^A^{data}"), **ALLOWING)) == "attachment_not_allowed"
