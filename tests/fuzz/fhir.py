"""FHIR resources of both versions, with everything let through and with everything stripped."""

from __future__ import annotations

import json

from tests.fuzz.harness import MARK, Harness, hold, validators

_OPEN = {
    "resources": "any",
    "extensions": "any",
    "attachment_urls": ("https://pacs.example/",),
    "narrative": "allow",
    "bundles": ("document", "message", "collection", "batch", "transaction", "searchset"),
    "attachments": ("application/pdf", "text/plain", "image/png"),
}
_CHANNELS = validators(
    {"fhir": _OPEN | {"version": "R4"}},
    {"fhir": _OPEN | {"version": "R5", "elements_max": 200, "entries_max": 4}},
    {
        "fhir": {
            "version": "R4",
            "resources": ("Patient", "Observation", "Bundle"),
            "elements": ("Patient.name", "Patient.identifier", "Observation", "Bundle"),
            "unknown_elements": "strip",
            "unknown_extensions": "strip",
        }
    },
)


def check(data: bytes) -> None:
    for channel in _CHANNELS:
        hold(channel, data)


def seeds() -> list[bytes]:
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "extension": [{"url": "urn:x", "valueString": MARK}],
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{MARK}</p></div>',
        },
        "name": [{"family": MARK, "given": ["芳", None], "_given": [None, {"id": "g"}]}],
        "birthDate": "1980-02-29",
        "photo": [{"contentType": "application/pdf", "data": "JVBERi0xLjc="}],
        "contained": [{"resourceType": "Organization", "id": "o", "name": MARK}],
        "managingOrganization": {"reference": "#o"},
    }
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1-8"}], "text": MARK},
        "valueQuantity": {"value": 5.10, "unit": "mmol/l", "system": "urn:u", "code": "mmol/L"},
    }
    entry = {"fullUrl": "urn:uuid:0", "resource": observation}
    request = {"method": "PUT", "url": "Patient/p1"}
    bundles = [
        {"resourceType": "Bundle", "type": "collection", "entry": [entry]},
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"resource": patient, "request": request}],
        },
    ]
    return [json.dumps(each).encode() for each in (patient, observation, *bundles)]


HARNESS = Harness(
    check,
    seeds,
    ("fhir/", "malicious/gen_json/"),
    rb"""
    "resourceType":" "Patient" "Bundle" "extension":[ "modifierExtension":[ "contained":[ "_given":
    "div":"<div> "data":" "reference":"# "valueBase64Binary": javascript: &#x <![CDATA[ null
    """.split(),
)
