"""CDA R2 documents: the header's required parts, what document it is, and attached bodies.

These are checks of structure after the standard's chapter 4.2, for no official CDA.xsd comes with
the ferry. The Chinese shared documents (WS/T 500) are CDA documents with a typeId of their own;
`shared_documents` knows which of them a document is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import (
    ATTACHMENT_NOT_ALLOWED,
    HEADER_INCOMPLETE,
    LIMIT_EXCEEDED,
    MESSAGE_TYPE_NOT_ALLOWED,
    NOT_WELL_FORMED,
    Refused,
)
from validators import embedded
from validators.xml import shared_documents
from validators.xml.cda_names import ELEMENTS
from validators.xml.paths import local_name_of

if TYPE_CHECKING:
    from lxml.etree import _Element

    from validators.policy import CdaPolicy

_HL7: Final = "{urn:hl7-org:v3}"
_DOCUMENT: Final = f"{_HL7}ClinicalDocument"
_TYPE_ID_ROOT: Final = "2.16.840.1.113883.1.3"
_TYPE_ID_EXTENSIONS: Final = ("POCD_HD000040", "POCD_MT000040")
"""The standard's own, and the one of WS/T 500."""
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}")
_REQUIRED_VALUES: Final = (
    ("id", "root"),
    ("code", "code"),
    ("effectiveTime", "value"),
    ("confidentialityCode", "code"),
)
_REQUIRED_PARTS: Final = ("recordTarget", "author", "custodian")
_ONCE: Final = (
    "typeId",
    "id",
    "code",
    "title",
    "effectiveTime",
    "confidentialityCode",
    "languageCode",
    "setId",
    "versionNumber",
    "copyTime",
    "dataEnterer",
    "custodian",
    "legalAuthenticator",
    "componentOf",
    "component",
)
"""What a document has at most once (CDA R2, 4.2): of two, a receiver might read the other."""
_CONTROL_ID_CHARS_MAX: Final = 199
_BASE64: Final = "B64"
_TEXT: Final = (None, "TXT")
"""Without a representation, data is text (HL7 Version 3, data types, ED)."""


def check(root: _Element, policy: CdaPolicy) -> None:
    """Raise Refused unless this is a document that the channel names, with a whole header.

    Reasons: MESSAGE_TYPE_NOT_ALLOWED, HEADER_INCOMPLETE, NOT_WELL_FORMED, ATTACHMENT_NOT_ALLOWED,
    LIMIT_EXCEEDED. Base64 loses its white space, so that one spelling is left.
    """
    if root.tag != _DOCUMENT:
        raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "no ClinicalDocument")
    _check_header(root)
    if policy.standard == "WS/T 500":
        _check_shared(root)
    if policy.documents != "any" and document_code(root) not in policy.documents:
        raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "code")
    if policy.templates != "any":
        named = {each.get("root") for each in root.findall(f"{_HL7}templateId")}
        if named.isdisjoint(policy.templates):
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "templateId")
    _check_files(root, policy)


def _check_header(root: _Element) -> None:
    for name in _ONCE:
        if len(root.findall(f"{_HL7}{name}")) > 1:
            raise Refused(NOT_WELL_FORMED, f"{name}: more than one")
    type_id = root.find(f"{_HL7}typeId")
    if (
        type_id is None
        or type_id.get("root") != _TYPE_ID_ROOT
        or type_id.get("extension") not in _TYPE_ID_EXTENSIONS
    ):
        raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "typeId")
    for name, attribute in _REQUIRED_VALUES:
        _required(root, name, attribute)
    for name in _REQUIRED_PARTS:
        if root.find(f"{_HL7}{name}") is None:
            raise Refused(HEADER_INCOMPLETE, name)


def _check_shared(root: _Element) -> None:
    """A document of WS/T 500 says what it is twice, and the same both times."""
    code = root.find(f"{_HL7}code")
    if (
        code is None
        or code.get("code") not in shared_documents.NAMES
        or code.get("codeSystem") != shared_documents.CODE_SYSTEM
    ):
        raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "code")
    named = {each.get("root") for each in root.findall(f"{_HL7}templateId")}
    kinds = {shared_documents.BY_TEMPLATE.get(each) for each in named} - {None}
    if kinds != {code.get("code")}:
        raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "templateId")


def document_code(root: _Element) -> str:
    """The document's code (ClinicalDocument/code/@code). Raises Refused(NOT_WELL_FORMED)."""
    code = _required(root, "code", "code")
    if _CODE.fullmatch(code) is None:
        raise Refused(NOT_WELL_FORMED, "code")
    return code


def document_id(root: _Element) -> str:
    """The document's id as root^extension. Raises Refused(LIMIT_EXCEEDED)."""
    element = root.find(f"{_HL7}id")
    extension = None if element is None else element.get("extension")
    text = "^".join(filter(None, (_required(root, "id", "root"), extension)))
    if len(text) > _CONTROL_ID_CHARS_MAX:
        raise Refused(LIMIT_EXCEEDED, "id")
    return text


def _required(root: _Element, name: str, attribute: str) -> str:
    element = root.find(f"{_HL7}{name}")
    value: str | None = None if element is None else element.get(attribute)
    if not value:
        raise Refused(HEADER_INCOMPLETE, f"{name}/@{attribute}")
    return value


def _check_files(root: _Element, policy: CdaPolicy) -> None:
    for body in root.iter(f"{_HL7}nonXMLBody"):
        _check_body(body, policy)
    for element in root.iter("*"):
        representation = element.get("representation")
        if representation == _BASE64:
            _check_file(element, policy)
        else:
            _check_text(element, representation)


def _check_text(element: _Element, representation: str | None) -> None:
    """An element that is no base64 by its own word, and must then hold none."""
    if representation not in _TEXT or element.get("compression") is not None:
        raise Refused(ATTACHMENT_NOT_ALLOWED, f"representation in {_shown(element)}")
    own_text = element.text or ""
    if len(element):
        own_text += "".join([child.tail or "" for child in element])
    for text in (own_text, *element.attrib.values()):
        # Most are shorter: asking that first halves what the check costs.
        if len(text) >= embedded.DIGITS_MIN and not embedded.is_text(str(text)):
            place = f"a file as text in {_shown(element)}"
            raise Refused(ATTACHMENT_NOT_ALLOWED, place)


def _shown(element: _Element) -> str:
    """An element in a place, by a name that CDA has: its sender's own might be data."""
    name = local_name_of(element.tag)
    return name if name in ELEMENTS else "an element"


def _check_body(body: _Element, policy: CdaPolicy) -> None:
    """A body that is a file: in base64 (checked with all others), or a text as it stands."""
    text = body.find(f"{_HL7}text")
    if not policy.attachments or text is None or len(body) != 1 or len(text):
        raise Refused(ATTACHMENT_NOT_ALLOWED, "nonXMLBody")
    if text.get("representation") != _BASE64:
        data = (text.text or "").encode()
        embedded.within(data, policy.attachment_bytes_max, "nonXMLBody")
        embedded.check(data, policy.attachments, text.get("mediaType", "text/plain"), "nonXMLBody")


def _check_file(element: _Element, policy: CdaPolicy) -> None:
    """An element of data type ED whose text is base64, wherever it stands."""
    place = f"base64 in {_shown(element)}"
    if not policy.attachments or len(element) or element.get("compression") is not None:
        raise Refused(ATTACHMENT_NOT_ALLOWED, place)
    digits = embedded.without_white_space(element.text or "")
    file = embedded.decoded(digits, policy.attachment_bytes_max, place)
    embedded.check(file, policy.attachments, element.get("mediaType"), place)
    element.text = digits
