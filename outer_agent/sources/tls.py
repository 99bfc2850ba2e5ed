"""Server-side TLS of the sources: TLS 1.2 or later, client certificates where a CA is named."""

from __future__ import annotations

import ssl
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import Refused
from outer_agent.config import ServerSource

HANDSHAKE_S: Final = 15.0
"""Seconds that a client has for its handshake."""


def server_context(section: ServerSource) -> ssl.SSLContext | None:
    """The context of a listener, None for plain text.

    Raises Refused(BAD_KEY_FILE) if a file cannot be read or used.
    """
    if section.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # Without a password given, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(section.tls_certificate, section.tls_key, password="")
        if section.tls_client_ca is not None:
            context.load_verify_locations(cafile=section.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        raise Refused(reasons.BAD_KEY_FILE, f"source {section.name}: TLS files") from error
    return context
