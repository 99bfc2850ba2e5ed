"""The system administrator's file of the inner agent, inner.toml: addresses, paths, sizes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, Strict, model_validator

from ferry_runtime.configuration import Document, Section, load
from ferry_runtime.problem_words import Mistake
from ferry_runtime.sections import (
    SANDBOX_REQUIRED,
    AgentSection,
    AuditSection,
    MetricsSection,
    PolicySection,
)
from ferry_runtime.sections import ScannerSection as SharedScannerSection
from ferry_runtime.setting_types import (
    GIB,
    AeTitle,
    FilePath,
    Hours,
    Name,
    Port,
    Seconds,
    Switch,
)

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADERS_OF_OURS: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "transfer-encoding",
    }
)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,16}")


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_good = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_good:
        raise Mistake("is not a web address", "Write it as https://his.example:8443/path.")
    if parts.username is not None or parts.password is not None:
        raise Mistake(
            "holds a user name or password", "Take it out and use authorization_file instead."
        )
    if parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise Mistake(
            "has a part that no request can carry", "Remove the #fragment, spaces and the like."
        )
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None or not value.isascii() or not value.isprintable():
            raise Mistake(
                "holds what is no HTTP header",
                "Write a header's name and its value in plain printable ASCII.",
            )
        if name.lower() in _HEADERS_OF_OURS:
            raise Mistake(
                f"names the header {name.lower()}, which the ferry sets itself",
                "Remove it (for Authorization use authorization_file).",
            )
    return headers


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise Mistake("is not a host", "Write a host name or an IP address, without a port.")
    return text


def _suffix(text: str) -> str:
    if _SUFFIX.fullmatch(text) is None:
        raise Mistake("is not a file name's ending", 'Write it as ".hl7".')
    return text


class KeysSection(Section):
    """The inner's own keys."""

    receiving: tuple[FilePath, ...] = Field(
        min_length=1,
        description="The receiver's private key files (ferry-keys generate receiver), mode 0600. "
        "During a change of keys, the new and the old.",
    )
    journal: FilePath = Field(
        description="The key file that encrypts payloads in the journal "
        "(ferry-keys generate journal), mode 0600. Without it the journal cannot be read."
    )


class MediumSection(Section):
    """The shared folder, read only."""

    path: FilePath = Field(description="The medium's folder. Mount it read-only.")
    owner: Name | Annotated[int, Strict(), Field(ge=0, le=2**32 - 2)] | None = Field(
        default=None,
        description="User name or number to whom files on the medium must belong. Left out: the "
        "owner of the medium's folder.",
    )
    look_s: Seconds = Field(
        default=1.0,
        description="Seconds between looks for the next file when no event announces it.",
    )


class ValidatorsSection(Section):
    """The workers that check messages again."""

    processes: Annotated[int, Strict(), Field(ge=1, le=64)] = Field(
        default=2, description="Worker processes that parse and rebuild messages."
    )
    sandbox_required: Switch = Field(default=True, description=SANDBOX_REQUIRED)


JournalBytes = Annotated[int, Strict(), Field(ge=GIB, le=2**60)]
"""The quarantine alone may take a quarter of the least: what is refused must not fill it."""


class JournalSection(Section):
    """What the inner keeps. Lies in agent.state_dir."""

    keep_hours: Hours = Field(
        default=720.0,
        description="Hours for which the payload of a delivered message is kept. What is not "
        "delivered is kept without limit.",
    )
    keep_record_hours: Hours = Field(
        default=4320.0,
        description="Hours for which it stays known that a message crossed and what became of it; "
        "within them its id is never taken again. At least keep_hours.",
    )
    bytes_max: JournalBytes = Field(
        default=100 * GIB,
        description="Bytes that the journal may take, quarantine and objects included. Above this "
        "size the payloads of delivered messages go early; if that is not enough, the inner holds "
        "its place rather than lose a message.",
    )

    @model_validator(mode="after")
    def _records_outlive_payloads(self) -> Self:
        if self.keep_record_hours < self.keep_hours:
            raise Mistake(
                "has keep_record_hours below keep_hours",
                "Keep records at least as long as payloads.",
            )
        return self


class HttpSink(Section):
    """Delivers by HTTP: one POST a message, with its id as Idempotency-Key."""

    kind: Literal["http"] = Field(description="This kind of sink.")
    name: Name = Field(description="Name of the sink; the policy's channels use it.")
    url: Annotated[str, AfterValidator(_url)] = Field(
        description="Where messages are posted: https://…, or http://… on this host."
    )
    tls_ca: FilePath | None = Field(
        default=None,
        description="PEM file of the only CA that may have signed the server's certificate. "
        "Needed with https.",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="PEM file of the certificate that we show. With tls_key."
    )
    tls_key: FilePath | None = Field(
        default=None, description="PEM file of its private key, mode 0600."
    )
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        default_factory=dict, description="Further HTTP headers, no secrets."
    )
    authorization_file: FilePath | None = Field(
        default=None,
        description="File that holds the value of the Authorization header, mode 0600.",
    )
    timeout_s: Seconds = Field(
        default=30.0, description="Seconds to wait for the answer before trying again."
    )
    allow_plaintext: Switch = Field(
        default=False,
        description="Whether sending to another host without TLS is meant.",
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        _check_client_tls(self.tls_ca, self.tls_certificate, self.tls_key)
        is_https = urlsplit(self.url).scheme == "https"
        if is_https and self.tls_ca is None:
            raise Mistake(
                "has an https address and no tls_ca",
                "Name the PEM file of the CA that signed the server's certificate.",
            )
        if not is_https and self.tls_ca is not None:
            raise Mistake("has tls_ca, but its address is http", "Write https://, or remove it.")
        return self


class MllpSink(Section):
    """Delivers HL7 v2 by MLLP and waits for the acknowledgement of each message."""

    kind: Literal["mllp"] = Field(description="This kind of sink.")
    name: Name = Field(description="Name of the sink; the policy's channels use it.")
    host: Annotated[str, AfterValidator(_host)] = Field(
        description="Host name or IP address of the internal system."
    )
    port: Port = Field(description="Its port.")
    tls_ca: FilePath | None = Field(
        default=None,
        description="PEM file of the only CA that may have signed the server's certificate. "
        "With it: TLS.",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="PEM file of the certificate that we show. With tls_key."
    )
    tls_key: FilePath | None = Field(
        default=None, description="PEM file of its private key, mode 0600."
    )
    timeout_s: Seconds = Field(
        default=30.0, description="Seconds to wait for the acknowledgement before trying again."
    )
    allow_plaintext: Switch = Field(
        default=False,
        description="Whether sending to another host without TLS is meant.",
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        _check_client_tls(self.tls_ca, self.tls_certificate, self.tls_key)
        return self


class DicomSink(Section):
    """Stores DICOM instances by C-STORE and waits for the status of each."""

    kind: Literal["dicom"] = Field(description="This kind of sink.")
    name: Name = Field(description="Name of the sink; the policy's channels use it.")
    host: Annotated[str, AfterValidator(_host)] = Field(
        description="Host name or IP address of the internal system, as a PACS."
    )
    port: Port = Field(description="Its port.")
    ae_title: AeTitle = Field(description="Our AE title, as the internal system knows us.")
    called_ae_title: AeTitle = Field(description="The internal system's AE title.")
    tls_ca: FilePath | None = Field(
        default=None,
        description="PEM file of the only CA that may have signed the server's certificate. "
        "With it: TLS.",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="PEM file of the certificate that we show. With tls_key."
    )
    tls_key: FilePath | None = Field(
        default=None, description="PEM file of its private key, mode 0600."
    )
    timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds to wait for a status, and longer for large instances, before trying "
        "again.",
    )
    allow_plaintext: Switch = Field(
        default=False,
        description="Whether sending to another host without TLS is meant.",
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        _check_client_tls(self.tls_ca, self.tls_certificate, self.tls_key)
        return self


class FolderSink(Section):
    """Delivers each message as a file, whole or not at all."""

    kind: Literal["folder"] = Field(description="This kind of sink.")
    name: Name = Field(description="Name of the sink; the policy's channels use it.")
    path: FilePath = Field(description="The folder. Must exist and be writable.")
    suffix: Annotated[str, AfterValidator(_suffix)] = Field(
        default=".hl7", description="Ending of the files' names."
    )


SinkSection = Annotated[HttpSink | MllpSink | DicomSink | FolderSink, Field(discriminator="kind")]


class ScannerSection(SharedScannerSection):
    """The virus scanner, for channels with virus_scan: clamd on this host, or an ICAP service."""

    socket: FilePath = Field(
        description="clamd's socket (its LocalSocket), as /run/clamav/clamd.ctl; with icap, a "
        "UNIX socket that leads to the ICAP server, since the verifier has no network. The agent "
        "must be allowed to write to it."
    )


class InnerConfig(Document):
    """inner.toml, written by the system administrator."""

    agent: AgentSection = Field(description="Who this agent is.")
    keys: KeysSection = Field(description="The inner's own keys.")
    policy: PolicySection = Field(description="The security administrator's policy.")
    medium: MediumSection = Field(description="The shared folder, read only.")
    metrics: MetricsSection = Field(description="The metrics listener.")
    validators: ValidatorsSection = Field(
        default_factory=ValidatorsSection, description="The workers that check messages again."
    )
    scanner: ScannerSection | None = Field(
        default=None, description="The virus scanner, where a channel asks for one."
    )
    journal: JournalSection = Field(
        default_factory=JournalSection, description="What the inner keeps."
    )
    audit: AuditSection = Field(
        description="The audit trail. The verifier and the replayer each have a folder in it."
    )
    sinks: tuple[SinkSection, ...] = Field(
        min_length=1, description="Where messages go; one [[sinks]] table each."
    )


def load_config(path: Path) -> InnerConfig:
    """The configuration at `path`. Raises ConfigurationError."""
    return load(InnerConfig, path)


def _check_client_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise Mistake(
            "has one of tls_certificate and tls_key without the other", "Name both, or neither."
        )
    if certificate is not None and ca is None:
        raise Mistake("shows a certificate without speaking TLS", "Name tls_ca too.")
