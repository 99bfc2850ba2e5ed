"""What stands where in CDA R2 documents, those of WS/T 500 among them: by element and data type.

HL7 V3 data types say it by the element's name (AD in addr, EN in name, II in id, TS in times), so
that the same table holds for header, body and entries, and for the extensions of each country.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from validators.deidentify.ages import AGE_CODES
from validators.policy.deidentify import Kind
from validators.xml.cda_names import STEPS
from validators.xml.paths import local_name_of

if TYPE_CHECKING:
    from lxml.etree import _Element

_PERSONS: Final = frozenset(
    {
        "assignedPerson",
        "associatedPerson",
        "guardianPerson",
        "informationRecipient",
        "maintainingPerson",
        "patient",
        "person",
        "playingPerson",
        "relatedPerson",
        "subject",
    }
)
_THINGS: Final = frozenset(
    {"manufacturedLabeledDrug", "manufacturedMaterial", "playingDevice", "playingEntity"}
)
_NAME_PARTS: Final[Mapping[str, Kind]] = {"prefix": "remove", "suffix": "remove"}
_ADDRESS_PARTS: Final[Mapping[str, Kind]] = {
    "addr": "address",
    "city": "city",
    "country": "city",
    "county": "county",
    "postalCode": "postcode",
    "state": "city",
    "streetAddressLine": "address",
}
_IDS: Final = frozenset({"id", "setId"})
_BOUNDS: Final = frozenset({"center", "comp", "high", "low", "phase"})
_XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"


def kind_of_text(element: _Element) -> Kind:
    """What the text of an element is."""
    local = local_name_of(element.tag)
    for holder in (element, element.getparent()):
        if holder is None:
            break
        match local_name_of(holder.tag):
            case "addr":
                return _ADDRESS_PARTS.get(local, "contact")
            case "name":
                return _NAME_PARTS.get(local) or _kind_of_name(holder)
    if local == "age":
        return "age"
    return "text"


def kind_of_attribute(element: _Element, name: str) -> Kind:
    """What an attribute of an element is."""
    local = local_name_of(element.tag)
    if local in _IDS and (name == "extension" or (name == "root" and _is_number(element))):
        return "internal"
    if name == "displayName" or f"@{name}" not in STEPS:
        return "text"
    if name == "href":  # of linkHtml
        return "keep" if element.get(name, "").startswith("#") else "remove"
    return _kind_of_value(element, local) if name == "value" else "keep"


def _is_number(identifier: _Element) -> bool:
    """Whether the root of an II is the number itself, and not who gave it."""
    root: str = identifier.get("root", "")
    return not identifier.get("extension") or "-" in root


def _kind_of_value(element: _Element, local: str) -> Kind:
    match local:
        case "telecom":
            return "contact"
        case "birthTime":
            return "birth-date"
        case "age":
            return "age"
        case "reference":
            return "keep" if element.get("value", "").startswith("#") else "remove"
    if element.get("unit") is not None:
        return "age" if _is_age(element) else "keep"
    return "date" if _is_time(element) else "keep"


def _kind_of_name(element: _Element) -> Kind:
    parent = element.getparent()
    holder = "" if parent is None else local_name_of(parent.tag)
    if holder in _PERSONS:
        return "name"
    return "text" if holder in _THINGS else "organisation"


def _is_time(element: _Element) -> bool:
    """Whether its value is a point in time, by itself or as a bound of an interval."""
    while local_name_of(element.tag) in _BOUNDS:
        if _typed_as_time(element):
            return True
        parent = element.getparent()
        if parent is None:
            return False
        element = parent
    return _named_as_time(local_name_of(element.tag)) or _typed_as_time(element)


def _named_as_time(local: str) -> bool:
    """Of effectiveTime, validTime and all others; useablePeriod stands in addresses."""
    return local in {"time", "useablePeriod"} or local.endswith("Time")


def _typed_as_time(element: _Element) -> bool:
    name: str = element.get(_XSI_TYPE, "")
    return name.rpartition(":")[2].endswith("TS")


def _is_age(element: _Element) -> bool:
    observation = element.getparent()
    if observation is None:
        return False
    codes = (each.get("code") for each in observation if local_name_of(each.tag) == "code")
    return any(code in AGE_CODES for code in codes)
