"""Every CDA file of the corpora under a permissive channel: accepted, and the same in meaning.

The judge of meaning is the standard library's reader (expat): equal trees of names, attributes and
text, without comments and processing instructions. It shares no code with the validator.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.simulator.corpora import samples
from validators.policy import XmlPolicy
from validators.verdict import Accepted, Rejected
from validators.xml.validator import XmlValidator

HINTS = {
    "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation",
    "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation",
}
# Characters that no text may hold (zero-width and direction marks).
REFUSED_VALID = {"C-CDA-Examples/CCD.xml", "FHIR-Converter/CCD.ccda"}


@pytest.fixture(scope="module")
def validator() -> XmlValidator:
    return XmlValidator(XmlPolicy.model_validate({"roots": "any", "elements": "any"}), {})


def meaning(data: bytes) -> object:
    def of(element: ET.Element) -> object:
        attributes = {k: v for k, v in element.attrib.items() if k not in HINTS}
        children = [(of(child), child.tail or "") for child in element]
        return element.tag, attributes, element.text or "", children

    return of(ET.fromstring(data))


def test_every_valid_document_crosses_with_its_meaning(validator: XmlValidator) -> None:
    refused = set()
    compared = 0
    for sample in samples("cda"):
        verdict = validator.validate(sample.read())
        if isinstance(verdict, Accepted):
            assert sample.kind == "valid", sample.name
            assert validator.validate(verdict.payload) == verdict, sample.name
            assert meaning(verdict.payload) == meaning(sample.read()), sample.name
            compared += 1
        elif sample.kind == "valid":
            assert verdict.reason.code == "control_character", sample.name
            refused.add(sample.name)
    assert refused == REFUSED_VALID
    assert compared == 100


def test_every_broken_document_is_refused(validator: XmlValidator) -> None:
    broken = [each for each in samples("cda") if each.kind == "invalid"]
    assert broken
    for sample in broken:
        assert isinstance(validator.validate(sample.read()), Rejected), sample.name


def test_the_judge_of_meaning_sees_a_difference() -> None:
    assert meaning(b"<a><b/> </a>") != meaning(b"<a> <b/></a>")
    assert meaning(b"<a b='1'/>") != meaning(b"<a b='2'/>")
