"""One walk over a resource: judged by the definitions and the channel, and built anew.

What is built holds nothing that the definitions and the policy do not name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import (
    ELEMENT_NOT_ALLOWED,
    FIELD_MISSING,
    LIMIT_EXCEEDED,
    MESSAGE_TYPE_NOT_ALLOWED,
    NOT_WELL_FORMED,
    SCHEMA_MISMATCH,
    Refused,
)
from validators import embedded
from validators.fhir import bundles, files, narrative, primitives
from validators.fhir.model import RESOURCE
from validators.fhir.rules import RULES
from validators.fhir.whitelist import EVERYTHING, Allowed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from validators.fhir.model import Element, FhirType, Group, Model
    from validators.policy import FhirPolicy

Object = dict[str, Any]

_EXTENSION: Final = "Extension"
_GENERATED: Final = "generated"
_BASE64: Final = "base64Binary"
_XHTML: Final = "xhtml"
_URIS: Final = frozenset({"canonical", "uri", "url"})
_BUNDLE: Final = "Bundle"
_NARRATIVE: Final = "Narrative"


@dataclass(frozen=True, slots=True)
class Channel:
    """What holds for every message of a channel; `allowed` has an entry a resource type."""

    model: Model
    policy: FhirPolicy
    allowed: Mapping[str, Allowed]


@dataclass(slots=True)
class _Scope:
    """A resource with what it contains: which `#id` stand in it, and which of them must exist."""

    named: set[str] = field(default_factory=set)
    referred: set[str] = field(default_factory=set)


class Walk:
    """One message on its way through the rules of its channel."""

    def __init__(self, channel: Channel) -> None:
        self._model = channel.model
        self._policy = channel.policy
        self._allowed = channel.allowed
        self._strips = channel.policy.unknown_elements == "strip"
        self._scope = _Scope()
        self._in_extension = False
        self._elements = 0

    def resource(self, value: object, place: str = "", *, contained: bool = False) -> Object:
        """The resource as it may cross.

        Raises Refused(NOT_WELL_FORMED, MESSAGE_TYPE_NOT_ALLOWED, ELEMENT_NOT_ALLOWED,
        FIELD_MISSING, SCHEMA_MISMATCH, ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED and what narratives
        raise).
        """
        if not isinstance(value, dict):
            raise Refused(NOT_WELL_FORMED, place or "resource")
        name = value.get("resourceType")
        fhir_type = self._model.get(name) if isinstance(name, str) else None
        if fhir_type is None or not fhir_type.is_resource:
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, place or "resourceType")
        allowed = self._allowed.get(fhir_type.name)
        if allowed is None:
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, place or "resourceType")
        place = f"{place}.{fhir_type.name}" if place else fhir_type.name
        body = {key: each for key, each in value.items() if key != "resourceType"}
        if contained and "contained" in body:
            raise Refused(SCHEMA_MISMATCH, f"{place}.contained (dom-2)")
        built: Object = {"resourceType": fhir_type.name}
        outside, self._scope = self._scope, _Scope()
        built.update(self._object(body, fhir_type, allowed, place, may_be_empty=True))
        if contained:
            # One that names its container ("#") need not be named by it.
            if "" in self._scope.named and "id" in built:
                outside.named.add(built["id"])
            outside.named |= self._scope.named
            outside.referred |= self._scope.referred
        else:
            _check_local(built.get("contained", []), self._scope, place)
        self._scope = outside
        return built

    def _object(
        self,
        value: Object,
        fhir_type: FhirType,
        allowed: Allowed,
        place: str,
        *,
        may_be_empty: bool = False,
    ) -> Object:
        built: Object = {}
        for key, each in value.items():
            element = self._element(key, fhir_type, allowed, place)
            if element is None:
                continue
            where = f"{place}.{key}"
            if element.is_primitive and element.many:
                _check_twins(value, key.removeprefix("_"), where)
            if element.type == _NARRATIVE and not self._narrative_may_cross(each, fhir_type, where):
                continue
            below = allowed.at(key.removeprefix("_")) or EVERYTHING
            self._property(built, key, each, element, below, where)
        self._drop_what_went_empty(built, fhir_type)
        self._check(built, fhir_type, place)
        if not built and not may_be_empty:
            raise Refused(SCHEMA_MISMATCH, f"{place} (ele-1)")
        return built

    def _element(
        self, key: str, fhir_type: FhirType, allowed: Allowed, place: str
    ) -> Element | None:
        """The definition of a property that may cross; None if it is to be stripped."""
        name = key.removeprefix("_")
        element = fhir_type.elements.get(name)
        if element is not None and key != name and not element.is_primitive:
            element = None
        if element is None:
            if self._strips:
                return None
            raise Refused(ELEMENT_NOT_ALLOWED, f"{place}.* (not known to FHIR)")
        if allowed.at(name) is None:
            if self._strips and not element.is_modifier:
                return None
            raise Refused(ELEMENT_NOT_ALLOWED, f"{place}.{name}")
        return element

    def _property(
        self,
        built: Object,
        key: str,
        value: object,
        element: Element,
        allowed: Allowed,
        place: str,
    ) -> None:
        is_beside = key.startswith("_")
        if not element.many:
            made = self._one(value, element, allowed, place, is_beside=is_beside)
            if made is not None:
                built[key] = made
            return
        if not isinstance(value, list):
            raise Refused(NOT_WELL_FORMED, f"{place}: no array")
        if not value:
            raise Refused(SCHEMA_MISMATCH, f"{place}: empty array")
        items: list[object] = []
        for index, each in enumerate(value):
            where = f"{place}[{index}]"
            if each is None and element.is_primitive:
                items.append(None)
                continue
            made = self._one(each, element, allowed, where, is_beside=is_beside)
            if made is not None or element.is_primitive:
                items.append(made)
        if items:
            built[key] = items

    def _one(
        self, value: object, element: Element, allowed: Allowed, place: str, *, is_beside: bool
    ) -> object | None:
        """One value as it may cross; None if nothing of it does."""
        self._count(1)
        if is_beside:
            if not isinstance(value, dict):
                raise Refused(NOT_WELL_FORMED, place)
            return self._beside(value, place)
        if element.is_primitive:
            return self._primitive(value, element, place)
        if not isinstance(value, dict):
            raise Refused(NOT_WELL_FORMED, f"{place}: no object")
        if element.type == RESOURCE:
            # Of all elements that hold resources, only DomainResource.contained repeats.
            return self.resource(value, place, contained=element.many)
        if element.type == _EXTENSION:
            return self._extension(value, element, place)
        return self._object(value, self._model[element.type], allowed, place)

    def _count(self, more: int) -> None:
        self._elements += more
        if self._elements > self._policy.elements_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {self._policy.elements_max} elements")

    def _primitive(self, value: object, element: Element, place: str) -> object:
        if element.type == _XHTML:
            try:
                self._count(narrative.elements_of(value))
                return narrative.rebuilt(value)
            except Refused as refused:
                raise Refused(refused.reason, f"{place}: {refused.where}") from None
        if element.type == _BASE64:
            if not isinstance(value, str) or not value:
                raise Refused(NOT_WELL_FORMED, place)
            digits = embedded.without_white_space(value)
            embedded.decoded(digits, self._policy.attachment_bytes_max, place)
            if element.group.endswith("[x]"):
                files.check_value(digits, self._policy, place)
            return digits
        type_name = _judged_as(element, place)
        if not primitives.is_valid(type_name, value):
            raise Refused(SCHEMA_MISMATCH, f"{place} ({type_name})")
        if element.codes is not None and value not in element.codes:
            raise Refused(SCHEMA_MISMATCH, f"{place} (code)")
        if isinstance(value, str) and value.startswith("#"):
            self._name(value[1:], element.type, place)
        return value

    def _name(self, id_: str, type_name: str, place: str) -> None:
        """Remember a `#id` where it can name a contained resource."""
        is_reference = place.endswith(".reference")
        if type_name in _URIS or is_reference:
            self._scope.named.add(id_)
        if type_name == "canonical" or is_reference:
            self._scope.referred.add(id_)

    def _beside(self, value: Object, place: str) -> Object | None:
        """What stands beside a primitive value: its id and its extensions."""
        built: Object = {}
        for key, each in value.items():
            if key == "id" and primitives.is_valid(primitives.ELEMENT_ID, each):
                built[key] = each
            elif key == "extension" and isinstance(each, list) and each:
                element = self._model[_EXTENSION].elements["extension"]
                self._property(built, key, each, element, EVERYTHING, f"{place}.extension")
            elif not self._strips:
                raise Refused(ELEMENT_NOT_ALLOWED, f"{place}.*")
        return built or None

    def _extension(self, value: Object, element: Element, place: str) -> Object | None:
        """An extension that may cross, with those nested in it, which have no whitelist."""
        listed = self._policy.extensions
        if not self._in_extension and listed != "any" and value.get("url") not in listed:
            if self._policy.unknown_extensions == "strip" and not element.is_modifier:
                return None
            raise Refused(ELEMENT_NOT_ALLOWED, place)
        outside, self._in_extension = self._in_extension, True
        built = self._object(value, self._model[_EXTENSION], EVERYTHING, place)
        self._in_extension = outside
        return built

    def _narrative_may_cross(self, value: object, fhir_type: FhirType, place: str) -> bool:
        if self._policy.narrative == "allow":
            return True
        generated = isinstance(value, dict) and value.get("status") == _GENERATED
        if self._policy.narrative == "strip" and generated and fhir_type.is_resource:
            return False
        raise Refused(ELEMENT_NOT_ALLOWED, place)

    def _drop_what_went_empty(self, built: Object, fhir_type: FhirType) -> None:
        """Take away positions of primitive arrays at which neither value nor extension is left."""
        for key in [name for name in built if not name.startswith("_")] + [
            name[1:] for name in built if name.startswith("_")
        ]:
            element = fhir_type.elements[key]
            if not element.is_primitive or not element.many:
                continue
            values, beside = built.pop(key, None), built.pop(f"_{key}", None)
            if values is None and beside is None:
                continue
            length = max(len(values or ()), len(beside or ()))
            pairs = [
                pair
                for pair in zip(_filled(values, length), _filled(beside, length), strict=True)
                if pair != (None, None)
            ]
            if any(first is not None for first, _ in pairs):
                built[key] = [first for first, _ in pairs]
            if any(second is not None for _, second in pairs):
                built[f"_{key}"] = [second for _, second in pairs]

    def _check(self, built: Object, fhir_type: FhirType, place: str) -> None:
        for group in fhir_type.required:
            if not _names_there(built, group):
                raise Refused(FIELD_MISSING, f"{place}.{group.name}")
        for group in fhir_type.choices:
            if len(_names_there(built, group)) > 1:
                raise Refused(SCHEMA_MISMATCH, f"{place}.{group.name}: two at once")
        if fhir_type.name in files.HOLDERS:
            files.check_holder(built, self._policy, place)
        if fhir_type.name in files.NO_FILES:
            files.check_no_file(built, fhir_type.name, place)
        if fhir_type.name == _BUNDLE:
            bundles.check(built, self._policy, place)
        for name, holds in RULES.get(fhir_type.name, ()):
            if not holds(built):
                raise Refused(SCHEMA_MISMATCH, f"{place} ({name})")


def _judged_as(element: Element, place: str) -> str:
    """The type of a primitive: a reference and an element's id are more than the strings they are.

    FHIR R4 and R5, chapters "References" (a URL) and "Element" (an id has no white space).
    """
    if place.endswith(".reference"):
        return primitives.URI
    is_id = element.group == "id" and element.type == "string"
    return primitives.ELEMENT_ID if is_id else element.type


def _filled(items: list[object] | None, length: int) -> list[object]:
    given = items or []
    return given + [None] * (length - len(given))


def _check_twins(value: Object, name: str, place: str) -> None:
    """Of a repeating primitive, `x` and `_x` say something together at each position."""
    values, beside = value.get(name), value.get(f"_{name}")
    given = [each for each in (values, beside) if isinstance(each, list)]
    if len({len(each) for each in given}) > 1:
        raise Refused(SCHEMA_MISMATCH, f"{place}: of another length than its twin")
    if any(all(each is None for each in position) for position in zip(*given, strict=True)):
        raise Refused(SCHEMA_MISMATCH, f"{place} (ele-1)")


def _names_there(built: Object, group: Group) -> list[str]:
    return [name for name in group.names if name in built or f"_{name}" in built]


def _check_local(contained: list[Object], scope: _Scope, place: str) -> None:
    """Every `#id` is a contained resource's (ref-1), and each of them is named (dom-3)."""
    ids = [each.get("id") for each in contained]
    if None in ids or len(set(ids)) != len(ids):
        raise Refused(SCHEMA_MISMATCH, f"{place}.contained: ids")
    if scope.referred - {""} - set(ids):
        raise Refused(SCHEMA_MISMATCH, f"{place} (ref-1)")
    if set(ids) - scope.named:
        raise Refused(SCHEMA_MISMATCH, f"{place}.contained (dom-3)")
