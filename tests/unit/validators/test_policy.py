"""The policy models refuse what they do not mean; the registry builds what they say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ferry_format.limits import MESSAGE_BYTES_MAX
from validators.hl7v2.validator import HL7v2Validator
from validators.json_schema import JsonValidator
from validators.policy import PAYLOAD_BYTES_MAX, ContentPolicy
from validators.registry import build
from validators.xml.validator import XmlValidator

XML = {"roots": "any", "elements": "any"}

HL7 = {"messages": ["ADT^A01"], "segments": ["PID", "Z*"]}
JSON = {
    "schema_file": "s.json",
    "schema_sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
}


def test_the_payload_limit_is_the_formats() -> None:
    assert PAYLOAD_BYTES_MAX == MESSAGE_BYTES_MAX


def test_xml_is_built() -> None:
    xml = build(ContentPolicy.model_validate({"xml": XML}), {})
    assert isinstance(xml, XmlValidator)
    assert xml.content_type == "application/xml"


def test_each_family_is_built() -> None:
    hl7 = build(ContentPolicy.model_validate({"hl7v2": HL7}), {})
    assert isinstance(hl7, HL7v2Validator)
    assert hl7.content_type == "application/hl7-v2"
    json = build(ContentPolicy.model_validate({"json": JSON}), {"s.json": b"{}"})
    assert isinstance(json, JsonValidator)
    assert json.content_type == "application/json"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"hl7v2": HL7, "json": JSON},
        {"xml": {}},
        {"xml": XML, "json": JSON},
        {"xml": XML | {"roots": []}},
        {"xml": XML | {"roots": ["a/b"]}},
        {"xml": XML | {"elements": ["order"]}},
        {"xml": XML | {"elements": ["/order/**/x"]}},
        {"xml": XML | {"control_id": "/order/@id/x"}},
        {"xml": XML | {"depth_max": 201}},
        {"xml": XML | {"fidelity": "verbatim", "soap": "strip"}},
        {"xml": XML | {"fidelity": "verbatim", "unknown_elements": "strip"}},
        {"xml": XML | {"cda": {}}},
        {"xml": XML | {"schema_file": "o.xsd"}},
        {"hl7v2": HL7 | {"unknown": 1}},
        {"hl7v2": HL7 | {"messages": []}},
        {"hl7v2": HL7 | {"messages": ["ADT A01"]}},
        {"hl7v2": HL7 | {"messages": ["ADT^A01^ADT_A01^X"]}},
        {"hl7v2": HL7 | {"segments": ["pid"]}},
        {"hl7v2": HL7 | {"segments": ["P*"]}},
        {"hl7v2": HL7 | {"segments": "all"}},
        {"hl7v2": HL7 | {"versions": ["3.0"]}},
        {"hl7v2": HL7 | {"header": "loose"}},
        {"hl7v2": HL7 | {"default_charset": "KOI8-R"}},
        {"hl7v2": HL7 | {"message_bytes_max": PAYLOAD_BYTES_MAX + 1}},
        {"hl7v2": HL7 | {"segments_max": 0}},
        {"hl7v2": HL7 | {"fidelity": "verbatim", "charset_out": "UTF-8"}},
        {"json": JSON | {"schema_sha256": "abc"}},
        {"json": JSON | {"control_id": "head/id"}},
        {"json": JSON | {"message_type": "a b"}},
        {"json": JSON | {"depth_max": 201}},
    ],
)
def test_a_policy_that_means_nothing_is_refused(content: object) -> None:
    with pytest.raises(ValidationError):
        ContentPolicy.model_validate(content)


@pytest.mark.parametrize(
    ("family", "policy", "files"),
    [
        ("hl7v2", HL7, {"attachments": ["application/pdf"]}),
        ("json", JSON, {"files": [{"at": "/report", "types": ["application/pdf"]}]}),
        (
            "fhir",
            {"version": "R4", "resources": "any", "narrative": "refuse"},
            {"attachments": ["application/pdf"]},
        ),
        ("xml", XML, {"cda": {"documents": "any", "attachments": ["application/pdf"]}}),
    ],
)
def test_files_stay_as_they_were_spelt_in_verbatim_messages_alone(
    family: str, policy: dict[str, object], files: dict[str, object]
) -> None:
    verbatim = {"fidelity": "verbatim"}
    for more, stay in ((files, False), (verbatim, False), (files | verbatim, True)):
        content = ContentPolicy.model_validate({family: policy | more})
        assert content.files_stay_as_spelt is stay
