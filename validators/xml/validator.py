"""One XML channel: what its policy says, applied to each message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import (
    HEADER_INCOMPLETE,
    LIMIT_EXCEEDED,
    MESSAGE_TYPE_NOT_ALLOWED,
    NOT_WELL_FORMED,
    Refused,
)
from validators.judging import judge
from validators.order_key import digest_of
from validators.verdict import Accepted, Verdict
from validators.xml import cda, soap
from validators.xml.calls import message_text
from validators.xml.parse import drop_blank_text, drop_schema_hints, parse, write
from validators.xml.paths import ValuePath, local_name_of
from validators.xml.schema import Schema
from validators.xml.source_text import decode, without_declaration, without_prolog
from validators.xml.whitelist import Whitelist

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element

    from validators.policy import XmlPolicy

CONTENT_TYPE: Final = "application/xml"
CONTROL_ID_CHARS_MAX: Final = 199
_TYPE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.^-]{0,63}")


class XmlValidator:
    """A channel's whitelist, prepared once and applied to each message."""

    def __init__(
        self, policy: XmlPolicy, schemas: Mapping[str, bytes], order_by: str | None = None
    ) -> None:
        self._policy = policy
        named = policy.schema_file
        self._schema = None if named is None else Schema(named, policy.schema_digests, schemas)
        self._whitelist = Whitelist(policy)
        self._control_id = None if policy.control_id is None else ValuePath.parse(policy.control_id)
        self._order_by = None if order_by is None else ValuePath.parse(order_by)

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        return judge(payload, self._policy.message_bytes_max, self._accept)

    def _accept(self, payload: bytes) -> Accepted:
        policy = self._policy
        refuses = policy.processing_instructions == "refuse"
        text = without_prolog(decode(payload), instructions_refused=refuses)
        root = self._message(parse(text, policy), refuses=refuses)
        # Before the schema judges: libxml2 itself would follow them.
        drop_schema_hints(root)
        self._whitelist.apply(root)
        if policy.blank_text == "drop":
            drop_blank_text(root)
        if policy.cda is not None:
            cda.check(root, policy.cda)
        if self._schema is not None:
            self._schema.check(root)
        rebuilt = write(root)
        accepted = payload if policy.fidelity == "verbatim" else rebuilt
        return Accepted(
            accepted, self._message_type(root), self._control_id_of(root), self._order_key(root)
        )

    def _message(self, root: _Element, *, refuses: bool) -> _Element:
        if not soap.is_soap(root):
            return root
        if self._policy.soap == "refuse":
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "SOAP envelope")
        message = soap.message_in(root)
        if self._policy.call is None:
            return message
        text = without_declaration(message_text(message, self._policy.call))
        inner = parse(without_prolog(text, instructions_refused=refuses), self._policy)
        if soap.is_soap(inner):
            raise Refused(NOT_WELL_FORMED, "SOAP in a call")
        return inner

    def _message_type(self, root: _Element) -> str:
        if self._policy.cda is not None:
            return cda.document_code(root)
        name = local_name_of(root.tag)
        return name if _TYPE_NAME.fullmatch(name) else "xml"

    def _control_id_of(self, root: _Element) -> str | None:
        if self._control_id is None:
            return None if self._policy.cda is None else cda.document_id(root)
        found = self._control_id.value(root)
        if found is None:
            raise Refused(HEADER_INCOMPLETE, "control_id")
        if len(found) > CONTROL_ID_CHARS_MAX:
            raise Refused(LIMIT_EXCEEDED, "control_id")
        return found

    def _order_key(self, root: _Element) -> bytes | None:
        found = None if self._order_by is None else self._order_by.value(root)
        return None if found is None else digest_of(found)
