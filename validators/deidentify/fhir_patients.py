"""Whose data a FHIR message holds.

A patient is known by the id of its resource, which is also what references name; where it has none
of its own that lasts (contained, or in a Bundle under a UUID), by its first identifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

Object = dict[str, Any]

_PATIENT: Final = "Patient"
_CONTAINED: Final = "contained"
_NAMES_PATIENT: Final = re.compile(r"(?:.*/)?Patient/([A-Za-z0-9.-]{1,64})(?:/_history/[^/]*)?")


def patients_in(root: Object) -> set[str]:
    """The numbers of all patients whom the message holds or names."""
    by_url = {
        entry["fullUrl"]: _own_number(entry["resource"])
        for entry in root.get("entry", ())
        if "fullUrl" in entry and entry.get("resource", {}).get("resourceType") == _PATIENT
    }
    found: set[str] = set()
    for each, is_contained in _objects(root, is_contained=False):
        number = None
        if each.get("resourceType") == _PATIENT:
            number = _identifier(each) if is_contained else _own_number(each)
        elif isinstance(each.get("reference"), str):
            number = _named(each["reference"], by_url)
        elif each.get("type") == _PATIENT and isinstance(each.get("identifier"), dict):
            number = each["identifier"].get("value")
        if number is not None:
            found.add(number)
    return found


def _own_number(patient: Object) -> str | None:
    return patient["id"] if "id" in patient else _identifier(patient)


def _identifier(patient: Object) -> str | None:
    return next((each["value"] for each in patient.get("identifier", ()) if "value" in each), None)


def _named(reference: str, by_url: dict[str, str | None]) -> str | None:
    if reference in by_url:
        return by_url[reference]
    found = _NAMES_PATIENT.fullmatch(reference)
    return None if found is None else found[1]


def _objects(value: object, *, is_contained: bool) -> Iterator[tuple[Object, bool]]:
    if isinstance(value, dict):
        yield value, is_contained
        for key, each in value.items():
            yield from _objects(each, is_contained=is_contained or key == _CONTAINED)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each, is_contained=is_contained)
