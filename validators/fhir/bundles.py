"""What a channel lets a Bundle ask of its receiver (FHIR R4 and R5, chapter 3.2.0.11)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import ELEMENT_NOT_ALLOWED, LIMIT_EXCEEDED, Refused

if TYPE_CHECKING:
    from validators.policy import FhirPolicy

_URL: Final = re.compile(
    r"([A-Z][A-Za-z]+)?(/[A-Za-z0-9.-]{1,64}(/_history/[A-Za-z0-9.-]{1,64})?)?(\?\S*)?"
)
"""Of one type or the server's base, as a transaction's entries name it: no other host or path."""


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
        found = _URL.fullmatch(request.get("url", "-"))
        resource = entry.get("resource", {}).get("resourceType")
        if found is None or (resource is not None and found[1] not in {resource, None}):
            raise Refused(ELEMENT_NOT_ALLOWED, f"{where}.url")
