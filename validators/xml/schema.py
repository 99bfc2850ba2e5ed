"""A channel's XML Schema 1.0: files that the policy names by hash; nothing else is ever read.

`include`, `import` and `redefine` reach the files of the same set only, by their names in the
policy's folder, whatever address a location writes.
"""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from lxml import etree

from ferry_format.reasons import SCHEMA_MISMATCH, Refused
from validators.json_schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element

_XSD: Final = "{http://www.w3.org/2001/XMLSchema}"
_REFERENCES: Final = tuple(f"{_XSD}{name}" for name in ("include", "import", "redefine"))
_BASE: Final = "ferry:///"
_NOTHING: Final = b"<nothing/>"


class Schema:
    """The schema, compiled once. Its constructor raises SchemaError.

    `digests` are the SHA-256 of each file by its name, `main` is the one that reaches the others,
    `schemas` the bytes.
    """

    def __init__(self, main: str, digests: Mapping[str, str], schemas: Mapping[str, bytes]) -> None:
        files = {name: _verified(name, digests[name], schemas) for name in digests}
        parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
        parser.resolvers.add(_OnlyThese(files))
        try:
            roots = {
                name: etree.fromstring(data, parser, base_url=_BASE + quote(name))
                for name, data in files.items()
            }
            for name, root in roots.items():
                _check_file(name, root, files)
            self._schema = etree.XMLSchema(roots[main])
        except (etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
            raise SchemaError(f"{main}: {str(error).splitlines()[0]}") from None

    def check(self, root: _Element) -> None:
        """Raise Refused(SCHEMA_MISMATCH) unless the message satisfies the schema."""
        if not self._schema.validate(root):
            # The messages of libxml2 quote data; the kind of error does not.
            error = self._schema.error_log[0]
            raise Refused(SCHEMA_MISMATCH, f"line {error.line} ({error.type_name})")


class _OnlyThese(etree.Resolver):  # type: ignore[misc]  # lxml comes untyped
    """Answers libxml2 from the set alone; what is not in it is no schema."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def resolve(self, system_url: str, _public_id: str, context: Any) -> Any:
        name = unquote(system_url.removeprefix(_BASE))
        data = self._files.get(name, _NOTHING) if system_url.startswith(_BASE) else _NOTHING
        return self.resolve_string(data, context, base_url=system_url)


def _verified(name: str, sha256: str, schemas: Mapping[str, bytes]) -> bytes:
    data = schemas.get(name)
    if data is None:
        raise SchemaError(f"{name}: the schema file is absent")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SchemaError(f"{name}: its SHA-256 is not the one that the policy names")
    return data


def _check_file(name: str, root: _Element, files: Mapping[str, bytes]) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise SchemaError(f"{name}: has a DOCTYPE")
    for reference in root.iter(*_REFERENCES):
        location = reference.get("schemaLocation")
        if location is None:  # an import that only says that its namespace is used
            continue
        reached = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(location)))
        if reached not in files:
            raise SchemaError(f"{name}: needs {location}, which schema_parts does not name")
