"""Answers to SOAP calls: an MCCI_IN000002UV01 in the response, AA or AE. Pure.

AA means: custody taken, durable. AE means: not taken, and its text says why and what to do. What is
wrong with the message itself is told with status 200, as callers of such services expect; whatever
else hinders it (no right to send, no room now) keeps its HTTP status, so that a caller who looks at
nothing else tries again.

What an answer mirrors (ids of the message and of the two systems) is read cheaply from the call's
first bytes, unchecked, as for HL7 v2 (validators.hl7v2.header); what is not found is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from ferry_format.identifiers import new_message_id
from ferry_format.reasons import FerryError
from outer_agent.admission import Receipt
from outer_agent.policy import SoapReplySection
from outer_agent.sources.problem import Problem, problem
from validators.characters import find_forbidden

_READ_BYTES: Final = 64 * 1024
_ESCAPES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&"))
_IDENTIFIER: Final = re.compile(r"<(?:id|item)\s([^<>]{1,1000})>")
_ATTRIBUTE: Final = re.compile(r"""\b(root|extension)\s*=\s*(["'])([^<>"'&]{1,199})\2""")
_V3: Final = "urn:hl7-org:v3"
_SOAP_1_2_TYPE: Final = "application/soap+xml"
_ENVELOPES: Final = {
    _SOAP_1_2_TYPE: "http://www.w3.org/2003/05/soap-envelope",
    "text/xml": "http://schemas.xmlsoap.org/soap/envelope/",
}
_INTERACTIONS_ROOT: Final = "2.16.840.1.113883.1.6"

Identifier = dict[str, str]
"""`root` and `extension` as they stand; empty where none was found."""


@dataclass(frozen=True, slots=True)
class CallIds:
    """What a call says of itself, unchecked."""

    message: Identifier
    sender: Identifier
    receiver: Identifier

    @property
    def duplicate_key(self) -> bytes | None:
        """What the sender knows the message by; None where it has no id."""
        if "extension" not in self.message:
            return None
        return "^".join((self.message.get("root", ""), self.message["extension"])).encode()


def read_ids(body: bytes) -> CallIds:
    """The ids in the message of a call, escaped or as CDATA. Never raises."""
    text = body[:_READ_BYTES].decode("utf-8", "replace")
    for escaped, character in _ESCAPES:
        text = text.replace(escaped, character)
    return CallIds(
        _identifier(text),
        _identifier(text.partition("<sender")[2].partition("</sender>")[0]),
        _identifier(text.partition("<receiver")[2].partition("</receiver>")[0]),
    )


def _identifier(text: str) -> Identifier:
    found = _IDENTIFIER.search(text)
    attributes = _ATTRIBUTE.findall(found[1]) if found is not None else []
    return {name: value for name, _, value in attributes if find_forbidden(value) is None}


def answer(
    reply: SoapReplySection, ids: CallIds, outcome: Receipt | FerryError, now_ms: int, asked: str
) -> Problem:
    """The response to a call. `asked`: the call's own media type; `now_ms`: unix milliseconds."""
    status, headers = int(HTTPStatus.OK), dict[str, str]()
    if isinstance(outcome, FerryError):
        refusal = problem(outcome)
        headers = refusal.headers
        if refusal.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            status = refusal.status
    media_type = _SOAP_1_2_TYPE if asked == _SOAP_1_2_TYPE else "text/xml"
    message = _acknowledgement(ids, outcome, now_ms)
    body = _envelope(reply, message, _ENVELOPES[media_type]).encode()
    return Problem(status, headers, body, media_type)


def _envelope(reply: SoapReplySection, message: str, namespace: str) -> str:
    result = _element(reply.result, escape(message))
    response = _element(reply.response, result)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<soap:Envelope xmlns:soap={quoteattr(namespace)}><soap:Body>{response}</soap:Body>"
        "</soap:Envelope>"
    )


def _element(name: str, content: str) -> str:
    namespace, _, local = name.removeprefix("{").rpartition("}")
    return f"<{local} xmlns={quoteattr(namespace)}>{content}</{local}>"


def _acknowledgement(ids: CallIds, outcome: Receipt | FerryError, now_ms: int) -> str:
    if isinstance(outcome, Receipt):
        code, told, own_id = "AA", "taken", outcome.message_id.hex()
    else:
        reason = outcome.reason
        place = f" ({outcome.where})" if outcome.where else ""
        code, told = "AE", f"{reason.code}: {reason.meaning}{place}. {reason.action}"
        own_id = new_message_id(now_ms).hex()
    now = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%d%H%M%S+0000")
    target = _attributes(ids.message)
    return (
        f'<MCCI_IN000002UV01 xmlns="{_V3}" ITSVersion="XML_1.0">'
        f'<id extension="{own_id}"/><creationTime value="{now}"/>'
        f'<interactionId root="{_INTERACTIONS_ROOT}" extension="MCCI_IN000002UV01"/>'
        '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
        f"{_device('receiver', 'RCV', ids.sender)}{_device('sender', 'SND', ids.receiver)}"
        f'<acknowledgement typeCode="{code}"><targetMessage><id{target}/></targetMessage>'
        f"<acknowledgementDetail><text value={quoteattr(told)}/></acknowledgementDetail>"
        "</acknowledgement></MCCI_IN000002UV01>"
    )


def _device(name: str, type_code: str, identifier: Identifier) -> str:
    return (
        f'<{name} typeCode="{type_code}"><device classCode="DEV" determinerCode="INSTANCE">'
        f"<id><item{_attributes(identifier)}/></id></device></{name}>"
    )


def _attributes(identifier: Identifier) -> str:
    if not identifier:
        return ' nullFlavor="NI"'
    return "".join(f" {name}={quoteattr(value)}" for name, value in sorted(identifier.items()))
