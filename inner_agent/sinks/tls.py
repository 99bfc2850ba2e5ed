"""TLS towards an internal system: the pinned CA only, never the host's own store of roots."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ferry_format.reasons import BAD_KEY_FILE, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from inner_agent.config import DicomSink, HttpSink, MllpSink


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`ca`: PEM file of the only CA that may have signed the sink's certificate.

    `certificate` and `key`: PEM files that we show where the sink asks for them; both or neither.
    """

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


def settings_of(section: HttpSink | MllpSink | DicomSink) -> TlsSettings | None:
    """Return a configuration section's TLS settings, None for plain text."""
    if section.tls_ca is None:
        return None
    return TlsSettings(section.tls_ca, section.tls_certificate, section.tls_key)


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later with host name check.

    Raises Refused(BAD_KEY_FILE) if a file cannot be read or used. The caller checks the key
    file's owner and mode (ferry_runtime.secrets).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=settings.ca)
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except OSError as error:  # ssl.SSLError is one
        named = settings.certificate or settings.ca
        raise Refused(BAD_KEY_FILE, f"{settings.ca.name} or {named.name}") from error
    return context
