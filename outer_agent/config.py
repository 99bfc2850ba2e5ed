"""The system administrator's file of the outer agent, outer.toml: addresses, paths, sizes."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

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
    ByteCount,
    Count,
    FilePath,
    Hours,
    Listen,
    Name,
    Seconds,
    Switch,
)


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise Mistake(
            "is not an address or network", "Write it as 10.1.2.3 or 10.1.2.0/24."
        ) from None
    return text


class KeysSection(Section):
    """The outer's own key."""

    signing: FilePath = Field(
        description="This sender's private key file (ferry-keys generate sender), mode 0600."
    )


class MediumSection(Section):
    """The shared folder on which ferry files are published."""

    path: FilePath = Field(description="The medium's folder. Must exist and be writable.")
    keep_hours: Hours = Field(
        default=72.0,
        description="Hours for which a ferry file stays on the medium: longer than the inner is "
        "ever down.",
    )
    bytes_max: ByteCount = Field(
        default=20 * GIB,
        description="Bytes that ferry files may take. Above it new messages are refused for now.",
    )
    free_bytes_min: ByteCount = Field(
        default=GIB,
        description="Bytes to leave free on the medium's file system. Below it new messages are "
        "refused for now.",
    )
    resume_percent: Annotated[int, Strict(), Field(ge=1, le=100)] = Field(
        default=90,
        description="Low mark: once there was no room, messages are taken again when the ferry "
        "files are below this share of bytes_max, and free space (here, and the spool's) is above "
        "its least by as much.",
    )
    heartbeat_s: Seconds = Field(
        default=5.0,
        description="Seconds without a message after which a heartbeat is published.",
    )


class SpoolSection(Section):
    """The outer's own copy of what it published, for resending. Lies in agent.state_dir."""

    keep_hours: Hours = Field(default=168.0, description="Hours for which a message is kept.")
    bytes_max: ByteCount = Field(
        default=50 * GIB,
        description="Bytes that the spool may take; beyond them the oldest are dropped first.",
    )
    free_bytes_min: ByteCount = Field(
        default=GIB,
        description="Bytes to leave free on the spool's file system. Below it new messages are "
        "refused for now.",
    )


class IntakeSection(Section):
    """How much is taken in at once."""

    waiting_max: Count = Field(
        default=10_000,
        description="Messages that may wait for the medium; more are refused for now.",
    )
    validator_processes: Annotated[int, Strict(), Field(ge=1, le=64)] = Field(
        default=2, description="Worker processes that parse and rebuild messages."
    )
    sandbox_required: Switch = Field(default=True, description=SANDBOX_REQUIRED)


class ScannerSection(SharedScannerSection):
    """The virus scanner, for channels with virus_scan: clamd on this host, or an ICAP service."""

    connections_max: Annotated[int, Strict(), Field(ge=1, le=100)] = Field(
        default=8,
        description="Scans of messages at a time; others wait. Objects take a connection each, at "
        "most 8: keep the sum below clamd's MaxThreads.",
    )


class DeidentificationSection(Section):
    """Keys and workers of de-identification, for channels whose policy asks for it."""

    keys: tuple[FilePath, ...] = Field(
        min_length=1,
        description="Key files (ferry-keys generate deidentification), mode 0600. The policy names "
        "a key by the name in its file.",
    )
    processes: Annotated[int, Strict(), Field(ge=1, le=64)] = Field(
        default=1,
        description="Worker processes that de-identify: others than those that validate, since "
        "they hold the keys.",
    )


class ServerSource(Section):
    """What sources with a listener share."""

    name: Name = Field(description="Name of the source; policy, logs and metrics use it.")
    listen: Listen = Field(description="ADDRESS:PORT to listen on.")
    tls_certificate: FilePath | None = Field(
        default=None, description="PEM file of the server's certificate chain. With tls_key: TLS."
    )
    tls_key: FilePath | None = Field(
        default=None, description="PEM file of the certificate's private key, mode 0600."
    )
    tls_client_ca: FilePath | None = Field(
        default=None,
        description="PEM file of the only CA that may have signed clients' certificates. With it "
        "every client must show one (mutual TLS).",
    )
    allow_plaintext: Switch = Field(
        default=False,
        description="Whether a listener without TLS that other hosts can reach is meant.",
    )

    @property
    def has_tls(self) -> bool:
        """Whether the listener speaks TLS."""
        return self.tls_certificate is not None

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise Mistake(
                "has one of tls_certificate and tls_key without the other",
                "Name both, or neither.",
            )
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise Mistake(
                "asks clients for certificates without speaking TLS",
                "Name tls_certificate and tls_key too, or remove tls_client_ca.",
            )
        return self


class HttpSource(ServerSource):
    """Takes messages in by HTTP: POST /channels/NAME/messages."""

    kind: Literal["http"] = Field(description="This kind of source.")


class MllpSource(ServerSource):
    """Takes HL7 v2 messages in by MLLP, all of them for one channel."""

    kind: Literal["mllp"] = Field(description="This kind of source.")
    channel: Name = Field(description="The channel of its messages.")
    acknowledgement: Literal["original", "enhanced", "auto"] = Field(
        default="auto",
        description="HL7 acknowledgement mode: original (AA/AE/AR), enhanced (CA/CE/CR), or auto: "
        "as MSH-15 and MSH-16 of each message ask.",
    )
    idle_s: Seconds = Field(
        default=600.0, description="Seconds of silence after which a connection is closed."
    )
    connections_max: Annotated[int, Strict(), Field(ge=1, le=10_000)] = Field(
        default=100, description="Connections at a time; more are closed at once."
    )


class DicomSource(ServerSource):
    """Takes DICOM instances in by C-STORE, all of them for one channel."""

    kind: Literal["dicom"] = Field(description="This kind of source.")
    channel: Name = Field(description="The channel of its instances, one with content.dicom.")
    ae_title: AeTitle = Field(
        description="Our AE title; an association that calls another one is rejected."
    )
    peers: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        default=(),
        description="Addresses or networks (10.1.2.0/24) from which connections are read from; "
        "others are closed at once. Left out: all.",
    )
    associations_max: Annotated[int, Strict(), Field(ge=1, le=100)] = Field(
        default=20,
        description="Associations at a time; more are rejected. Each may have an instance of the "
        "channel's bytes_max half received, in agent.state_dir.",
    )
    idle_s: Seconds = Field(
        default=60.0, description="Seconds of silence after which an association is aborted."
    )


class FolderSource(Section):
    """Takes in files that other programs drop into a folder; moves them to done/ or refused/."""

    kind: Literal["folder"] = Field(description="This kind of source.")
    name: Name = Field(description="Name of the source; policy, logs and metrics use it.")
    path: FilePath = Field(description="The drop folder. Must exist and be writable.")
    channel: Name = Field(description="The channel of its messages.")
    settle_s: Seconds = Field(
        default=2.0,
        description="Seconds for which a file's size and time must not change before it is read.",
    )
    poll_s: Seconds = Field(default=1.0, description="Seconds between looks into the folder.")


SourceSection = Annotated[
    HttpSource | MllpSource | DicomSource | FolderSource, Field(discriminator="kind")
]


class OuterConfig(Document):
    """outer.toml, written by the system administrator."""

    agent: AgentSection = Field(description="Who this agent is.")
    keys: KeysSection = Field(description="The outer's own key.")
    policy: PolicySection = Field(description="The security administrator's policy.")
    medium: MediumSection = Field(description="The shared folder.")
    spool: SpoolSection = Field(
        default_factory=SpoolSection, description="The outer's copy for resending."
    )
    intake: IntakeSection = Field(
        default_factory=IntakeSection, description="How much is taken in at once."
    )
    scanner: ScannerSection | None = Field(
        default=None, description="The virus scanner, where a channel asks for one."
    )
    deidentification: DeidentificationSection | None = Field(
        default=None, description="De-identification, where a channel asks for it."
    )
    metrics: MetricsSection = Field(description="The metrics listener.")
    audit: AuditSection = Field(description="The audit trail.")
    sources: tuple[SourceSection, ...] = Field(
        min_length=1, description="Where messages come in; one [[sources]] table each."
    )


def load_config(path: Path) -> OuterConfig:
    """The configuration at `path`. Raises ConfigurationError."""
    return load(OuterConfig, path)
