"""XML messages, CDA documents, and what stands in SOAP envelopes."""

from __future__ import annotations

import hashlib

from tests.fuzz.harness import MARK, Harness, hold, validators

_XSD = b"""<s:schema xmlns:s="http://www.w3.org/2001/XMLSchema"><s:element name="order">
<s:complexType><s:sequence><s:element name="n" type="s:decimal" maxOccurs="9"/></s:sequence>
<s:attribute name="id" type="s:NCName"/></s:complexType></s:element></s:schema>"""
_ANY = {"roots": "any", "elements": "any"}
_CHANNELS = validators(
    {"xml": _ANY | {"soap": "strip"}},
    {
        "xml": {
            "roots": ["order"],
            "elements": ["/order/n", "/order/items/**"],
            "unknown_elements": "strip",
            "processing_instructions": "refuse",
            "control_id": "/order/@id",
            "depth_max": 8,
            "elements_max": 50,
            "attributes_max": 4,
            "namespaces_max": 4,
        }
    },
    {"xml": _ANY | {"schema_file": "o.xsd", "schema_sha256": hashlib.sha256(_XSD).hexdigest()}},
    {"xml": _ANY | {"soap": "strip", "call": {"actions": ["A"]}}},
    {"xml": _ANY | {"attributes": ["/order/@id", "/order/items/**"], "unknown_elements": "strip"}},
    {"xml": _ANY | {"cda": {"documents": "any", "standard": "WS/T 500"}}},
    {"xml": _ANY | {"cda": {"documents": "any", "attachments": ["application/pdf", "text/plain"]}}},
    schemas={"o.xsd": _XSD},
)


def check(data: bytes) -> None:
    for channel in _CHANNELS:
        hold(channel, data)


def seeds() -> list[bytes]:
    order = f'<order id="A1"><n>5.10</n><items x="{MARK}">{MARK}<!-- c --><?p i?></items></order>'
    cda = (
        '<?xml version="1.0"?><?xml-stylesheet href="x"?><ClinicalDocument xmlns="urn:hl7-org:v3">'
        '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
        f'<id root="1.2" extension="{MARK}"/><code code="C0001"/><effectiveTime value="2026"/>'
        '<confidentialityCode code="N"/><recordTarget/><author/><custodian/><component>'
        '<nonXMLBody><text mediaType="application/pdf" representation="B64">JVBERi0xLjc=</text>'
        "</nonXMLBody></component></ClinicalDocument>"
    )
    envelope = (
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Header/>'
        f"<e:Body>{order}</e:Body></e:Envelope>"
    )
    call = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        '<HIPMessageServer xmlns="urn:hl7-org:v3"><action>A</action><message><![CDATA['
        f'<?xml version="1.0"?>{order}]]></message></HIPMessageServer></e:Body></e:Envelope>'
    )
    return [
        call.encode(),
        order.encode(),
        b'<?xml version="1.0" encoding="GB18030"?>' + order.replace(MARK, "芳").encode("gb18030"),
        b"<order><n>1</n><n>2.5</n></order>",
        cda.encode(),
        envelope.encode(),
        b'<p:a xmlns:p="urn:p" p:x="1&#13;&lt;"><![CDATA[<&]]><p:b xmlns:p="urn:q"/></p:a>',
    ]


HARNESS = Harness(
    check,
    seeds,
    ("cda/", "malicious/gen_xml/", "malicious/xml_PayloadsAllTheThings/"),
    rb"""
    <!DOCTYPE <!ENTITY <![CDATA[ ]]> <!-- --> <?xml ?> &#13; &#x0; &amp; xmlns=" xmlns:p=" xsi:type=
    xi:include encoding="UTF-16" encoding="GBK" representation="B64"
    """.split(),
)
