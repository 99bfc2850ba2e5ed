"""Parsing under limits, and the checks that hold for every XML channel.

libxml2 gets UTF-8 without prolog, no network, no DTD, and its own limits left on (256 levels,
10 million characters in a node). Comments go and CDATA sections become text while it reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lxml import etree

from ferry_format.reasons import (
    CONTROL_CHARACTER,
    ELEMENT_NOT_ALLOWED,
    LIMIT_EXCEEDED,
    NOT_WELL_FORMED,
    PROCESSING_INSTRUCTION_NOT_ALLOWED,
    Refused,
)
from validators.characters import find_forbidden
from validators.xml.paths import namespace_of

if TYPE_CHECKING:
    from lxml.etree import _Element

    from validators.policy import XmlPolicy

_XINCLUDE: Final = "http://www.w3.org/2001/XInclude"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_NO_URI: Final = "a namespace that is no absolute URI"
_XSI_TYPE: Final = f"{{{_XSI}}}type"
_HINTS: Final = (f"{{{_XSI}}}schemaLocation", f"{{{_XSI}}}noNamespaceSchemaLocation")
_MARKS_PER_ELEMENT: Final = 4
_WHITE_SPACE: Final = " \t\r\n"
_PREFIX: Final = re.compile(r"[^\s:]+")
_NOT_IN_NAMESPACES: Final = re.compile(r"[\s&<>\"]")
"""libxml2 writes namespaces without escaping them: what stands in one could become markup."""


def parse(text: str, policy: XmlPolicy) -> _Element:
    """The root element, within the policy's limits and free of forbidden characters.

    Raises Refused(LIMIT_EXCEEDED, NOT_WELL_FORMED, CONTROL_CHARACTER, ELEMENT_NOT_ALLOWED,
    PROCESSING_INSTRUCTION_NOT_ALLOWED).
    """
    # A tree takes a hundred bytes and more an element or attribute: these are counted before it
    # is built, by a mark that each of them needs.
    most = policy.elements_max * _MARKS_PER_ELEMENT
    if text.count("<") > most or text.count("=") > most:
        raise Refused(LIMIT_EXCEEDED, f"more than {most} of < or of =")
    # libxml2's time grows with the square of the declarations on one element.
    if text.count("xmlns:") > policy.elements_max:
        raise Refused(LIMIT_EXCEEDED, f"more than {policy.elements_max} of xmlns:")
    refused = policy.processing_instructions == "refuse"
    try:
        root: _Element = etree.fromstring(text.encode(), hardened_parser(keep_instructions=refused))
    except etree.XMLSyntaxError as error:
        # The message may quote data; line and column do not.
        raise Refused(NOT_WELL_FORMED, f"line {error.lineno}, column {error.offset}") from None
    except UnicodeEncodeError:
        raise Refused(CONTROL_CHARACTER, "lone surrogate") from None
    if refused:
        _check_instructions(root)
    _check(root, policy)
    return root


def hardened_parser(*, keep_instructions: bool = False) -> etree.XMLParser:
    """A parser that fetches nothing, resolves nothing and keeps libxml2's own limits.

    Comments go, CDATA becomes text, and processing instructions go unless they are to be judged.
    """
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=not keep_instructions,
        strip_cdata=True,
    )


def drop_schema_hints(root: _Element) -> None:
    """Take away where a reader might look for a schema: no receiver is told to fetch anything."""
    for element in root.iter():
        for name in _HINTS:
            element.attrib.pop(name, None)


def drop_blank_text(root: _Element) -> None:
    """Take away white space between elements, where no other text stands beside them."""
    for element in root.iter():
        texts = [element.text, *(child.tail for child in element)]
        if len(texts) > 1 and not any(each and each.strip(_WHITE_SPACE) for each in texts):
            element.text = None
            for child in element:
                child.tail = None


def write(root: _Element) -> bytes:
    """Exclusive canonical XML 1.0 without comments (W3C, 2002).

    A namespace is declared where it is first used, and no other is; the prefixes stay, and so do
    those that stand in xsi:type. Raises Refused(NOT_WELL_FORMED) where xsi:type has an undeclared
    one, and for namespaces that are no absolute URIs.
    """
    prefixes = sorted(_prefixes_in_types(root))
    try:
        written: bytes = etree.tostring(
            root,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=prefixes,
        )
    except etree.C14NError:
        # Canonical XML has no form for relative namespace URIs (chapter 1.3).
        raise Refused(NOT_WELL_FORMED, _NO_URI) from None
    return written


def _prefixes_in_types(root: _Element) -> set[str]:
    prefixes = set()
    for element in root.iter():
        value = element.get(_XSI_TYPE)
        if value is None:
            continue
        prefix, colon, _ = value.strip().partition(":")
        if not colon:
            prefixes.add("#default")
        elif _PREFIX.fullmatch(prefix) and prefix in element.nsmap:
            prefixes.add(prefix)
        else:
            raise Refused(NOT_WELL_FORMED, "xsi:type with an undeclared prefix")
    return prefixes


def _check_instructions(root: _Element) -> None:
    found = next(root.iter(etree.ProcessingInstruction), None)
    beside = [*root.itersiblings(), *root.itersiblings(preceding=True)]
    if found is not None or beside:
        raise Refused(PROCESSING_INSTRUCTION_NOT_ALLOWED)


def _check(root: _Element, policy: XmlPolicy) -> None:
    census = _Census(policy)
    for event, found in etree.iterwalk(root, events=("start", "end", "start-ns")):
        if event == "start":
            census.enter(found)
        elif event == "end":
            census.leave(found)
        else:
            census.declare(*found)
    census.judge()


class _Census:
    """What one walk through a message meets: counted at once, its characters judged together."""

    def __init__(self, policy: XmlPolicy) -> None:
        self._policy = policy
        self._depth = 0
        self._elements = 0
        self._namespaces: set[str] = set()
        self._declarations: set[tuple[str, str]] = set()
        self._texts: list[str] = []

    def enter(self, element: _Element) -> None:
        if not isinstance(element.tag, str):
            raise Refused(NOT_WELL_FORMED, "an undeclared entity")
        self._depth += 1
        self._elements += 1
        attributes = element.attrib
        for count, most, what in (
            (self._depth, self._policy.depth_max, "levels"),
            (self._elements, self._policy.elements_max, "elements"),
            (len(attributes), self._policy.attributes_max, "attributes"),
        ):
            if count > most:
                raise Refused(LIMIT_EXCEEDED, f"more than {most} {what}")
        self._namespaces.add(namespace_of(element.tag))
        self._texts += [element.tag, *attributes, *attributes.values()]
        if element.text:
            self._texts.append(element.text)

    def leave(self, element: _Element) -> None:
        self._depth -= 1
        if element.tail:
            self._texts.append(element.tail)

    def declare(self, prefix: str, namespace: str) -> None:
        self._namespaces.add(namespace)
        self._declarations.add((prefix, namespace))
        self._texts += [prefix, namespace]

    def judge(self) -> None:
        if _XINCLUDE in self._namespaces:
            raise Refused(ELEMENT_NOT_ALLOWED, "XInclude")
        if any(map(_NOT_IN_NAMESPACES.search, self._namespaces)):
            raise Refused(NOT_WELL_FORMED, _NO_URI)
        if len(self._declarations) > self._policy.namespaces_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {self._policy.namespaces_max} namespaces")
        if any(len(each) > self._policy.text_chars_max for each in self._texts):
            raise Refused(LIMIT_EXCEEDED, f"more than {self._policy.text_chars_max} characters")
        if find_forbidden("".join(self._texts)) is not None:
            raise Refused(CONTROL_CHARACTER)
