"""One FHIR channel: the definitions of its version and its whitelist, applied to each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ferry_format.reasons import (
    HEADER_INCOMPLETE,
    LIMIT_EXCEEDED,
    MESSAGE_TYPE_NOT_ALLOWED,
    Refused,
)
from validators import json_pointer, json_text
from validators.fhir import model, whitelist
from validators.fhir.tree import Channel, Walk
from validators.json_schema import CONTROL_ID_CHARS_MAX, Schema
from validators.judging import judge
from validators.order_key import digest_of
from validators.verdict import Accepted, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from validators.policy import FhirPolicy

CONTENT_TYPE: Final = "application/fhir+json"


class FhirValidator:
    """A channel's definitions and whitelist, prepared once.

    Raises SchemaError if the policy names what its FHIR version does not have, or a schema that
    cannot serve.
    """

    def __init__(
        self, policy: FhirPolicy, schemas: Mapping[str, bytes], order_by: str | None = None
    ) -> None:
        self._policy = policy
        types = model.load(policy.version)
        every = [name for name, each in types.items() if each.is_resource]
        names = every if policy.resources == "any" else policy.resources
        paths = names if policy.elements == "any" else policy.elements
        self._channel = Channel(types, policy, whitelist.by_resource(types, names, paths))
        self._known = frozenset(name for each in types.values() for name in each.elements)
        self._schema = None
        if policy.schema_file is not None and policy.schema_sha256 is not None:
            self._schema = Schema(policy.schema_file, policy.schema_sha256, schemas)
        self._control_id = policy.control_id and json_pointer.tokens(policy.control_id)
        self._order_by = None if order_by is None else json_pointer.tokens(order_by)

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        return judge(payload, self._policy.message_bytes_max, self._accept)

    def _accept(self, payload: bytes) -> Accepted:
        sent = json_text.parse(payload, self._policy.depth_max, self._known)
        built = Walk(self._channel).resource(sent)
        self._check_profile(built)
        if self._schema is not None:
            self._schema.check(built)
        accepted = payload if self._policy.fidelity == "verbatim" else json_text.write(built)
        return Accepted(
            accepted, _message_type(built), self._control_id_of(built), self._order_key(built)
        )

    def _check_profile(self, built: dict[str, Any]) -> None:
        wanted = self._policy.profiles
        if wanted == "any":
            return
        claimed = {url.partition("|")[0] for url in built.get("meta", {}).get("profile", ()) if url}
        if claimed.isdisjoint(wanted):
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, f"{built['resourceType']}.meta.profile")

    def _control_id_of(self, built: dict[str, Any]) -> str | None:
        if self._control_id:
            found = json_pointer.resolve(built, self._control_id)
            if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
                raise Refused(HEADER_INCOMPLETE, str(self._policy.control_id))
        else:
            found = _own_id(built)
        text = None if found is None else str(found)
        if text is not None and len(text) > CONTROL_ID_CHARS_MAX:
            raise Refused(LIMIT_EXCEEDED, "control id")
        return text

    def _order_key(self, built: dict[str, Any]) -> bytes | None:
        found = None if self._order_by is None else json_pointer.resolve(built, self._order_by)
        return digest_of(str(found)) if isinstance(found, str | int) and found != "" else None


def _message_type(built: dict[str, Any]) -> str:
    name: str = built["resourceType"]
    return f"{name}^{built['type']}" if name == "Bundle" else name


def _own_id(built: dict[str, Any]) -> str | None:
    """The identifier of a Bundle. A resource's own id is not taken: a patient's says who it is."""
    if built["resourceType"] != "Bundle":
        return None
    identifier: dict[str, Any] = built.get("identifier", {})
    return identifier.get("value")
