"""A channel's XML Schema 1.0: one file, named by the policy's hash; nothing is ever fetched."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from lxml import etree

from ferry_format.reasons import SCHEMA_MISMATCH, Refused
from validators.json_schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element

_XSD: Final = "{http://www.w3.org/2001/XMLSchema}"
_REFERENCES: Final = tuple(f"{_XSD}{name}" for name in ("include", "import", "redefine"))


class Schema:
    """The schema file, compiled once. Its constructor raises SchemaError."""

    def __init__(self, name: str, sha256: str | None, schemas: Mapping[str, bytes]) -> None:
        data = schemas.get(name)
        if data is None:
            raise SchemaError(f"{name}: the schema file is absent")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise SchemaError(f"{name}: its SHA-256 is not the policy's schema_sha256")
        try:
            root = etree.fromstring(
                data, etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
            )
            if root.getroottree().docinfo.internalDTD is not None:
                raise SchemaError(f"{name}: has a DOCTYPE")
            if next(root.iter(*_REFERENCES), None) is not None:
                raise SchemaError(f"{name}: includes or imports another file; write one file")
            self._schema = etree.XMLSchema(root)
        except (etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
            raise SchemaError(f"{name}: {str(error).splitlines()[0]}") from None

    def check(self, root: _Element) -> None:
        """Raise Refused(SCHEMA_MISMATCH) unless the message satisfies the schema."""
        if not self._schema.validate(root):
            # The messages of libxml2 quote data; the kind of error does not.
            error = self._schema.error_log[0]
            raise Refused(SCHEMA_MISMATCH, f"line {error.line} ({error.type_name})")
