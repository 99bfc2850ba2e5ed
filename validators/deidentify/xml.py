"""XML messages as slots: CDA documents by their own table, others by paths that a channel names.

Outside CDA nothing says what an element means, so each text and attribute must be named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from lxml import etree

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, ELEMENT_NOT_ALLOWED, Refused
from validators.deidentify.cda_table import kind_of_attribute, kind_of_text
from validators.deidentify.slots import Form, Part, Put, Slot
from validators.xml.cda_names import STEPS
from validators.xml.parse import hardened_parser, write
from validators.xml.paths import SUBTREE, local_name_of, namespace_of, step_of, steps_of

if TYPE_CHECKING:
    from lxml.etree import _Element

    from validators.policy import XmlPolicy
    from validators.policy.deidentify import DeidentificationPolicy, Kind

Path = tuple[str, ...]

_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
_OF_SCHEMAS: Final = frozenset({f"@{_XSI}nil", f"@{_XSI}type"})
"""Attributes that nobody names: looked through as texts. What hints at schemas is gone by now."""
_BASE64: Final = "B64"
_NAME: Final = "name"
_CDA_MOMENT: Final = ("ClinicalDocument", "effectiveTime", "@value")
_DATES: Final[frozenset[Kind]] = frozenset({"date", "birth-date"})


class XmlFamily:
    """Where persons stand in the messages of one channel."""

    def __init__(self, policy: DeidentificationPolicy, content: XmlPolicy) -> None:
        named = {steps_of(place.at): place.holds for place in policy.places}
        self._places = {path: kind for path, kind in named.items() if path[-1] != SUBTREE}
        self._subtrees = {path[:-1]: kind for path, kind in named.items() if path[-1] == SUBTREE}
        self._is_cda = content.cda is not None
        known = {step for path in named for step in path} | _OF_SCHEMAS
        self._known = known | STEPS if self._is_cda else known
        self._removes_files = policy.files == "remove"
        self._patient = None if policy.patient is None else steps_of(policy.patient)

    def open(self, payload: bytes) -> XmlDocument:
        """Parse an accepted message.

        Raises Refused(ELEMENT_NOT_ALLOWED, ATTACHMENT_NOT_ALLOWED).
        """
        root: _Element = etree.fromstring(payload, hardened_parser())
        walk = _Walk(
            self._kind,
            self._shown,
            namespace_of(root.tag),
            is_cda=self._is_cda,
            removes_files=self._removes_files,
        )
        slots = list(walk.element(root, ()))
        moment = _values_at(root, _CDA_MOMENT) if self._is_cda else []
        part = Part(slots, self._patients(root), moment[0] if moment else None)
        return XmlDocument(root, part)

    def _kind(self, path: Path, standard: Callable[[], Kind]) -> Kind:
        named = self._places.get(path)
        length = len(path)
        while named is None and length:
            named = self._subtrees.get(path[:length])
            length -= 1
        if named is not None:
            return named
        if self._is_cda or path[-1] in _OF_SCHEMAS:
            return standard()
        raise Refused(ELEMENT_NOT_ALLOWED, f"{self._shown(path)}: de-identification")

    def _shown(self, path: Path) -> str:
        """A path by the names that CDA or the policy has: others might be data."""
        return "".join(f"/{step}" if step in self._known else "/?" for step in path)

    def _patients(self, root: _Element) -> set[str]:
        if self._patient is not None:
            return set(_values_at(root, self._patient))
        if not self._is_cda:
            return set()
        firsts = _first_ids(root)
        return {value for value in firsts if value}


class XmlDocument:
    """One message; what is put into its slots stands in `write`."""

    def __init__(self, root: _Element, part: Part) -> None:
        self.parts = (part,)
        self._root = root

    def write(self) -> bytes:
        """The message as it stands now."""
        return write(self._root)


class _Walk:
    """One message, element by element."""

    def __init__(
        self,
        kind: Callable[[Path, Callable[[], Kind]], Kind],
        shown: Callable[[Path], str],
        namespace: str,
        *,
        is_cda: bool,
        removes_files: bool,
    ) -> None:
        self._kind = kind
        self._shown = shown
        self._namespace = namespace
        self._is_cda = is_cda
        self._removes_files = removes_files
        self._names = 0
        self._owner = 0

    def element(self, element: _Element, above: Path) -> Iterator[Slot]:
        """The slots of an element and all below it."""
        path = (*above, step_of(element.tag, self._namespace))
        for name, value in list(element.attrib.items()):
            if value:
                yield from self._attribute(element, name, value, path)
        if self._is_file(element):
            yield self._file(element, path)
            return
        outside = self._owner
        if self._is_cda and local_name_of(element.tag) == _NAME:
            self._names += 1
            self._owner = self._names
        yield from self._text(element, element.text, path, partial(_put_text, element))
        for child in element:
            yield from self.element(child, path)
            yield from self._text(element, child.tail, path, partial(_put_tail, child))
        self._owner = outside

    def _text(self, element: _Element, text: str | None, path: Path, put: Put) -> Iterator[Slot]:
        if text and not text.isspace():
            kind = self._kind(path, partial(kind_of_text, element))
            yield from self._slot(path, kind, text, put)

    def _attribute(self, element: _Element, name: str, value: str, path: Path) -> Iterator[Slot]:
        where = (*path, f"@{name}")
        kind = self._kind(where, partial(kind_of_attribute, element, name))
        if kind == "age":
            put: Put = partial(_put_number, element, name)
            yield from self._slot(where, kind, f"{value}{element.get('unit', '')}", put)
        else:
            yield from self._slot(where, kind, value, partial(_put_attribute, element, name))

    def _slot(self, path: Path, kind: Kind, value: str, put: Put) -> Iterator[Slot]:
        if kind == "keep":
            return
        form = Form.DATE if kind in _DATES and self._is_cda else Form.TEXT
        yield Slot(self._shown(path), kind, value, put, form, self._owner)

    def _is_file(self, element: _Element) -> bool:
        if not self._is_cda:
            return False
        parent = element.getparent()
        in_body = parent is not None and parent.tag == f"{{{self._namespace}}}nonXMLBody"
        return in_body or bool(element.get("representation") == _BASE64)

    def _file(self, element: _Element, path: Path) -> Slot:
        place = self._shown(path)
        if not self._removes_files:
            raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: de-identification")
        return Slot(place, "remove", "", partial(_put_text, element))


def _put_text(element: _Element, value: str | None) -> None:
    element.text = value


def _put_tail(element: _Element, value: str | None) -> None:
    element.tail = value


def _put_attribute(element: _Element, name: str, value: str | None) -> None:
    if value is None:
        del element.attrib[name]
    else:
        element.set(name, value)


def _put_number(element: _Element, name: str, value: str | None) -> None:
    digits = "".join(each for each in value or "" if each.isdecimal())
    _put_attribute(element, name, digits or None)


def _values_at(root: _Element, path: Path) -> list[str]:
    """What stands at each element of a path, or in its attribute."""
    attribute = path[-1][1:] if path[-1].startswith("@") else None
    steps = path if attribute is None else path[:-1]
    namespace = namespace_of(root.tag)
    found = [root] if step_of(root.tag, namespace) == steps[0] else []
    for step in steps[1:]:
        found = [child for each in found for child in each if step_of(child.tag, namespace) == step]
    values = (each.text if attribute is None else each.get(attribute) for each in found)
    return [value for value in values if value]


def _first_ids(root: _Element) -> list[str]:
    """The first id of each patient of a CDA document."""
    namespace = namespace_of(root.tag)
    ids = []
    for role in root.iterfind(f"{{{namespace}}}recordTarget/{{{namespace}}}patientRole"):
        first = role.find(f"{{{namespace}}}id")
        ids.append("" if first is None else first.get("extension") or first.get("root") or "")
    return ids
