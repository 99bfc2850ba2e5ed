"""The types of one FHIR version, as HL7's definitions have them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Version = Literal["R4", "R5"]

RESOURCE: Final = "Resource"
"""The type of an element in which any resource may stand."""
_CHOICE: Final = "[x]"
_FILES: Final[Mapping[Version, str]] = {"R4": "r4.json", "R5": "r5.json"}


@dataclass(frozen=True, slots=True)
class Element:
    """One property of a type: `valueString` is one of the group `value[x]`.

    A modifier (ElementDefinition.isModifier) changes what the elements beside it mean, as
    doNotPerform and status do.
    """

    group: str
    type: str
    is_primitive: bool
    many: bool
    is_modifier: bool
    codes: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Group:
    """An element of the definition with all the names under which it may stand."""

    name: str
    names: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class FhirType:
    """A resource, a datatype or a group of elements in one (`Patient.contact`)."""

    name: str
    is_resource: bool
    elements: Mapping[str, Element]
    required: tuple[Group, ...]
    choices: tuple[Group, ...]


Model = dict[str, FhirType]


@cache
def load(version: Version) -> Model:
    """Every type of a version by its name; primitive types are not among them."""
    file = resources.files("validators.fhir.definitions") / _FILES[version]
    written: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return {name: _type(name, said, written) for name, said in written.items()}


def _type(name: str, said: Mapping[str, Any], written: Mapping[str, Any]) -> FhirType:
    elements: dict[str, Element] = {}
    groups = []
    for group_name, each in said["elements"].items():
        is_choice = group_name.endswith(_CHOICE)
        names = []
        for type_name in each["types"]:
            stem = group_name.removesuffix(_CHOICE)
            own = f"{stem}{type_name[0].upper()}{type_name[1:]}" if is_choice else group_name
            names.append(own)
            elements[own] = Element(
                group_name,
                type_name,
                type_name not in written and type_name != RESOURCE,
                each.get("many", False),
                each.get("modifier", False),
                frozenset(each["codes"]) if "codes" in each else None,
            )
        groups.append(Group(group_name, tuple(names), each.get("min", 0) > 0))
    return FhirType(
        name,
        said["kind"] == "resource",
        elements,
        tuple(group for group in groups if group.required),
        tuple(group for group in groups if len(group.names) > 1),
    )
