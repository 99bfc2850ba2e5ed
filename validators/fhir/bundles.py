"""What a channel lets a Bundle ask of its receiver (FHIR R4 and R5, chapter 3.2.0.11)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import ELEMENT_NOT_ALLOWED, LIMIT_EXCEEDED, Refused

if TYPE_CHECKING:
    from validators.policy import FhirPolicy

_ID: Final = r"(?!\.{1,2}(?:[/?]|$))[A-Za-z0-9.-]{1,64}"
"""Not `.` or `..`: a receiver's HTTP layer takes these for steps in a path."""
_URL: Final = re.compile(rf"([A-Z][A-Za-z]+)(?:/{_ID}(?:/_history/{_ID})?)?(?:\?\S*)?")
"""Of one type, as a transaction's entries name it: no other host or path."""


def check(bundle: dict[str, Any], policy: FhirPolicy, place: str) -> None:
    """Pass a Bundle within the policy. Raises Refused(ELEMENT_NOT_ALLOWED, LIMIT_EXCEEDED)."""
    if bundle.get("type") not in policy.bundles:
        raise Refused(ELEMENT_NOT_ALLOWED, f"{place}.type")
    entries = bundle.get("entry", [])
    if len(entries) > policy.entries_max:
        raise Refused(LIMIT_EXCEEDED, f"{place}: more than {policy.entries_max} entries")
    for index, entry in enumerate(entries):
        request = entry.get("request")
        if request is None:
            continue
        where = f"{place}.entry[{index}].request"
        if request.get("method") not in policy.request_methods:
            raise Refused(ELEMENT_NOT_ALLOWED, f"{where}.method")
        resource = entry.get("resource", {}).get("resourceType")
        if not _is_of_named(request.get("url", ""), resource, policy):
            raise Refused(ELEMENT_NOT_ALLOWED, f"{where}.url")


def _is_of_named(url: str, resource: str | None, policy: FhirPolicy) -> bool:
    """Whether a URL is of the type of the entry's resource, or without one of a named type."""
    found = _URL.fullmatch(url)
    if found is None:
        return False
    if resource is not None:
        return found[1] == resource
    return policy.resources == "any" or found[1] in policy.resources
