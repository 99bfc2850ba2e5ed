"""Write docs/corpora.md, every file of the corpora judged: `python -m docs.make_corpora`.

Needs the corpora beside the project, or FERRY_CORPORA.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.simulator.corpora import Sample, samples
from validators.dicom.syntaxes import NAMES
from validators.dicom.validator import CONTENT_TYPE, DicomValidator, judge_whole
from validators.policy import ContentPolicy
from validators.registry import build
from validators.verdict import Accepted, Validator, Verdict

PAGE = Path(__file__).with_name("corpora.md")
SECONDS_MAX = 2.0

_ANY_SCHEMA = b"{}"
_SCHEMAS = {"any.json": _ANY_SCHEMA}
_ANY_JSON: dict[str, Any] = {
    "schema_file": "any.json",
    "schema_sha256": hashlib.sha256(_ANY_SCHEMA).hexdigest(),
}
_FHIR = {
    "resources": "any",
    "extensions": "any",
    "narrative": "allow",
    "bundles": (
        *("document", "message", "collection", "batch", "transaction", "history", "searchset"),
        *("batch-response", "transaction-response"),
    ),
    "request_methods": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    "attachment_urls": "any",
    "attachments": ("application/pdf", "image/jpeg", "image/png", "image/gif", "text/plain"),
}
_HL7 = {"hl7v2": {"messages": ["*"], "segments": "any"}}
_LAX_HL7 = {
    "hl7v2": _HL7["hl7v2"] | {"header": "lax", "escapes": "any", "fields_max": 1000},
}
_JSON = {"json": _ANY_JSON}
_XML = {"xml": {"roots": "any", "elements": "any"}}
_CSV = {"csv": {"columns": [{"name": "text"}], "header": False, "formulas": "allow"}}
_DICOM = {
    "dicom": {
        "sop_classes": "any",
        "transfer_syntaxes": tuple(NAMES),
        "unknown_elements": "allow",
        "private_creators": "any",
        "header": "lax",
        "values": "any",
        "default_charset": "ISO-8859-1",
    }
}
_FILES = {"json": _ANY_JSON | {"files": [{"at": "/file", "types": ["application/zip"]}]}}


@dataclass(frozen=True)
class Group:
    """Files judged alike. Accepted is what one of the channels accepts."""

    title: str
    folder: str
    channels: str
    policies: Sequence[dict[str, Any]]
    below: tuple[str, ...] = ("",)
    wrap: Callable[[bytes], bytes] = bytes
    notes: tuple[str, ...] = ()


def _as_file(data: bytes) -> bytes:
    return json.dumps({"file": base64.b64encode(data).decode()}).encode()


GROUPS = (
    Group(
        "HL7 v2",
        "hl7v2",
        "every type and segment, lax header, any escapes",
        [_LAX_HL7],
        notes=(
            (
                "Lax and accepted: gaps in the header (MSH-10 to MSH-12, MSH-18) and bare escape "
                "characters, which the channel allows."
            ),
            (
                "Valid and refused: batches, which the outer takes apart before; messages in HL7's "
                "XML encoding; letters "
                "as separators; "
                "a message without its first separators; a value without its type (OBX-2)."
            ),
        ),
    ),
    Group(
        "FHIR",
        "fhir",
        "R4 or R5, everything named",
        [{"fhir": _FHIR | {"version": version}} for version in ("R4", "R5")],
        notes=(
            (
                "Invalid and accepted: codes and displays of code systems, profiles, "
                "questionnaires, "
                "search expressions: nothing that the base definitions say."
            ),
            (
                "Valid and refused: STU3, elements of another version, logical models, "
                "pictures from "
                "the network in narratives, orphaned contained resources, characters "
                "and numbers that "
                "never cross."
            ),
        ),
    ),
    Group(
        "CDA",
        "cda",
        "every root and element",
        [_XML],
        notes=("Valid and refused: zero-width and direction marks in texts.",),
    ),
    Group(
        "JSON",
        "json_plain",
        "any schema",
        [_JSON],
        notes=("Valid and refused: not UTF-8.",),
    ),
    Group(
        "DICOM",
        "dicom",
        "every class and element, every transfer syntax but deflated ones, any form of values",
        [_DICOM],
        notes=(
            "Invalid and accepted: delimiter bytes inside compressed pixels, where they are data.",
            (
                "Valid and refused: DICOMDIRs (indexes that point into their own bytes and to "
                "files beside them), a deflated data set, one in implicit encoding that says "
                "explicit, one without preamble and prefix, an element of group 0001, and one of "
                "which nothing would cross."
            ),
        ),
    ),
    Group(
        "Hostile HL7 v2",
        "malicious",
        "every type and segment",
        [_HL7],
        ("gen_hl7/",),
        notes=(
            (
                "Malicious and accepted: well-formed HL7 v2 whose control id is a "
                "path. The ferry's "
                "sinks name no file after it."
            ),
            (
                "Lax and accepted: what HL7 v2 allows, if it was not meant (& in a text), and the "
                "channel's character set where MSH-18 names none."
            ),
        ),
    ),
    Group(
        "Hostile JSON",
        "malicious",
        "any schema",
        [_JSON],
        ("gen_json/", "json_JSONTestSuite/"),
        notes=(
            (
                "Malicious and accepted: names and values that are the schema's to refuse; base64, "
                "which is judged where a channel names its field (files) and scanned for viruses "
                "everywhere. Invalid and accepted: a byte order mark, which goes."
            ),
            (
                "Valid and refused: characters, duplicate keys and numbers that never "
                "cross, and what "
                "the test suite leaves open."
            ),
        ),
    ),
    Group(
        "Hostile XML",
        "malicious",
        "every root and element",
        [_XML],
        ("gen_xml/", "xml_PayloadsAllTheThings/"),
        notes=(
            (
                "Malicious and accepted: a stylesheet's processing instruction, which goes; a "
                "stylesheet and a script as elements, which no whitelist names; a virus in base64, "
                "which is the virus scan's, and in a CDA channel refused as a file."
            ),
        ),
    ),
    Group(
        "Hostile DICOM",
        "malicious",
        "as DICOM",
        [_DICOM],
        ("gen_dicom/",),
        notes=("Malicious and accepted: a preamble that is a program, which crosses as zeros.",),
    ),
    Group(
        "Archives",
        "malicious",
        "a JSON field that takes application/zip",
        [_FILES],
        ("gen_zip/",),
        _as_file,
        (
            (
                "Malicious and accepted: 20 MB of zeros, within the 64 MiB that an "
                "archive may hold; a "
                "virus, which is the virus scan's."
            ),
        ),
    ),
    Group(
        "Frames, text, msgpack, strings",
        "malicious",
        "offered to HL7 v2, JSON, XML and CSV (one text column) channels",
        [_HL7, _JSON, _XML, _CSV],
        (
            *("gen_mllp/", "gen_text/", "gen_msgpack/", "gen_av/", "msgpack_kawanet/"),
            *("strings_blns/", "text_cjkencodings/"),
        ),
        notes=(
            (
                "Malicious and accepted: single lines of text, and a JSON list of base64 strings. "
                "What a virus scan knows of them it finds."
            ),
            "Valid and refused: msgpack and MLLP frames, which are no messages of these families.",
        ),
    ),
)

INTRODUCTION = f"""\
<!-- Generated by docs/make_corpora.py from the corpora; do not edit. -->

# The corpora, judged

Real and hostile files of other projects (none of them is in this repository), each offered to wide
channels of its family: what a real channel names is narrower. Every verdict came within
{SECONDS_MAX:.0f} seconds, no file ended a validator, and what was accepted is a fixed point: judged
again, it becomes the same bytes. `python -m docs.make_corpora` writes this page and fails where one
of these does not hold. What changes on the way and what does not is in `validators/README.md`;
tests compare the meaning of accepted files with a reader of another make.
"""


def page() -> str:
    """The page's text. Raises AssertionError where a promise of it does not hold."""
    lines = [INTRODUCTION]
    for group in GROUPS:
        lines += [f"## {group.title}", "", f"Channel: {group.channels}.", ""]
        lines += ["| kind | files | accepted | refused, by reason |", "| --- | --- | --- | --- |"]
        for kind, outcomes in sorted(_outcomes(group).items()):
            accepted = outcomes.pop("", 0)
            refused = ", ".join(
                f"{count} `{code}`"
                for code, count in sorted(outcomes.items(), key=lambda one: (-one[1], one[0]))
            )
            lines.append(
                f"| {kind} | {accepted + outcomes.total()} | {accepted} | {refused or 'none'} |"
            )
        lines += ["", *(f"- {note}" for note in group.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _outcomes(group: Group) -> dict[str, Counter[str]]:
    """By kind: how many files ended in which reason code, "" where accepted."""
    validators = [_built(policy) for policy in group.policies]
    found: dict[str, Counter[str]] = {}
    for sample in _of(group):
        found.setdefault(sample.kind, Counter())[_judged(validators, sample, group.wrap)] += 1
    return found


class _WholeInstances:
    """A DICOM channel's validator, for instances that are in memory."""

    content_type = CONTENT_TYPE

    def __init__(self, validator: DicomValidator) -> None:
        self._validator = validator

    def validate(self, payload: bytes) -> Verdict:
        return judge_whole(self._validator, payload)


def _built(policy: dict[str, Any]) -> Validator:
    validator = build(ContentPolicy.model_validate(policy), _SCHEMAS)
    return _WholeInstances(validator) if isinstance(validator, DicomValidator) else validator


def _of(group: Group) -> Iterator[Sample]:
    return (each for each in samples(group.folder) if each.name.startswith(group.below))


def _judged(validators: Sequence[Validator], sample: Sample, wrap: Callable[[bytes], bytes]) -> str:
    """The first channel's reason, or "" if any channel accepts."""
    codes = []
    for validator in validators:
        begun_s = time.monotonic()
        verdict = validator.validate(wrap(sample.read()))
        assert time.monotonic() - begun_s < SECONDS_MAX, f"{sample.name} took too long"
        if isinstance(verdict, Accepted):
            assert validator.validate(verdict.payload) == verdict, f"{sample.name}: no fixed point"
            return ""
        codes.append(verdict.reason.code)
    return codes[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
