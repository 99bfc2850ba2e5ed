"""Where data could hide in JSON and FHIR: refused, or gone on the other side."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from tests.simulator.hiding import HIDDEN, Place, check

WORD = HIDDEN.encode()
SCHEMA = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "maxLength": 8},
            "fee": {"type": "number"},
            "pdf": {"type": "string"},
        },
    }
).encode()
PDF = base64.b64encode(b"%PDF-1.7 a report").decode()
CLEAN = json.dumps({"id": "A1", "fee": 5, "pdf": PDF}).encode()
POLICY = {
    "json": {
        "schema_file": "s.json",
        "schema_sha256": hashlib.sha256(SCHEMA).hexdigest(),
        "files": [{"at": "/pdf", "types": ["application/pdf"]}],
    }
}
INSIDE = CLEAN[:-1] + b", %s}"

JSON_PLACES = [
    Place("an unknown key", INSIDE % b'"QX7hiddenWORD": 1', ("schema_mismatch",)),
    Place("a duplicate key", INSIDE % b'"id": "QX7hiddenWORD"', ("duplicate_key",)),
    Place("a duplicate key, escaped", INSIDE % b'"\\u0069d": "B2"', ("duplicate_key",)),
    Place("a comment", CLEAN + b"/* " + WORD + b" */", ("not_well_formed",)),
    Place("a comment inside", INSIDE % (b"// " + WORD + b"\n"), ("not_well_formed",)),
    Place("behind the text", CLEAN + WORD, ("not_well_formed",)),
    Place("a second text", CLEAN + b'\n{"id": "' + WORD + b'"}', ("not_well_formed",)),
    Place("behind a NUL", CLEAN + b"\0" + WORD, ("not_well_formed",)),
    Place("before the text", WORD + CLEAN, ("not_well_formed",)),
    Place("white space as bits", CLEAN.replace(b" ", b" \t\n\r \t") + b"\t \n", "gone"),
    Place("order of keys", json.dumps({"pdf": PDF, "fee": 5, "id": "A1"}).encode(), "gone"),
    Place("escapes as bits", CLEAN.replace(b'"A1"', b'"\\u0041\\u0031"'), "gone"),
    Place("spelling of numbers", CLEAN.replace(b"5,", b"-0,").replace(b"-0,", b"5,"), "gone"),
    Place("over-long UTF-8", CLEAN.replace(b"A1", b"\xc1\x81\xc0\xb1"), ("not_decodable",)),
    Place("a lone surrogate", CLEAN.replace(b"A1", b"\\ud841"), ("not_well_formed",)),
    Place("tag characters", CLEAN.replace(b"A1", b"\xf3\xa0\x81\x91"), ("control_character",)),
    Place("zero-width spaces", CLEAN.replace(b"A1", b"A\xe2\x80\x8b1"), ("control_character",)),
    Place("UTF-16", HIDDEN.join('{"id":""}').encode("utf-16"), ("not_decodable",)),
    Place("line breaks in base64", CLEAN.replace(b"JVBE", b"JV\\r\\n\\t BE"), "gone"),
    Place("spare bits of base64", CLEAN.replace(b"cnQ=", b"cnR="), ("not_well_formed",)),
    Place("behind base64's end", CLEAN.replace(b"cnQ=", b"cnQ=" + WORD), ("not_well_formed",)),
    Place("base64 of another alphabet", CLEAN.replace(b"JVBE", b"J-_E"), ("not_well_formed",)),
]


@pytest.mark.parametrize("place", JSON_PLACES, ids=str)
def test_json(place: Place) -> None:
    check(place, CLEAN, POLICY, **{"s.json": SCHEMA})


PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": "王", "given": ["芳"]}],
    "photo": [{"contentType": "application/pdf", "data": PDF}],
}
FHIR_CLEAN = json.dumps(PATIENT).encode()
FHIR_POLICY = {
    "fhir": {
        "version": "R4",
        "resources": ["Patient"],
        "elements": ["Patient.name", "Patient.photo", "Patient.text"],
        "unknown_elements": "strip",
        "unknown_extensions": "strip",
        "attachments": ["application/pdf"],
    }
}
REFUSING = {"unknown_elements": "refuse", "unknown_extensions": "refuse"}
EXTENSION = [{"url": "urn:x", "valueString": HIDDEN}]
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'


def with_(**more: object) -> bytes:
    return json.dumps(PATIENT | more).encode()


def name(**more: object) -> bytes:
    return with_(name=[PATIENT["name"][0] | more])


def narrated(inside: str) -> bytes:
    return with_(text={"status": "generated", "div": DIV % inside})


STRIPPED = {
    "an unknown element": with_(hidden=HIDDEN),
    "a comment of DSTU2": with_(fhir_comments=[HIDDEN]),
    "an element that is not named": with_(birthDate="1980-02-29"),
    "an extension": with_(extension=EXTENSION),
    "an extension of a data type": name(extension=EXTENSION),
    "an extension of a primitive": name(_family={"extension": EXTENSION}),
    "an extension in an array's twin": name(_given=[{"extension": EXTENSION}]),
    "language": with_(language=HIDDEN),
    "a contained resource": with_(contained=[{"resourceType": "Patient", "id": HIDDEN}]),
    "meta": with_(meta={"tag": [{"code": HIDDEN}]}),
}
FHIR_PLACES = [
    *(Place(where, message, "gone") for where, message in STRIPPED.items()),
    *(
        Place(
            f"{where}, refusing",
            message,
            ("element_not_allowed", "schema_mismatch", "not_well_formed"),
            REFUSING,
        )
        for where, message in STRIPPED.items()
    ),
    Place("a modifier extension", with_(modifierExtension=EXTENSION), ("element_not_allowed",)),
    Place("a narrative", narrated(HIDDEN), "gone"),
    Place(
        "a narrative of its own",
        with_(text={"status": "additional", "div": DIV % HIDDEN}),
        ("element_not_allowed",),
    ),
    Place("a duplicate key", FHIR_CLEAN[:-1] + b', "name": []}', ("duplicate_key",)),
    Place("line breaks in base64", FHIR_CLEAN.replace(b"JVBE", b"JV\\r\\n BE"), "gone"),
    Place("behind the file's base64", FHIR_CLEAN.replace(b"=", b"=" + WORD), ("not_well_formed",)),
]


@pytest.mark.parametrize("place", FHIR_PLACES, ids=str)
def test_fhir(place: Place) -> None:
    check(place, FHIR_CLEAN, FHIR_POLICY)


NARRATIVES = [
    Place("a comment", narrated(f"a<!-- {HIDDEN} -->b"), "gone"),
    Place("a processing instruction", narrated(f"a<?{HIDDEN} {HIDDEN}?>b"), "gone"),
    Place("CDATA", narrated("<![CDATA[ab]]>"), "gone"),
    Place(
        "an unused namespace",
        narrated("ab").replace(b"<div ", b"<div xmlns:x='urn:QX7hiddenWORD' "),
        "gone",
    ),
    Place("an entity", narrated(f"<!ENTITY {HIDDEN}>"), ("not_well_formed",)),
    Place("an unknown attribute", narrated(f'<b onclick="{HIDDEN}"/>'), ("element_not_allowed",)),
    Place("a picture from elsewhere", narrated(f'<img src="{HIDDEN}"/>'), ("element_not_allowed",)),
    Place("behind the div", narrated("ab").replace(b"</div>", b"</div>x"), ("not_well_formed",)),
]


@pytest.mark.parametrize("place", NARRATIVES, ids=str)
def test_narratives(place: Place) -> None:
    check(place, narrated("ab"), {"fhir": FHIR_POLICY["fhir"] | {"narrative": "allow"}})
