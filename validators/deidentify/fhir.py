"""FHIR resources as slots: one walk by HL7's definitions, which say the type of every element.

Extensions go unless the channel names their URL, narratives always: neither has a table. A
modifierExtension that is not named refuses the message, since what it says of the rest would go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, ELEMENT_NOT_ALLOWED, Refused
from validators import json_text
from validators.deidentify.ages import AGE_CODES
from validators.deidentify.fhir_patients import patients_in
from validators.deidentify.fhir_table import ALWAYS_NAMED, ELEMENTS, REFERENCES, TYPES
from validators.deidentify.methods import BLANK
from validators.deidentify.slots import Form, Part, Slot
from validators.fhir import model
from validators.fhir.files import HOLDERS
from validators.fhir.model import RESOURCE

if TYPE_CHECKING:
    from validators.fhir.model import Element
    from validators.policy import FhirPolicy
    from validators.policy.deidentify import DeidentificationPolicy, Kind

Object = dict[str, Any]

_EXTENSION: Final = "Extension"
_BASE64: Final = "base64Binary"
_URIS: Final = frozenset({"canonical", "uri"})
_DISPLAY: Final = "Reference.display"
_QUANTITY: Final = "Observation.valueQuantity"
_FORMS: Final = {"date": Form.DATE, "dateTime": Form.DATE, "instant": Form.INSTANT}
_REFERENCE: Final = re.compile(
    r"((?:https?://[^/\s?#@%]+/(?:[^/\s?#@%]+/)*)?)"
    r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})((?:/_history/[^/]*)?)"
)
_NAMED_ALONE: Final = re.compile(r"(#|urn:uuid:|urn:oid:)(.+)")


class FhirFamily:
    """Where persons stand in the resources of one channel."""

    def __init__(self, policy: DeidentificationPolicy, content: FhirPolicy) -> None:
        self._model = model.load(content.version)
        self._depth_max = content.depth_max
        self._places: dict[str, Kind] = {place.at: place.holds for place in policy.places}
        self._removes_files = policy.files == "remove"

    def open(self, payload: bytes) -> FhirDocument:
        """Parse an accepted message.

        Raises Refused(ATTACHMENT_NOT_ALLOWED, ELEMENT_NOT_ALLOWED).
        """
        root = json_text.parse(payload, self._depth_max)
        assert isinstance(root, dict)
        return FhirDocument(root, list(self._resource(root)))

    def _resource(self, resource: Object) -> Iterator[Slot]:
        name = resource["resourceType"]
        kind = self._places.get(f"{name}.id", "internal")
        if "id" in resource and kind != "keep":
            put = partial(_put_member, resource, "id")
            yield Slot(f"{name}.id", kind, resource["id"], put)
        yield from self._object(resource, name, name, None)

    def _object(
        self, holder: Object, type_name: str, place: str, forced: Kind | None
    ) -> Iterator[Slot]:
        elements = self._model[type_name].elements
        for key in list(holder):
            element = elements.get(key.removeprefix("_"))
            if element is None:
                continue  # resourceType
            below = f"{place}.{key}"
            if key.startswith("_"):
                yield from self._beside(holder, key, below)
            elif element.type == _EXTENSION:
                yield from self._extensions(holder, key, below)
            else:
                name = f"{type_name}.{key}"
                yield from self._member(holder, key, element, name, below, forced)

    def _member(
        self,
        holder: Object,
        key: str,
        element: Element,
        name: str,
        place: str,
        forced: Kind | None,
    ) -> Iterator[Slot]:
        kind = self._places.get(place, forced)
        if kind is None and _names_a_resource(name, element, holder[key]):
            yield from self._reference(holder, key, place)
            return
        if kind is None:
            kind = self._standard(holder, name, element, place)
        if kind == "remove":
            yield Slot(place, kind, "", partial(_put_member, holder, key))
        elif name == _QUANTITY and _is_age(holder) and "value" in holder[key]:
            yield _age(holder[key], "value", f"{place}.value")
        elif kind == "age" and element.is_primitive:
            yield _age(holder, key, place)
        elif name == _DISPLAY and kind == "name":
            yield Slot(place, kind, holder[key], partial(_put_display, holder))
        elif kind != "keep":
            yield from self._held(holder, key, element, kind, place, forced)

    def _held(
        self,
        holder: Object,
        key: str,
        element: Element,
        kind: Kind | None,
        place: str,
        forced: Kind | None,
    ) -> Iterator[Slot]:
        owner = id(holder) if kind == "name" else 0
        form = _FORMS.get(element.type, Form.TEXT)
        for value, put in _values(holder, key):
            if element.type == RESOURCE:
                yield from self._resource(value)
            elif isinstance(value, dict):
                yield from self._object(value, element.type, place, self._places.get(place, forced))
            elif kind is not None and not isinstance(value, bool):
                yield Slot(place, kind, str(value), put, form, owner)

    def _standard(self, holder: Object, name: str, element: Element, place: str) -> Kind | None:
        """The kind of an element by the tables; None for one that has its parts."""
        if name == _DISPLAY and _type_of(holder) in ALWAYS_NAMED:
            return "name"
        if _is_file(name, element) and not self._removes_files:
            raise Refused(ATTACHMENT_NOT_ALLOWED, f"{place}: de-identification")
        kind = ELEMENTS.get(name, TYPES.get(element.type))
        return "keep" if kind is None and element.is_primitive else kind

    def _reference(self, holder: Object, key: str, place: str) -> Iterator[Slot]:
        """The id in a reference or URL; what names a resource in another way is taken away."""
        text = holder[key]
        start, id_ = self._split(text)
        if id_ is not None:
            yield Slot(place, "internal", id_, partial(_put_id, holder, key, start))
        elif text != "#" and not self._is_resource(text):
            yield Slot(place, "remove", "", partial(_put_member, holder, key))

    def _split(self, text: str) -> tuple[str, str | None]:
        """What stands before an id, and the id; None if nothing does but what says nothing.

        A server's address names no resource: of `Patient/1/Observation/2` the first would stay.
        """
        alone = _NAMED_ALONE.fullmatch(text)
        if alone is not None:
            return alone[1], alone[2]
        found = _REFERENCE.fullmatch(text)
        if found is None:
            return "", None
        base, type_name, id_, _ = found.groups()
        if not self._is_resource(type_name) or any(map(self._is_resource, base.split("/"))):
            return "", None
        return f"{base}{type_name}/", id_

    def _is_resource(self, name: str) -> bool:
        return name in self._model and self._model[name].is_resource

    def _extensions(self, holder: Object, key: str, place: str) -> Iterator[Slot]:
        for value, put in _values(holder, key):
            kind = self._places.get(value.get("url", ""))
            if kind is None and key == "modifierExtension":
                raise Refused(ELEMENT_NOT_ALLOWED, f"{place}: de-identification")
            if kind is None or kind == "remove":
                yield Slot(place, "remove", "", put)
            elif kind != "keep":
                yield from self._object(value, _EXTENSION, place, kind)

    def _beside(self, holder: Object, key: str, place: str) -> Iterator[Slot]:
        """What stands beside primitive values: extensions, of which only named ones cross."""
        for value, _ in _values(holder, key):
            if isinstance(value, dict) and "extension" in value:
                yield from self._extensions(value, "extension", f"{place}.extension")


class FhirDocument:
    """One message; what is put into its slots stands in `write`."""

    def __init__(self, root: Object, slots: Sequence[Slot]) -> None:
        moment = root.get("timestamp") or root.get("meta", {}).get("lastUpdated")
        self.parts = (Part(slots, patients_in(root), moment),)
        self._root = root

    def write(self) -> bytes:
        """The message as it stands now, without what went empty."""
        return json_text.write(_pruned(self._root))


def _values(holder: Object, key: str) -> Iterator[tuple[Any, Callable[[str | None], None]]]:
    """Each value of a property, with what replaces it."""
    value = holder[key]
    if not isinstance(value, list):
        yield value, partial(_put_member, holder, key)
        return
    for index, each in enumerate(value):
        if each is not None:
            yield each, partial(_put_item, value, index)


def _put_member(holder: Object, key: str, value: str | None) -> None:
    if value is None:
        holder.pop(key, None)
    else:
        holder[key] = value


def _put_id(holder: Object, key: str, start: str, value: str | None) -> None:
    _put_member(holder, key, None if value is None else f"{start}{value}")


def _put_item(items: list[Any], index: int, value: str | None) -> None:
    items[index] = value


def _names_a_resource(name: str, element: Element, value: object) -> bool:
    """Whether an element holds an id: a reference, or a URI of a contained resource."""
    is_local = isinstance(value, str) and value.startswith("#")
    return name in REFERENCES or (is_local and element.type in _URIS)


def _is_file(name: str, element: Element) -> bool:
    is_held = name.endswith(".data") and name.partition(".")[0] in HOLDERS
    return is_held or (element.type == _BASE64 and element.group.endswith("[x]"))


def _is_age(observation: Object) -> bool:
    codings = observation.get("code", {}).get("coding", ())
    return any(each.get("code") in AGE_CODES for each in codings)


def _age(quantity: Object, key: str, place: str) -> Slot:
    unit = quantity.get("code", quantity.get("unit", ""))
    return Slot(place, "age", f"{quantity[key]}{unit}", partial(_put_age, quantity, key))


def _put_age(holder: Object, key: str, value: str | None) -> None:
    digits = re.match("[0-9]+", value or "")
    _put_member(holder, key, None)
    if digits is not None:
        holder[key] = int(digits[0])


def _put_display(reference: Object, value: str | None) -> None:
    """A reference that says nothing but a name keeps a blank one: it may be required."""
    says_more = not reference.keys().isdisjoint({"reference", "identifier"})
    _put_member(reference, "display", None if value is None and says_more else value or BLANK)


def _type_of(reference: Object) -> str:
    """The type that a reference names; "" if none."""
    found = _REFERENCE.fullmatch(reference.get("reference", ""))
    return found[2] if found is not None else str(reference.get("type", ""))


def _pruned(value: Any) -> Any:
    """The value without empty objects and lists, and without the places of lost items."""
    if isinstance(value, dict):
        made = {}
        for key, each in value.items():
            kept = _pruned(each)
            if isinstance(kept, list) and None in kept and _twin(key) not in value:
                kept = [item for item in kept if item is not None]
            if kept not in ({}, [], None):
                made[key] = kept
        return made
    if isinstance(value, list):
        items = [_pruned(each) for each in value]
        items = [None if each in ({}, []) else each for each in items]
        return items if any(each is not None for each in items) else []
    return value


def _twin(key: str) -> str:
    return key[1:] if key.startswith("_") else f"_{key}"
