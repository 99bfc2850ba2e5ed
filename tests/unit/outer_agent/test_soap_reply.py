"""What a SOAP caller is told, as a lawful response around MCCI_IN000002UV01."""

from __future__ import annotations

import pytest
from lxml import etree
from pydantic import ValidationError

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from outer_agent.admission import Receipt
from outer_agent.policy import SoapReplySection
from outer_agent.sources.soap_reply import CallIds, answer, read_ids
from tests.simulator.processor_time import processor_time_below

REPLY = SoapReplySection()
NOW_MS = 1_767_225_600_000
V3 = "{urn:hl7-org:v3}"
SOAP_1_1 = "{http://schemas.xmlsoap.org/soap/envelope/}"
SOAP_1_2 = "{http://www.w3.org/2003/05/soap-envelope}"
MESSAGE = """<PRPA_IN1 xmlns="urn:hl7-org:v3"><!-- 消息流水号 -->
<id root="2.16.156.10011.0" extension="M-1"/><creationTime value="20260101"/>
<receiver typeCode="RCV"><device><id><item root="1.2" extension="ESB"/></id></device></receiver>
<sender typeCode="SND"><device><id><item root="1.3" extension='HIS'/></id></device></sender>
</PRPA_IN1>"""
ESCAPED = MESSAGE.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
TAKEN = Receipt(bytes(range(16)), duplicate=False)


def call(message: str) -> bytes:
    return f"<HIPMessageServer><action>A</action><message>{message}</message>".encode()


def told(outcome, ids=None, asked: str = "text/xml", reply: SoapReplySection = REPLY):
    ids = ids or read_ids(call(ESCAPED))
    response = answer(reply, ids, outcome, NOW_MS, asked)
    envelope = etree.fromstring(response.body)
    [body] = envelope
    [element] = body
    [result] = element
    return response, envelope, element, etree.fromstring(result.text)


@pytest.mark.parametrize("carried", [ESCAPED, f"<![CDATA[{MESSAGE}]]>"])
def test_the_answer_names_the_message_and_turns_sender_and_receiver_round(carried: str) -> None:
    _, _, _, message = told(TAKEN, read_ids(call(carried)))
    assert message.tag == f"{V3}MCCI_IN000002UV01"
    acknowledgement = message.find(f"{V3}acknowledgement")
    assert acknowledgement.get("typeCode") == "AA"
    target = acknowledgement.find(f"{V3}targetMessage/{V3}id")
    assert dict(target.attrib) == {"root": "2.16.156.10011.0", "extension": "M-1"}
    items = {each: message.find(f"{V3}{each}//{V3}item").attrib for each in ("receiver", "sender")}
    assert dict(items["receiver"]) == {"root": "1.3", "extension": "HIS"}
    assert dict(items["sender"]) == {"root": "1.2", "extension": "ESB"}
    assert message.find(f"{V3}id").get("extension") == TAKEN.message_id.hex()


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (TAKEN, 200, "AA"),
        (Refused(reasons.ELEMENT_NOT_ALLOWED, "below /PRPA_IN1"), 200, "AE"),
        (Unavailable(reasons.MEDIUM_FULL), 503, "AE"),
        (Unavailable(reasons.RATE_LIMITED), 429, "AE"),
        (Refused(reasons.SENDER_UNKNOWN), 401, "AE"),
        (Refused(reasons.MESSAGE_TOO_LARGE), 413, "AE"),
    ],
)
def test_what_is_wrong_with_the_message_is_told_in_soap_and_the_rest_in_http_too(
    outcome, status: int, code: str
) -> None:
    response, _, _, message = told(outcome)
    assert response.status == status
    acknowledgement = message.find(f"{V3}acknowledgement")
    assert acknowledgement.get("typeCode") == code
    if code == "AE":
        text = acknowledgement.find(f"{V3}acknowledgementDetail/{V3}text").get("value")
        assert text.startswith(f"{outcome.reason.code}: ")
        assert outcome.where in text
    assert ("Retry-After" in response.headers) == (status in {429, 503})


@pytest.mark.parametrize(
    ("asked", "namespace", "media_type"),
    [
        ("text/xml", SOAP_1_1, "text/xml"),
        ("application/soap+xml", SOAP_1_2, "application/soap+xml"),
        ("application/octet-stream", SOAP_1_1, "text/xml"),
    ],
)
def test_the_answer_speaks_the_calls_soap(asked, namespace, media_type) -> None:
    response, envelope, element, _ = told(TAKEN, asked=asked)
    assert envelope.tag == f"{namespace}Envelope"
    assert envelope[0].tag == f"{namespace}Body"
    assert response.content_type == media_type
    assert element.tag == f"{V3}HIPMessageServerResponse"
    assert element[0].tag == f"{V3}payload"


def test_other_vendors_elements_are_named_by_the_channel() -> None:
    names = {"response": "{http://x.example}R", "result": "{}output"}
    _, _, element, _ = told(TAKEN, reply=SoapReplySection.model_validate(names))
    assert (element.tag, element[0].tag) == ("{http://x.example}R", "output")
    for name in ("R", "{urn:a}R&", "{urn:<}R", "{urn:a}", "{urn:a}a b"):
        with pytest.raises(ValidationError):
            SoapReplySection.model_validate({"result": name})


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no xml",
        '<id extension="&lt;x"/>',
        '<id extension="a\u202eb"/>',
        '<id extension="' + "x" * 300 + '"/>',
        "<id>",
        "<id extension='never closed/>",
        "\x00\xff" * 100,
    ],
)
def test_ids_that_are_not_plain_are_left_out_and_the_answer_stays_lawful(message: str) -> None:
    ids = read_ids(call(message))
    assert ids == CallIds({}, {}, {})
    assert ids.duplicate_key is None
    _, _, _, parsed = told(TAKEN, ids)
    assert parsed.find(f"{V3}acknowledgement/{V3}targetMessage/{V3}id").get("nullFlavor") == "NI"


def test_hostile_calls_are_read_in_bounded_time() -> None:
    with processor_time_below(2):
        for piece in (b"<id ", b"<id a", b"&amp;lt;", b"<sender", b"<id extension='", b'root="x'):
            read_ids(piece * (4_000_000 // len(piece)))


def test_the_senders_id_makes_a_repeated_call_known() -> None:
    assert read_ids(call(ESCAPED)).duplicate_key == b"2.16.156.10011.0^M-1"
