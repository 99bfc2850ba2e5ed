"""A channel's element whitelist as a tree: which properties of which resource may cross."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from validators.json_schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from validators.fhir.model import Model


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may stand at one place: everything below it, or what `below` names."""

    everything: bool
    below: dict[str, Allowed] = field(default_factory=dict)

    def at(self, name: str) -> Allowed | None:
        """What may stand in the property `name`; None if it may not cross."""
        return EVERYTHING if self.everything else self.below.get(name)


EVERYTHING = Allowed(everything=True)


def by_resource(model: Model, names: Iterable[str], paths: Iterable[str]) -> dict[str, Allowed]:
    """For each resource type, its whitelist; `paths` such as Patient.name or Patient.contact.name.

    A path names an element with all below it. Raises SchemaError for what the version does not
    know.
    """
    roots: dict[str, Allowed] = {}
    for name in names:
        if name not in model or not model[name].is_resource:
            raise SchemaError(f"{name}: no resource of this FHIR version")
        roots[name] = Allowed(everything=False, below={"resourceType": EVERYTHING})
    for path in paths:
        root, _, rest = path.partition(".")
        if root not in roots:
            raise SchemaError(f"elements: {path}: its resource is not among resources")
        if not rest:
            roots[root] = EVERYTHING
            continue
        _check_known(model, path)
        place = roots[root]
        *ancestors, last = rest.split(".")
        for step in ancestors:
            if place.everything:
                break
            place = place.below.setdefault(step, Allowed(everything=False))
        if not place.everything:
            place.below[last] = EVERYTHING
    return roots


def _check_known(model: Model, path: str) -> None:
    root, *steps = path.split(".")
    type_name = root
    for step in steps:
        fhir_type = model.get(type_name)
        element = None if fhir_type is None else fhir_type.elements.get(step)
        if element is None:
            raise SchemaError(f"elements: {path}: no element of this FHIR version")
        type_name = element.type
