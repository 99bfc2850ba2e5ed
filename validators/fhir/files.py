"""Files in a resource: Attachment.data and Binary.data, and base64 where any value may stand."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, SCHEMA_MISMATCH, VALUE_NOT_ALLOWED, Refused
from validators import embedded
from validators.file_types import starts_as_any

if TYPE_CHECKING:
    from validators.policy import FhirPolicy

_OWN: Final = re.compile(r"(?i:urn:uuid|urn:oid):\S+|[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}")
"""Of the same Bundle, or of the receiver: nobody else is asked for it."""

_ELSEWHERE: Final = re.compile(r"/\.{1,2}(?:/|$)|%2[eEfF]|%5[cC]|[\\@]")
"""What some readers take for a way out of a path, or for another host."""

HOLDERS: Final = frozenset({"Attachment", "Binary"})
"""Types whose `data` is a file, and whose `url` leads to one."""
NO_FILES: Final = {
    "Attachment": ("hash", 64),
    "AuditEvent.entity": ("query", 16 * 1024),
    "Device.udiCarrier": ("carrierAIDC", 16 * 1024),
    "Signature": ("data", 16 * 1024),
}
"""Base64 that is none, where it stands, and the most bytes that a file could hide in."""


def check_holder(built: dict[str, Any], policy: FhirPolicy, place: str) -> None:
    """Pass a file of a type that the channel names, which is as it is declared, and its link.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED, SCHEMA_MISMATCH, VALUE_NOT_ALLOWED).
    """
    if "url" in built:
        _check_url(built["url"], policy, f"{place}.url")
    if "data" in built:
        _check_data(built, policy, place)


def _check_data(built: dict[str, Any], policy: FhirPolicy, place: str) -> None:
    file = check_value(built["data"], policy, f"{place}.data", built.get("contentType"))
    if "size" in built and int(built["size"]) != len(file):
        raise Refused(SCHEMA_MISMATCH, f"{place}.size")
    # FHIR says SHA-1: the hash guards against accidents, not against attackers.
    if "hash" in built:
        digest = hashlib.sha1(file, usedforsecurity=False).digest()
        if base64.b64decode(built["hash"]) != digest:
            raise Refused(SCHEMA_MISMATCH, f"{place}.hash")


def _check_url(url: str, policy: FhirPolicy, place: str) -> None:
    if policy.attachment_urls == "any" or _OWN.fullmatch(url):
        return
    path = url.partition("?")[0].partition("#")[0]
    if _ELSEWHERE.search(path) or not path.startswith(policy.attachment_urls):
        raise Refused(VALUE_NOT_ALLOWED, place)


def check_no_file(built: dict[str, Any], type_name: str, place: str) -> None:
    """Pass base64 of NO_FILES that is too short for much, and does not begin as a file does.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED).
    """
    name, bytes_max = NO_FILES[type_name]
    if name in built:
        where = f"{place}.{name}"
        if starts_as_any(embedded.within(base64.b64decode(built[name]), bytes_max, where)):
            raise Refused(ATTACHMENT_NOT_ALLOWED, where)


def check_value(digits: str, policy: FhirPolicy, place: str, declared: str | None = None) -> bytes:
    """The file that checked base64 digits spell, if it may cross.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED).
    """
    if not policy.attachments:
        raise Refused(ATTACHMENT_NOT_ALLOWED, place)
    file = base64.b64decode(digits)
    embedded.check(file, policy.attachments, declared, place)
    return file
