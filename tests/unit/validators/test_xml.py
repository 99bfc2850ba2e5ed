"""XML messages: what crosses, as what, and what does not."""

from __future__ import annotations

import base64
import hashlib

import pytest

from validators.json_schema import SchemaError
from validators.order_key import digest_of
from validators.policy import XmlPolicy
from validators.verdict import Accepted, Rejected
from validators.xml import shared_documents
from validators.xml.schema import Schema
from validators.xml.validator import XmlValidator

XSI = "http://www.w3.org/2001/XMLSchema-instance"
XSD = b"""<s:schema xmlns:s="http://www.w3.org/2001/XMLSchema">
<s:element name="o"><s:complexType><s:sequence>
<s:element name="n" type="s:int"/></s:sequence></s:complexType></s:element></s:schema>"""
IMPORTING = b"""<s:schema xmlns:s="http://www.w3.org/2001/XMLSchema">
<s:import namespace="urn:x" schemaLocation="http://127.0.0.1/x.xsd"/></s:schema>"""
DOCTYPED = b"<!DOCTYPE s>" + XSD
SCHEMAS = {"o.xsd": XSD, "importing.xsd": IMPORTING, "doctyped.xsd": DOCTYPED, "no.xsd": b"<a/>"}
ANY = {"roots": "any", "elements": "any"}


def judged(
    message: str | bytes, order_by: str | None = None, **keys: object
) -> Accepted | Rejected:
    data = message.encode() if isinstance(message, str) else message
    validator = XmlValidator(XmlPolicy.model_validate(ANY | keys), SCHEMAS, order_by)
    verdict = validator.validate(data)
    if isinstance(verdict, Accepted):
        assert validator.validate(verdict.payload) == verdict
    return verdict


def crossing(message: str | bytes, **keys: object) -> str:
    verdict = judged(message, **keys)
    assert isinstance(verdict, Accepted), verdict
    return verdict.payload.decode()


def reason(message: str | bytes, **keys: object) -> str:
    verdict = judged(message, **keys)
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code


@pytest.mark.parametrize(
    ("message", "rebuilt"),
    [
        ('<?xml version="1.0"?>\n<!-- c --><?p x?><a/><!-- d --><?q y?>\n', "<a></a>"),
        ("<a>1<!-- hidden -->2<?p hidden?>3</a>", "<a>123</a>"),
        ("<a><![CDATA[<b>&]]></a>", "<a>&lt;b&gt;&amp;</a>"),
        ("<a z='1' b='2'/>", '<a b="2" z="1"></a>'),
        ('<a xmlns:x="urn:hidden"><b/></a>', "<a><b></b></a>"),
        ("<a> <b/>\n</a >", "<a> <b></b>\n</a>"),
        ("<a>&#13;&#10;&lt;&#x4e2d;</a>", "<a>&#xD;\n&lt;中</a>"),
        (f'<a xmlns:xsi="{XSI}" xsi:schemaLocation="urn:a http://h/a.xsd"/>', "<a></a>"),
        (f'<a xmlns:xsi="{XSI}" xsi:noNamespaceSchemaLocation="a.xsd"/>', "<a></a>"),
        ("\ufeff<a/>", "<a></a>"),
    ],
)
def test_what_hides_does_not_cross(message: str, rebuilt: str) -> None:
    assert crossing(message) == rebuilt


def test_a_prefix_that_a_type_names_stays_declared() -> None:
    message = f'<a xmlns:v="urn:v" xmlns:xsi="{XSI}" xsi:type="v:T"></a>'
    assert crossing(message) == message
    assert reason(f'<a xmlns:xsi="{XSI}" xsi:type="v:T"/>') == "not_well_formed"


def test_verbatim_leaves_every_byte() -> None:
    message = "<?xml version='1.0'?><!-- c --><a />"
    assert crossing(message, fidelity="verbatim") == message


@pytest.mark.parametrize("name", ["GB18030", "gbk", "GB2312"])
def test_chinese_sets_leave_as_utf8(name: str) -> None:
    message = f'<?xml version="1.0" encoding="{name}"?><a>中文</a>'.encode("gb18030")
    assert crossing(message) == "<a>中文</a>"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "message_empty"),
        (b"text", "not_well_formed"),
        (b"<a/>trailing", "not_well_formed"),
        (b"<a/><b/>", "not_well_formed"),
        (b"<a/>\x00", "not_well_formed"),
        (b"<!-- a -- b --><a/>", "not_well_formed"),
        (b"<!-- <a/>", "not_well_formed"),
        (b"<!DOCTYPE a><a/>", "doctype_not_allowed"),
        (b"<!-- c -->\n<!DOCTYPE a SYSTEM 'http://127.0.0.1/'><a/>", "doctype_not_allowed"),
        (b"<a><!DOCTYPE a></a>", "not_well_formed"),
        (b"<a>&file;</a>", "not_well_formed"),
        (b"<a>\xc0\xbc</a>", "not_decodable"),
        (b'<?xml version="1.0" encoding="GBK"?><a>\x81\x30\x81\x30</a>', "not_decodable"),
        (b'<?xml version="1.0" encoding="KOI8-R"?><a/>', "charset_not_allowed"),
        (b'\xef\xbb\xbf<?xml version="1.0" encoding="GBK"?><a/>', "charset_not_allowed"),
        ("<a/>".encode("utf-16"), "charset_not_allowed"),
        ("<a/>".encode("utf-16-be"), "charset_not_allowed"),
        (b'<?xml version="1.1"?><a/>', "version_not_allowed"),
        ("<a>\u202e</a>".encode(), "control_character"),
        (b"<a>&#x202E;</a>", "control_character"),
        (b"<a b='&#x200B;'/>", "control_character"),
        ("<a xmlns:b='urn:\u202e'/>".encode(), "not_well_formed"),
        (b'<a xmlns:i="http://www.w3.org/2001/XInclude"><i:include/></a>', "element_not_allowed"),
        (b'<a xmlns="relative"/>', "not_well_formed"),
    ],
)
def test_what_is_refused_always(message: bytes, code: str) -> None:
    assert reason(message) == code


@pytest.mark.parametrize("message", ["<?p x?><a/>", "<a><?p x?></a>", "<a/><?p x?>"])
def test_a_channel_may_refuse_processing_instructions(message: str) -> None:
    code = reason(message, processing_instructions="refuse")
    assert code == "processing_instruction_not_allowed"


@pytest.mark.parametrize(
    ("key", "within", "beyond"),
    [
        ("message_bytes_max", "<a></a>", "<a>1</a>"),
        ("depth_max", "<a><a><a><a><a><a><a/></a></a></a></a></a></a>", "<a>" * 8 + "</a>" * 8),
        ("elements_max", "<a>" + "<b/>" * 6 + "</a>", "<a>" + "<b/>" * 7 + "</a>"),
        (
            "attributes_max",
            "<a b='1' c='' d='' e='' f='' g='' h=''/>",
            "<a a='' b='1' c='' d='' e='' f='' g='' h=''/>",
        ),
        ("text_chars_max", "<a>1234567</a>", "<a>12345678</a>"),
    ],
)
def test_limits_are_inclusive(key: str, within: str, beyond: str) -> None:
    assert isinstance(judged(within, **{key: 7}), Accepted)
    assert reason(beyond, **{key: 7}) == "limit_exceeded"


def test_roots_and_elements_are_whitelisted() -> None:
    keys = {"roots": ["{urn:o}order"], "elements": ["/order/id", "/order/items/**"]}
    good = '<order xmlns="urn:o"><id></id><items><x><y></y></x></items></order>'
    assert crossing(good, **keys) == good
    assert reason("<order><id/></order>", **keys) == "message_type_not_allowed"
    other = '<order xmlns="urn:o"><id/>a<secret>s</secret>b<id xmlns="urn:x"/></order>'
    assert reason(other, **keys) == "element_not_allowed"
    stripped = crossing(other, **keys, unknown_elements="strip")
    assert stripped == '<order xmlns="urn:o"><id></id></order>'
    keys["elements"] = ["/order", "/order/id"]
    stripped = crossing(other, **keys, unknown_elements="strip")
    assert stripped == '<order xmlns="urn:o"><id></id>ab</order>'


def test_an_element_named_for_those_below_it_holds_no_text() -> None:
    keys = {"elements": ["/order/id"]}
    assert crossing("<order a='1'> <id>7</id> </order>", **keys)
    assert reason("<order><id>7</id>text</order>", **keys) == "element_not_allowed"


def test_blank_text_between_elements_goes_where_the_channel_says_so() -> None:
    text = "<a> <b>\n<c> </c> </b> <b>x <c/> </b></a>"
    dropped = "<a><b><c> </c></b><b>x <c></c> </b></a>"
    assert crossing(text, blank_text="drop") == dropped
    assert crossing(text) != dropped


def test_ids_and_order_keys_are_found_by_path() -> None:
    message = '<o><id>4711</id><p k="77"/></o>'
    verdict = judged(message, "/o/p/@k", control_id="/o/id")
    assert isinstance(verdict, Accepted)
    assert (verdict.message_type, verdict.control_id) == ("o", "4711")
    assert verdict.order_key == digest_of("77")
    assert reason(message, control_id="/o/@id") == "header_incomplete"


@pytest.mark.parametrize(
    "namespace",
    ["http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"],
)
def test_a_soap_envelope_is_protocol_context(namespace: str) -> None:
    def envelope(body: str) -> str:
        head = f'<s:Envelope xmlns:s="{namespace}" xmlns="urn:m"><s:Header><token/></s:Header>'
        return f"{head}<s:Body>{body}</s:Body></s:Envelope>"

    assert crossing(envelope(" <m>1</m> "), soap="strip") == '<m xmlns="urn:m">1</m>'
    assert crossing("<m></m>", soap="strip") == "<m></m>"
    assert reason(envelope("<m/>")) == "message_type_not_allowed"
    assert reason(envelope("<s:Fault/>"), soap="strip") == "fault_not_allowed"
    for body in ("", "<m/><m/>", "text<m/>", "<m/>text", envelope("<m/>")):
        assert reason(envelope(body), soap="strip") == "not_well_formed"


HEADER = {
    "typeId": '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>',
    "templateId": '<templateId root="1.2.3"/>',
    "id": '<id root="1.9" extension="42"/>',
    "code": '<code code="34133-9"/>',
    "effectiveTime": '<effectiveTime value="2026"/>',
    "confidentialityCode": '<confidentialityCode code="N"/>',
    "recordTarget": "<recordTarget/>",
    "author": "<author/>",
    "custodian": "<custodian/>",
}
CDA = {"documents": ["34133-9"]}


def document(body: str = "", **changed: str) -> str:
    header = "".join((HEADER | changed).values())
    return f'<ClinicalDocument xmlns="urn:hl7-org:v3">{header}{body}</ClinicalDocument>'


def test_a_cda_document_is_known_by_code_and_id() -> None:
    verdict = judged(document(), cda=CDA | {"templates": ["1.2.3"]})
    assert isinstance(verdict, Accepted)
    assert (verdict.message_type, verdict.control_id) == ("34133-9", "1.9^42")


@pytest.mark.parametrize("part", sorted(HEADER.keys() - {"typeId", "templateId"}))
def test_a_cda_header_is_whole(part: str) -> None:
    assert reason(document(**{part: ""}), cda=CDA) == "header_incomplete"


def test_a_document_that_the_channel_does_not_name_is_refused() -> None:
    for message, cda in (
        ("<ClinicalDocument/>", CDA),
        (document(typeId=""), CDA),
        (document(), {"documents": ["C0001"]}),
        (document(), CDA | {"templates": ["1.2.4"]}),
    ):
        assert reason(message, cda=cda) == "message_type_not_allowed"


def attached(text: str, attributes: str = ' representation="B64"') -> str:
    return document(
        f"<component><nonXMLBody><text{attributes}>{text}</text></nonXMLBody></component>"
    )


def test_an_attachment_crosses_where_allowed_in_one_spelling() -> None:
    data = base64.b64encode(b"%PDF-1.7 file").decode()
    allowing = CDA | {
        "attachments": ["application/pdf", "text/plain"],
        "attachment_bytes_max": 13,
    }
    assert reason(attached(data), cda=CDA) == "attachment_not_allowed"
    assert f">{data}<" in crossing(attached(f"{data[:8]}\n {data[8:]}"), cda=allowing)
    too_long = base64.b64encode(b"%PDF-1.7 files").decode()
    assert reason(attached(too_long), cda=allowing) == "limit_exceeded"
    assert reason(attached("a text of 14 c", ""), cda=allowing) == "limit_exceeded"
    for bad in ("QQ", "QR==", "Q*==", "QQ==QQ==", "中"):
        assert reason(attached(bad), cda=allowing) == "not_well_formed"
    assert reason(attached("<b/>"), cda=allowing) == "attachment_not_allowed"


def test_an_attached_file_is_what_it_is_declared_to_be() -> None:
    allowing = CDA | {"attachments": ["application/pdf", "text/plain"]}
    pdf, program = (base64.b64encode(each).decode() for each in (b"%PDF-1.7", b"MZ\x90\0"))
    plain, base64_of = ' mediaType="text/plain"', ' representation="B64" mediaType="{}"'
    assert "a note" in crossing(attached("a note", plain), cda=allowing)
    assert pdf in crossing(attached(pdf, base64_of.format("application/pdf")), cda=allowing)
    for message in (
        attached(pdf, base64_of.format("text/plain; charset=utf-8") + ' compression="GZ"'),
        attached(program, base64_of.format("application/pdf")),
        attached(pdf, base64_of.format("image/png")),
        attached("a note", ' mediaType="text/html"'),
    ):
        assert reason(message, cda=allowing) == "attachment_not_allowed"


def test_base64_in_an_entry_of_a_document_is_a_file_too() -> None:
    pdf = base64.b64encode(b"%PDF-1.7").decode()
    entry = (
        "<component><structuredBody><component><section><entry><observationMedia>"
        f'<value mediaType="application/pdf" representation="B64">{pdf}</value>'
        "</observationMedia></entry></section></component></structuredBody></component>"
    )
    assert reason(document(entry), cda=CDA) == "attachment_not_allowed"
    assert pdf in crossing(document(entry), cda=CDA | {"attachments": ["application/pdf"]})
    assert (
        reason(document(entry), cda=CDA | {"attachments": ["image/png"]})
        == "attachment_not_allowed"
    )


def schema_keys(name: str) -> dict[str, object]:
    return {"schema_file": name, "schema_sha256": hashlib.sha256(SCHEMAS[name]).hexdigest()}


def test_a_message_satisfies_the_channels_schema() -> None:
    keys = schema_keys("o.xsd")
    assert crossing("<o><n>1</n></o>", **keys) == "<o><n>1</n></o>"
    verdict = judged("<o><n>Zhang San</n></o>", **keys)
    assert isinstance(verdict, Rejected)
    assert verdict.reason.code == "schema_mismatch"
    assert "Zhang" not in verdict.place
    hinted = f'<o xmlns:x="{XSI}" x:noNamespaceSchemaLocation="http://127.0.0.1/"><n>1</n></o>'
    assert crossing(hinted, fidelity="verbatim", **keys) == hinted


@pytest.mark.parametrize("name", ["importing.xsd", "doctyped.xsd", "no.xsd"])
def test_a_schema_that_leaves_its_file_or_is_none_is_refused(name: str) -> None:
    with pytest.raises(SchemaError):
        judged("<o/>", **schema_keys(name))


def test_only_the_signed_schema_serves() -> None:
    with pytest.raises(SchemaError, match="SHA-256"):
        judged("<o/>", **schema_keys("o.xsd") | {"schema_sha256": "0" * 64})
    with pytest.raises(SchemaError, match="absent"):
        judged("<o/>", schema_file="other.xsd", schema_sha256="0" * 64)


V3 = "urn:hl7-org:v3"
INNER = f'<PRPA_IN1 xmlns="{V3}"><id extension="7"/><name>王</name></PRPA_IN1>'
INNER_CROSSES = f'<PRPA_IN1 xmlns="{V3}"><id extension="7"></id><name>王</name></PRPA_IN1>'
CALL = {"soap": "strip", "call": {"actions": ["S0026"]}}


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def call(
    message: str, action: str = "<action>S0026</action>", name: str = "HIPMessageServer"
) -> str:
    soap = "http://www.w3.org/2003/05/soap-envelope"
    body = f'<{name} xmlns="{V3}">{action}<message>{message}</message></{name}>'
    return f'<s:Envelope xmlns:s="{soap}"><s:Body>{body}</s:Body></s:Envelope>'


@pytest.mark.parametrize(
    "message",
    [
        escaped(INNER),
        f"<![CDATA[{INNER}]]>",
        escaped('<?xml version="1.0" encoding="GB18030"?>\n' + INNER),
        escaped("\n <?xml version='1.0'?><!-- hidden --><?p hidden?>" + INNER + "<!-- hidden -->"),
    ],
)
def test_the_message_in_a_call_crosses_by_itself(message: str) -> None:
    assert crossing(call(message), **CALL) == INNER_CROSSES
    assert crossing(INNER, **CALL) == INNER_CROSSES


def test_a_call_is_text_where_the_channel_does_not_open_calls() -> None:
    assert "&lt;PRPA_IN1" in crossing(call(escaped(INNER)), soap="strip")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (call(escaped(INNER), "<action>S0027</action>"), "message_type_not_allowed"),
        (call(escaped(INNER), "<action/>"), "message_type_not_allowed"),
        (call(escaped(INNER), name="OtherServer"), "message_type_not_allowed"),
        (call(escaped(INNER), ""), "not_well_formed"),
        (call(escaped(INNER), "<action>S0026</action>text"), "not_well_formed"),
        (call(escaped(INNER), "<action>S0026</action><more/>"), "not_well_formed"),
        (call(escaped(INNER), "<action>S0026</action><message/>"), "not_well_formed"),
        (call(escaped(INNER), '<action xmlns="urn:x">S0026</action>'), "not_well_formed"),
        (call(INNER), "not_well_formed"),
        (call(""), "not_well_formed"),
        (call(escaped(escaped(INNER))), "not_well_formed"),
        (call(escaped(call(escaped(INNER)))), "not_well_formed"),
        (call(escaped("<!DOCTYPE x [<!ENTITY e 'x'>]>" + INNER)), "doctype_not_allowed"),
        (call(escaped('<?xml version="1.1"?>' + INNER)), "version_not_allowed"),
        (call(escaped("<?xml ?>" + INNER)), "not_well_formed"),
        (call(escaped("<?xml version='1.0'" + INNER)), "not_well_formed"),
        (call(escaped(INNER.replace("王", "\u202e"))), "control_character"),
        (call(escaped(INNER.replace("王", "&#x202e;"))), "control_character"),
        (call(escaped("<a>" * 65 + "</a>" * 65)), "limit_exceeded"),
    ],
)
def test_what_is_no_such_call_or_no_message_is_refused(message: str, code: str) -> None:
    assert reason(message, **CALL) == code


def test_the_whitelist_of_a_channel_with_calls_is_the_messages() -> None:
    keys = CALL | {"roots": [f"{{{V3}}}PRPA_IN1"], "elements": ["/PRPA_IN1/id"]}
    assert reason(call(escaped(INNER)), **keys) == "element_not_allowed"
    stripped = crossing(call(escaped(INNER)), **keys, unknown_elements="strip")
    assert stripped == f'<PRPA_IN1 xmlns="{V3}"><id extension="7"></id></PRPA_IN1>'
    keys["roots"] = [f"{{{V3}}}PRPA_IN2"]
    assert reason(call(escaped(INNER)), **keys) == "message_type_not_allowed"


def test_other_vendors_calls_are_named_by_the_channel() -> None:
    named = {"actions": "any", "element": "{urn:hl7-org:v3}Send", "action": "code"}
    message = call(escaped(INNER), "<code>anything</code>", "Send")
    assert crossing(message, soap="strip", call=named) == INNER_CROSSES
    with pytest.raises(ValueError, match="add soap"):
        judged(INNER, call=named)


def shared(number: int, **changed: str) -> str:
    header = {
        "typeId": '<typeId root="2.16.840.1.113883.1.3" extension="POCD_MT000040"/>',
        "templateId": f'<templateId root="2.16.156.10011.2.1.1.{number + 20}"/>',
        "code": f'<code code="C{number:04}" codeSystem="2.16.156.10011.2.4"/>',
    }
    return document(**(header | changed))


SHARED = {"documents": "any", "standard": "WS/T 500"}


def test_the_shared_documents_are_known_by_code_and_template() -> None:
    assert len(shared_documents.NAMES) == len(set(shared_documents.NAMES.values())) == 53
    for number in range(1, 54):
        verdict = judged(shared(number), cda=SHARED)
        assert isinstance(verdict, Accepted)
        assert verdict.message_type == f"C{number:04}"
        assert verdict.message_type in shared_documents.NAMES
    # As published samples of the standard have them.
    for code, template in (
        ("C0001", 21),
        ("C0004", 24),
        ("C0032", 52),
        ("C0049", 69),
        ("C0053", 73),
    ):
        assert shared_documents.template_of(code) == f"2.16.156.10011.2.1.1.{template}"


@pytest.mark.parametrize(
    "changed",
    [
        {"templateId": '<templateId root="2.16.156.10011.2.1.1.22"/>'},
        {"templateId": '<templateId root="2.16.156.10011.2.1.1.1"/>'},
        {"templateId": ""},
        {
            "templateId": '<templateId root="2.16.156.10011.2.1.1.21"/>'
            '<templateId root="2.16.156.10011.2.1.1.22"/>'
        },
        {"code": '<code code="C0001" codeSystem="2.16.840.1.113883.6.1"/>'},
        {"code": '<code code="C0001"/>'},
        {"code": '<code code="C0054" codeSystem="2.16.156.10011.2.4"/>'},
        {"code": '<code code="C0002" codeSystem="2.16.156.10011.2.4"/>'},
    ],
)
def test_a_document_that_says_two_things_is_no_shared_document(changed) -> None:
    assert reason(shared(1, **changed), cda=SHARED) == "message_type_not_allowed"


def test_a_channel_names_shared_documents_by_code() -> None:
    assert judged(shared(7), cda=SHARED | {"documents": ["C0007"]})
    assert reason(shared(8), cda=SHARED | {"documents": ["C0007"]}) == "message_type_not_allowed"
    with pytest.raises(ValueError, match="no C0054"):
        judged(shared(7), cda=SHARED | {"documents": ["C0007", "C0054"]})


ATTRIBUTES = '<o id="1" hidden="2" xml:lang="zh"><n a="3" b="4"/><m c="5"><k d="6"/></m></o>'
XML_NS = "http://www.w3.org/XML/1998/namespace"


@pytest.mark.parametrize(
    ("named", "rebuilt"),
    [
        (["/o/@id"], '<o id="1"><n></n><m><k></k></m></o>'),
        ([f"/o/@{{{XML_NS}}}lang"], '<o xml:lang="zh"><n></n><m><k></k></m></o>'),
        (["/o/n/@*", "/o/m/@a"], '<o><n a="3" b="4"></n><m><k></k></m></o>'),
        (["/o/m/**"], '<o><n></n><m c="5"><k d="6"></k></m></o>'),
        (
            ["/o/**"],
            '<o hidden="2" id="1" xml:lang="zh"><n a="3" b="4"></n><m c="5"><k d="6"></k></m></o>',
        ),
        (["/x/**"], "<o><n></n><m><k></k></m></o>"),
    ],
)
def test_only_the_attributes_that_a_channel_names_cross(named, rebuilt) -> None:
    assert crossing(ATTRIBUTES, attributes=named, unknown_elements="strip") == rebuilt
    refused = judged(ATTRIBUTES, attributes=named)
    if named == ["/o/**"]:
        assert isinstance(refused, Accepted)
    else:
        assert isinstance(refused, Rejected)
        assert refused.reason.code == "element_not_allowed"
        assert not {"hidden", "lang"} & set(refused.place.split())


def test_elements_and_attributes_are_named_apart() -> None:
    keys = {"elements": ["/o/n"], "attributes": ["/o/n/@a"], "unknown_elements": "strip"}
    assert crossing(ATTRIBUTES, **keys) == '<o><n a="3"></n></o>'


def test_a_control_id_may_stand_in_an_attribute_of_a_namespace() -> None:
    verdict = judged(ATTRIBUTES, control_id=f"/o/@{{{XML_NS}}}lang")
    assert isinstance(verdict, Accepted)
    assert verdict.control_id == "zh"


XS = "http://www.w3.org/2001/XMLSchema"
SET = {
    "order.xsd": f"""<s:schema xmlns:s="{XS}" xmlns:t="urn:t" targetNamespace="urn:o">
<s:import namespace="urn:t" schemaLocation="parts/types.xsd"/><s:include schemaLocation="more.xsd"/>
<s:element name="o" type="t:short"/></s:schema>""",
    "parts/types.xsd": f"""<s:schema xmlns:s="{XS}" xmlns="urn:t" targetNamespace="urn:t">
<s:include schemaLocation="../%E5%9F%BA%E7%A1%80.xsd"/>
<s:simpleType name="short"><s:restriction base="text"><s:maxLength value="3"/></s:restriction>
</s:simpleType></s:schema>""",
    "基础.xsd": f"""<s:schema xmlns:s="{XS}">
<s:simpleType name="text"><s:restriction base="s:string"/></s:simpleType></s:schema>""",
    "more.xsd": f"""<s:schema xmlns:s="{XS}" targetNamespace="urn:o">
<s:element name="p" type="s:int"/></s:schema>""",
}


def schema_set(files: dict[str, str]) -> XmlValidator:
    data = {name: text.encode() for name, text in files.items()}
    digests = {name: hashlib.sha256(each).hexdigest() for name, each in data.items()}
    main, *parts = files
    keys = {
        "schema_file": main,
        "schema_sha256": digests[main],
        "schema_parts": [{"file": name, "sha256": digests[name]} for name in parts],
    }
    return XmlValidator(XmlPolicy.model_validate(ANY | keys), data)


@pytest.mark.parametrize(
    ("message", "fits"),
    [
        ('<o xmlns="urn:o">abc</o>', True),
        ('<o xmlns="urn:o">abcd</o>', False),
        ('<p xmlns="urn:o">1</p>', True),
        ('<p xmlns="urn:o">x</p>', False),
    ],
)
def test_a_schema_of_several_files_judges_as_one(message: str, fits) -> None:
    verdict = schema_set(SET).validate(message.encode())
    assert isinstance(verdict, Accepted) == fits


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("more.xsd", "http://127.0.0.1:1/x.xsd"),
        ("more.xsd", "file:///etc/passwd"),
        ("more.xsd", "/more.xsd"),
        ("more.xsd", "../order.xsd"),
        ("more.xsd", "parts/../missing.xsd"),
        ("parts/types.xsd", "more.xsd"),
    ],
)
def test_a_schema_reaches_nothing_outside_its_set(name: str, location: str) -> None:
    changed = SET[name].replace("<s:", f'<s:include schemaLocation="{location}"/><s:', 2)
    changed = changed.replace(f'<s:include schemaLocation="{location}"/>', "", 1)
    with pytest.raises(SchemaError, match="which schema_parts does not name"):
        schema_set(SET | {name: changed})


def test_every_file_of_a_set_is_the_one_that_was_signed_for() -> None:
    data = {name: text.encode() for name, text in SET.items()}
    digests = {name: hashlib.sha256(each).hexdigest() for name, each in data.items()}
    for name in SET:
        with pytest.raises(SchemaError, match="SHA-256"):
            Schema("order.xsd", digests, data | {name: data[name] + b" "})
        with pytest.raises(SchemaError, match="absent"):
            Schema("order.xsd", digests, {k: v for k, v in data.items() if k != name})
    with pytest.raises(SchemaError, match="DOCTYPE"):
        schema_set(SET | {"more.xsd": "<!DOCTYPE s>" + SET["more.xsd"]})


def test_schema_parts_belong_to_a_schema_and_stand_once() -> None:
    part = {"file": "a.xsd", "sha256": "0" * 64}
    with pytest.raises(ValueError, match="parts of a schema_file"):
        XmlPolicy.model_validate(ANY | {"schema_parts": [part]})
    with pytest.raises(ValueError, match="named twice"):
        XmlPolicy.model_validate(
            ANY | {"schema_file": "a.xsd", "schema_sha256": "0" * 64, "schema_parts": [part]}
        )
