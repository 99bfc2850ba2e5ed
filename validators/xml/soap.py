"""SOAP 1.1 and 1.2 envelopes: protocol context around one message.

The envelope and its header go; the single child of the body is the message. A fault is an answer,
and no answer crosses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import FAULT_NOT_ALLOWED, NOT_WELL_FORMED, Refused
from validators.xml.paths import namespace_of

if TYPE_CHECKING:
    from lxml.etree import _Element

_NAMESPACES: Final = frozenset(
    ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
)


def is_soap(element: _Element) -> bool:
    """Whether the element belongs to SOAP itself."""
    return namespace_of(element.tag) in _NAMESPACES


def message_in(envelope: _Element) -> _Element:
    """The one message in the envelope's body.

    Raises Refused(FAULT_NOT_ALLOWED, NOT_WELL_FORMED): SOAP 1.1 chapter 4, SOAP 1.2 part 1
    chapter 5; several children in a body are legal there and are not here.
    """
    soap = f"{{{namespace_of(envelope.tag)}}}"
    parts = [each.tag for each in envelope]
    if envelope.tag != f"{soap}Envelope" or parts not in (
        [f"{soap}Body"],
        [f"{soap}Header", f"{soap}Body"],
    ):
        raise Refused(NOT_WELL_FORMED, "SOAP envelope")
    children = list(envelope[-1])
    if len(children) != 1:
        raise Refused(NOT_WELL_FORMED, "SOAP body without exactly one child")
    message = children[0]
    if message.tag == f"{soap}Fault":
        raise Refused(FAULT_NOT_ALLOWED)
    if is_soap(message):
        raise Refused(NOT_WELL_FORMED, "SOAP in a SOAP body")
    if any(each and each.strip() for each in (envelope[-1].text, message.tail)):
        raise Refused(NOT_WELL_FORMED, "text beside the message in a SOAP body")
    message.tail = None
    return message
