"""De-identified messages and instances: what comes out, the channel's own validator accepts."""

from __future__ import annotations

import hashlib
import json

from tests.fuzz import csv_tables, dicom, fhir, hl7v2, json_messages, xml_messages
from tests.fuzz.harness import Harness, hold
from validators.deidentify.families import Deidentification, Examiner, deidentifier
from validators.dicom.validator import judge_whole
from validators.policy import ContentPolicy
from validators.policy.deidentify import DeidentificationPolicy
from validators.registry import build
from validators.verdict import Accepted

_ANY_SCHEMA = b"{}"
_CONTENTS = (
    {"hl7v2": {"messages": ["*"], "segments": "any", "header": "lax"}},
    {"fhir": {"version": "R4", "resources": "any", "extensions": "any"}},
    {"xml": {"roots": "any", "elements": "any", "cda": {"documents": "any"}}},
    {
        "json": {
            "schema_file": "any.json",
            "schema_sha256": hashlib.sha256(_ANY_SCHEMA).hexdigest(),
        }
    },
)
_PLACES = {"json": {"patient": "/id", "places": [{"at": "/name", "holds": "name"}]}}


def _made(content: dict[str, object]) -> tuple[object, object]:
    policy = ContentPolicy.model_validate(content)
    validator = build(policy, {"any.json": _ANY_SCHEMA})
    return validator, _deidentifier(policy, _PLACES.get(next(iter(content)), {}))


def _deidentifier(policy: ContentPolicy, more: dict[str, object]) -> Examiner:
    described = DeidentificationPolicy.model_validate(
        {"key": "research", "leftovers": "blank", "files": "remove", "without_patient": "year"}
        | more
    )
    validator = build(policy, {"any.json": _ANY_SCHEMA})
    return deidentifier(Deidentification(described, bytes(32)), policy, validator)


_CHANNELS = [_made(content) for content in _CONTENTS]


_IMAGES = ContentPolicy.model_validate({"dicom": {"sop_classes": "any", "header": "lax"}})


def _check_instance(data: bytes) -> None:
    remover = _deidentifier(_IMAGES, {})
    verdict = remover.examine(data).verdict
    assert verdict == remover.examine(data).verdict, "not the same twice"
    if isinstance(verdict, Accepted):
        again = judge_whole(build(_IMAGES, {}), verdict.payload)
        assert getattr(again, "payload", b"") == verdict.payload, "not as the ferry writes it"


def check(data: bytes) -> None:
    if data[128:132] == b"DICM":
        _check_instance(data)
        return
    for validator, remover in _CHANNELS:
        verdict = remover.validate(data)
        assert verdict == remover.validate(data), "not the same twice"
        if hasattr(verdict, "payload"):
            hold(validator, verdict.payload)
            assert hasattr(validator.validate(verdict.payload), "payload"), "refused afterwards"


def seeds() -> list[bytes]:
    families = (hl7v2, fhir, xml_messages, json_messages, csv_tables, dicom)
    person = {"id": "4711", "name": "王芳", "note": "王芳 13800000000"}
    return [
        *(seed for family in families for seed in family.seeds()),
        json.dumps(person).encode(),
    ]


HARNESS = Harness(
    check,
    seeds,
    ("hl7v2/", "fhir/", "cda/", "dicom"),
    (b"|PID|", b'"birthDate":', b"13800000000", b"110101199003070011", b"19800229", b"1980-02-29"),
)
