"""Server-side TLS of the sources: TLS 1.2 or later, client certificates where a CA is named."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ferry_format import reasons
from ferry_format.reasons import Refused

if TYPE_CHECKING:
    from outer_agent.config import ServerSource

HANDSHAKE_S: Final = 15.0
"""Seconds that a client has for its handshake."""


def server_context(section: ServerSource) -> ssl.SSLContext | None:
    """The context of a listener, None for plain text.

    Raises Refused(BAD_KEY_FILE) if a file cannot be read or used.
    """
    if section.tls_certificate is None or section.tls_key is None:
        return None
    try:
        return make_context(section.tls_certificate, section.tls_key, section.tls_client_ca)
    except OSError as error:  # ssl.SSLError is one
        raise Refused(reasons.BAD_KEY_FILE, f"source {section.name}: TLS files") from error


def make_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """The context itself. Raises OSError if a file cannot be read or used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Without a password given, OpenSSL would ask for one on the terminal.
    context.load_cert_chain(certificate, key, password="")
    if client_ca is not None:
        context.load_verify_locations(cafile=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def certificate_names(certificate: Mapping[str, object] | None) -> list[str]:
    """The DNS names of a verified client certificate, as `ssl.SSLSocket.getpeercert` gives it."""
    if not certificate:
        return []
    names = certificate.get("subjectAltName", ())
    assert isinstance(names, tuple)
    return [value for kind, value in names if kind == "DNS"]
