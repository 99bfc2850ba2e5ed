"""Files inside messages are judged alike wherever a family lets them stand."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.unit.validators.test_xml import call, document, escaped
from validators.policy import ContentPolicy
from validators.registry import build
from validators.verdict import Rejected

MEGABYTE = 1024 * 1024
ANY_JSON = {
    "schema_file": "any.json",
    "schema_sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
}
XML = {"roots": "any", "elements": "any"}
MSH = "MSH|^~\\&|A|B|C|D|20260101||ORU^R01|1|P|2.5\r"


def hl7(digits: str, kind: str) -> bytes:
    return f"{MSH}OBX|1|ED|X||^{kind.replace('/', '^')}^Base64^{digits}\r".encode()


def fhir(digits: str, kind: str) -> bytes:
    photo = {"contentType": kind, "data": digits}
    return json.dumps({"resourceType": "Patient", "photo": [photo]}).encode()


def binary(digits: str, kind: str) -> bytes:
    return json.dumps({"resourceType": "Binary", "contentType": kind, "data": digits}).encode()


def cda_body(digits: str, kind: str) -> bytes:
    text = f'<text mediaType="{kind}" representation="B64">{digits}</text>'
    return document(f"<component><nonXMLBody>{text}</nonXMLBody></component>").encode()


def cda_value(digits: str, kind: str) -> bytes:
    value = f'<value mediaType="{kind}" representation="B64">{digits}</value>'
    return document(f"<component>{value}</component>").encode()


def cda_in_a_call(digits: str, kind: str) -> bytes:
    return call(escaped(cda_value(digits, kind).decode())).encode()


def plain_json(digits: str, _kind: str) -> bytes:
    return json.dumps({"reports": [{"pdf": None}, {"pdf": digits}]}).encode()


def policy(family: Callable[..., bytes], types: list[str], bytes_max: int) -> dict[str, Any]:
    limits = {"attachments": types, "attachment_bytes_max": bytes_max}
    cda = {"xml": XML | {"cda": {"documents": "any"} | limits}}
    if family is hl7:
        return {"hl7v2": {"messages": ["*"], "segments": "any"} | limits}
    if family in {fhir, binary}:
        return {"fhir": {"version": "R4", "resources": "any"} | limits}
    if family is cda_in_a_call:
        return {"xml": cda["xml"] | {"soap": "strip", "call": {"actions": "any"}}}
    if family is plain_json:
        file = {"at": "/reports/*/pdf", "types": types or ["image/png"], "bytes_max": bytes_max}
        return {"json": ANY_JSON | {"files": [file]}}
    return cda


def zipped(*entries: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return file.getvalue()


@cache
def bomb() -> bytes:
    return zipped(("zeros", bytes(65 * MEGABYTE)))


PDF = b"%PDF-1.7\n%\xe2\xe3\n"
ZIP = zipped(("a.txt", b"hello"))
FAMILIES = [hl7, fhir, binary, cda_body, cda_value, cda_in_a_call, plain_json]


def verdict_on(
    family: Callable[..., bytes],
    file: bytes,
    kind: str,
    types: list[str],
    bytes_max: int = MEGABYTE,
) -> str:
    """ "" where the file crosses, else the reason."""
    content = ContentPolicy.model_validate(policy(family, types, bytes_max))
    judge = build(content, {"any.json": b"{}"})
    digits = base64.b64encode(file).decode()
    verdict = judge.validate(family(digits, kind))
    if isinstance(verdict, Rejected):
        return verdict.reason.code
    assert digits.encode() in verdict.payload
    assert judge.validate(verdict.payload) == verdict
    return ""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize(
    ("file", "kind", "types", "reason"),
    [
        (PDF, "application/pdf", ["application/pdf"], ""),
        (PDF, "application/pdf", [], "attachment_not_allowed"),
        (PDF, "application/pdf", ["image/png"], "attachment_not_allowed"),
        (b"MZ\x90\0", "application/pdf", ["application/pdf"], "attachment_not_allowed"),
        (b"<html>", "application/pdf", ["application/pdf"], "attachment_not_allowed"),
        (b"plain", "text/plain", ["text/plain"], ""),
        (b"%PDF-1.7 in letters", "text/plain", ["text/plain"], "attachment_not_allowed"),
        (b" \n{\\rtf1 in letters}", "text/plain", ["text/plain"], "attachment_not_allowed"),
        (b"a\0b", "text/plain", ["text/plain"], "attachment_not_allowed"),
        (ZIP, "application/zip", ["application/pdf"], "attachment_not_allowed"),
        (ZIP, "application/zip", ["application/zip"], ""),
        (zipped(("a.zip", ZIP)), "application/zip", ["application/zip"], "attachment_not_allowed"),
        (zipped(("../a", b"x")), "application/zip", ["application/zip"], "attachment_not_allowed"),
        (ZIP + PDF, "application/zip", ["application/zip"], "attachment_not_allowed"),
        pytest.param(
            gzip.compress(ZIP),
            "application/gzip",
            ["application/gzip"],
            "attachment_not_allowed",
            id="archive in gzip",
        ),
        pytest.param(
            gzip.compress(b"x"), "application/gzip", ["application/gzip"], "", id="text in gzip"
        ),
    ],
)
def test_a_file_is_told_by_its_content_and_archives_are_looked_into(
    family, file: bytes, kind: str, types: list[str], reason: str
) -> None:
    assert verdict_on(family, file, kind, types) == reason


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_sizes_are_bounded_before_and_after_unpacking(family) -> None:
    png = b"\x89PNG\r\n\x1a\n".ljust(100, b"x")
    assert verdict_on(family, png, "image/png", ["image/png"], 100) == ""
    assert verdict_on(family, png + b"x", "image/png", ["image/png"], 100) == "limit_exceeded"
    assert verdict_on(family, bomb(), "application/zip", ["application/zip"]) == "limit_exceeded"
    many = zipped(*((str(number), b"") for number in range(1001)))
    assert verdict_on(family, many, "application/zip", ["application/zip"]) == "limit_exceeded"
