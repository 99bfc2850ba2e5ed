"""Rules on whole types that the definitions state as invariants (FHIRPath), written by hand.

Kept are those by which two readers could see two messages, or in which something could hide: an
extension with two values, a reference to nothing, a bundle whose entries are not what its type
demands. Each function tells whether its rule holds, and is called once required elements are there;
one of those can still be without a value, with extensions alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

Object = dict[str, Any]
Rule = tuple[str, Callable[[Object], bool]]

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_LEADERS: Final = {"document": "Composition", "message": "MessageHeader"}
_WITH_REQUESTS: Final = frozenset({"batch", "transaction", "history"})
_NOTIFICATION: Final = "subscription-notification"
"""R5's: its first entry may have both, and no rule says which must."""
_WITH_RESPONSES: Final = frozenset({"batch-response", "transaction-response", "history"})


def _one_value_or_extensions(it: Object) -> bool:
    values = any(name.lstrip("_").startswith("value") for name in it)
    return values != ("extension" in it)


def _starts_before_it_ends(it: Object) -> bool:
    start, end = it.get("start"), it.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return True
    if "T" in start and "T" in end:
        return _moment(start) <= _moment(end)
    shared = min(len(start.partition("T")[0]), len(end.partition("T")[0]))
    return start[:shared] <= end[:shared]


def _moment(text: str) -> datetime:
    """A FHIR dateTime; a leap second counts as the second before it."""
    return datetime.fromisoformat(text.replace(":60", ":59"))


def _code_has_system(it: Object) -> bool:
    return "code" not in it or "system" in it or "_system" in it


def _contact_has_system(it: Object) -> bool:
    return "value" not in it or "system" in it or "_system" in it


def _refers_to_something(it: Object) -> bool:
    return not it.keys().isdisjoint(
        {"reference", "_reference", "identifier", "display", "_display", "extension"}
    )


def _file_has_type(it: Object) -> bool:
    return "data" not in it or "contentType" in it or "_contentType" in it


def _says_why_nothing_is_there(it: Object) -> bool:
    values = any(name.lstrip("_").startswith("value") for name in it)
    return not (values and "dataAbsentReason" in it)


def _section_has_content(it: Object) -> bool:
    return not it.keys().isdisjoint({"text", "entry", "section"})


def _total_only_where_searched(it: Object) -> bool:
    return "total" not in it or it.get("type") in {"searchset", "history"}


def _search_only_where_searched(it: Object) -> bool:
    return it.get("type") == "searchset" or not any("search" in each for each in _entries(it))


def _requests_as_the_type_demands(it: Object) -> bool:
    if it.get("type") == _NOTIFICATION:
        return True
    wanted = it.get("type") in _WITH_REQUESTS
    return all(("request" in each) == wanted for each in _entries(it))


def _responses_as_the_type_demands(it: Object) -> bool:
    if it.get("type") == _NOTIFICATION:
        return True
    wanted = it.get("type") in _WITH_RESPONSES
    return all(("response" in each) == wanted for each in _entries(it))


def _full_urls_name_one_resource_each(it: Object) -> bool:
    if it.get("type") == "history":
        return True
    seen: set[tuple[str, str | None]] = set()
    for each in _entries(it):
        if (url := each.get("fullUrl")) is None:
            continue
        meta = each.get("resource", {}).get("meta", {})
        key = (url, meta.get("versionId"))
        if key in seen or _ABSOLUTE.fullmatch(url) is None or "/_history/" in url:
            return False
        seen.add(key)
    return True


def _document_is_identified(it: Object) -> bool:
    if it.get("type") != "document":
        return True
    identifier = it.get("identifier", {})
    return {"system", "value"} <= identifier.keys() and "timestamp" in it


def _first_entry_leads(it: Object) -> bool:
    leader = _LEADERS.get(it.get("type", ""))
    if leader is None:
        return True
    entries = _entries(it)
    return bool(entries) and entries[0].get("resource", {}).get("resourceType") == leader


def _entries(it: Object) -> list[Object]:
    entries: list[Object] = it.get("entry", [])
    return entries


_OBSERVED: Final = ("obs-6", _says_why_nothing_is_there)
_QUANTITY: Final = ("qty-3", _code_has_system)
RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "Age": (_QUANTITY,),
    "Attachment": (("att-1", _file_has_type),),
    "Bundle": (
        ("bdl-1", _total_only_where_searched),
        ("bdl-2", _search_only_where_searched),
        ("bdl-3", _requests_as_the_type_demands),
        ("bdl-4", _responses_as_the_type_demands),
        ("bdl-7", _full_urls_name_one_resource_each),
        ("bdl-9", _document_is_identified),
        ("bdl-11", _first_entry_leads),
    ),
    "Composition.section": (("cmp-1", _section_has_content),),
    "ContactPoint": (("cpt-2", _contact_has_system),),
    "Count": (_QUANTITY,),
    "Distance": (_QUANTITY,),
    "Duration": (_QUANTITY,),
    "Extension": (("ext-1", _one_value_or_extensions),),
    "Observation": (_OBSERVED,),
    "Observation.component": (_OBSERVED,),
    "Period": (("per-1", _starts_before_it_ends),),
    "Quantity": (_QUANTITY,),
    "Reference": (("ref-2", _refers_to_something),),
}
"""By type: the rules' names in the standard, and the functions that apply them."""
