"""Narratives: the XHTML that FHIR allows (chapter 2.4.0, invariants txt-1 and txt-2), and no more.

Formatting and nothing that runs, fetches or sends: no scripts, forms, frames, styles that load, and
pictures only from within the message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lxml import etree

from ferry_format.reasons import (
    CONTROL_CHARACTER,
    DOCTYPE_NOT_ALLOWED,
    ELEMENT_NOT_ALLOWED,
    LIMIT_EXCEEDED,
    NOT_WELL_FORMED,
    Refused,
)
from validators.characters import find_forbidden
from validators.xml.parse import hardened_parser

if TYPE_CHECKING:
    from lxml.etree import _Element

_XHTML: Final = "{http://www.w3.org/1999/xhtml}"
_ROOT: Final = f"{_XHTML}div"
# fmt: off
_ELEMENTS: Final = frozenset((
    "a", "abbr", "acronym", "b", "big", "blockquote", "br", "caption", "cite", "code", "col",
    "colgroup", "dd", "dfn", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "img", "li", "ol", "p", "pre", "q", "samp", "small", "span", "strong", "sub", "sup",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "ul", "var",
))
# fmt: on
# fmt: off
_ATTRIBUTES: Final = frozenset((
    "abbr", "accesskey", "align", "alt", "axis", "bgcolor", "border", "cellhalign", "cellpadding",
    "cellspacing", "cellvalign", "char", "charoff", "charset", "cite", "class", "colspan",
    "compact", "coords", "dir", "frame", "headers", "height", "href", "hreflang", "hspace", "id",
    "lang", "longdesc", "name", "nowrap", "rel", "rev", "rowspan", "rules", "scope", "shape",
    "span", "src", "start", "style", "summary", "tabindex", "title", "type", "valign", "value",
    "vspace", "width", "{http://www.w3.org/XML/1998/namespace}lang",
))
# fmt: on
_ATTRIBUTES_MAX: Final = 50
"""As in XML channels by default. lxml reads them in a time that grows with their square."""
_LINK: Final = re.compile(r"(?i)(?:#|https?://|mailto:|tel:|[A-Za-z0-9./_-]*(?:[?#]|$))\S*")
_LOADS: Final = re.compile(r"(?i)url\s*\(|expression|@import|\\|/\*")


def elements_of(text: object) -> int:
    """How many elements a narrative can have, at most: counted before it is parsed."""
    return text.count("<") if isinstance(text, str) else 0


def rebuilt(text: object) -> str:
    """The same narrative in exclusive canonical form; comments and instructions are gone.

    Raises Refused(NOT_WELL_FORMED, DOCTYPE_NOT_ALLOWED, ELEMENT_NOT_ALLOWED, LIMIT_EXCEEDED,
    CONTROL_CHARACTER).
    """
    if not isinstance(text, str):
        raise Refused(NOT_WELL_FORMED, "div")
    if "<!DOCTYPE" in text.upper():
        raise Refused(DOCTYPE_NOT_ALLOWED, "div")
    try:
        root: _Element = etree.fromstring(text.encode(), hardened_parser())
    except (etree.XMLSyntaxError, ValueError):
        raise Refused(NOT_WELL_FORMED, "div") from None
    if root.tag != _ROOT:
        raise Refused(ELEMENT_NOT_ALLOWED, "div")
    says_something = False
    for element in root.iter():
        _check(element)
        has_text = not (element.text or "").isspace() and bool(element.text)
        has_tail = not (element.tail or "").isspace() and bool(element.tail)
        says_something = says_something or has_text or has_tail or element.tag == f"{_XHTML}img"
    if not says_something:
        raise Refused(NOT_WELL_FORMED, "div: empty")
    root.tail = None
    try:
        written: bytes = etree.tostring(root, method="c14n", exclusive=True, with_comments=False)
    except etree.C14NError:
        raise Refused(NOT_WELL_FORMED, "div: a namespace that is no absolute URI") from None
    return written.decode()


def _check(element: _Element) -> None:
    tag = element.tag
    if not isinstance(tag, str):
        raise Refused(NOT_WELL_FORMED, "div: an undeclared entity")
    if not tag.startswith(_XHTML) or tag.removeprefix(_XHTML) not in _ELEMENTS:
        raise Refused(ELEMENT_NOT_ALLOWED, "div: an element that narratives do not have")
    if len(element.attrib) > _ATTRIBUTES_MAX:
        raise Refused(LIMIT_EXCEEDED, f"div: more than {_ATTRIBUTES_MAX} attributes")
    for name, value in element.attrib.items():
        if name not in _ATTRIBUTES:
            raise Refused(ELEMENT_NOT_ALLOWED, "div: an attribute that narratives do not have")
        if name == "src" and not str(value).startswith("#"):
            raise Refused(ELEMENT_NOT_ALLOWED, "div: a picture from outside the message")
        if name in {"href", "cite", "longdesc"} and _LINK.fullmatch(str(value)) is None:
            raise Refused(ELEMENT_NOT_ALLOWED, f"div: {name}")
        if name == "style" and _LOADS.search(str(value)):
            raise Refused(ELEMENT_NOT_ALLOWED, "div: style")
    texts = (element.text, element.tail, *element.attrib.values())
    if any(each and find_forbidden(str(each)) is not None for each in texts):
        raise Refused(CONTROL_CHARACTER, "div")
