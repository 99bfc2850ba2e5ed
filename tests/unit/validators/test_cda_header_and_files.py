"""CDA documents: one header each, and every file in the one spelling in which it is judged."""

from __future__ import annotations

import base64

import pytest

from tests.unit.validators.test_xml import CDA, attached, crossing, document, judged, reason
from validators.verdict import Rejected

PDF = base64.b64encode(b"%PDF-1.7 a report").decode()
ALLOWING = CDA | {"attachments": ["application/pdf", "text/plain"]}
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="ED"'


@pytest.mark.parametrize(
    "second",
    [
        '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>',
        '<id root="1.10"/>',
        '<code code="34133-8"/>',
        '<effectiveTime value="2027"/>',
        '<confidentialityCode code="V"/>',
        "<custodian/>",
        "<title>a</title><title>b</title>",
        '<setId root="1.2"/><setId root="1.3"/>',
        "<component/><component/>",
    ],
)
def test_what_a_header_has_once_does_not_stand_twice(second: str) -> None:
    assert reason(document(second), cda=CDA) == "not_well_formed"


def test_what_a_header_may_repeat_may_stand_twice() -> None:
    several = "<author/><recordTarget/>" + '<templateId root="1.2.4"/>'
    assert "1.2.4" in crossing(document(several), cda=CDA)


def entry(value: str) -> str:
    return document(f"<component><structuredBody>{value}</structuredBody></component>")


@pytest.mark.parametrize(
    ("named", "shown"), [("value", "value"), ("_zhangsan_110101199003072316", "an element")]
)
@pytest.mark.parametrize(
    ("attribute", "text"),
    [("", PDF), (' representation="B64"', PDF), (' representation="b64"', "")],
)
def test_a_place_names_an_element_only_by_a_name_of_cda(
    named: str, shown: str, attribute: str, text: str
) -> None:
    verdict = judged(entry(f"<{named}{attribute}>{text}</{named}>"), cda=CDA)
    assert isinstance(verdict, Rejected)
    assert verdict.place.endswith(f" in {shown}")


@pytest.mark.parametrize("representation", ["b64", " B64 ", "B64 ", "base64", "BASE64", "txt", ""])
def test_a_representation_has_one_lawful_spelling(representation: str) -> None:
    said = f' representation="{representation}"'
    for message in (attached(PDF, said), entry(f"<value{said}>a note</value>")):
        assert reason(message, cda=ALLOWING) == "attachment_not_allowed"


@pytest.mark.parametrize("cda", [CDA, ALLOWING])
@pytest.mark.parametrize(
    "message",
    [
        attached(PDF, ""),
        attached(PDF, ' representation="TXT"'),
        attached(PDF, ' mediaType="text/plain"'),
        entry(f"<value {XSI}>{PDF}</value>"),
        entry(f"<value {XSI}> {PDF[:7]}\n{PDF[7:]} </value>"),
        entry(f"<value {XSI}>{PDF[:7]}<reference/>{PDF[7:]}</value>"),
        entry(f'<text mediaType="application/pdf">{PDF}</text>'),
        entry(f'<text mediaType="application/pdf">{PDF.rstrip("=")}</text>'),
        entry(f"<value>{PDF}</value>"),
        entry("<value>%PDF-1.7 in letters</value>"),
        entry(f'<reference value="{PDF}"/>'),
        entry(f'<reference value="data:application/pdf;base64,{PDF}"/>'),
        entry('<value compression="GZ">a note</value>'),
    ],
)
def test_a_file_does_not_cross_as_text(message: str, cda: dict[str, object]) -> None:
    assert reason(message, cda=cda) == "attachment_not_allowed"


@pytest.mark.parametrize("said", ["", ' representation="TXT"', f" {XSI}"])
def test_text_crosses_without_and_with_its_representation(said: str) -> None:
    assert "a note" in crossing(entry(f"<value{said}>a note</value>"), cda=CDA)
    assert "34133-9" in crossing(entry(f'<value{said} code="34133-9">JVBE</value>'), cda=CDA)
