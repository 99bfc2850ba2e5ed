"""The tables that both agents' configuration files have."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, Strict, model_validator

from ferry_runtime.audit import CHECKPOINT_RECORDS, KEEP_DAYS_MIN
from ferry_runtime.configuration import Section
from ferry_runtime.problem_words import Mistake
from ferry_runtime.setting_types import FilePath, IcapService, Listen, Name, Switch

SANDBOX_REQUIRED: Final = (
    "Whether the agent starts only where the kernel locks workers in (seccomp: no files, no "
    "network, no other programs). false is for trials."
)


class AgentSection(Section):
    """Who this agent is and where it keeps what it must not lose."""

    name: Name = Field(
        description="Name of this agent. Stands in each log line and audit record. "
        "1 to 64 lower-case letters, digits and . _ -."
    )
    state_dir: FilePath = Field(
        description="Folder of the agent's own databases. Must exist, be writable by the agent, "
        "and closed to others (mode 0700 or 0750). Belongs on a disk that keeps its promises."
    )


class PolicySection(Section):
    """Where the security administrator's policy is, and by which key it is known."""

    file: FilePath = Field(
        description="The policy. Its signature stands beside it, in the same name with .sig added."
    )
    security_admin: FilePath = Field(
        description="The security administrator's public key file "
        "(ferry-keys generate security-admin). A policy that it did not sign is refused."
    )


class MetricsSection(Section):
    """The listener for /metrics, /healthz and /readyz."""

    listen: Listen = Field(
        description="ADDRESS:PORT. Keep it on loopback unless a firewall stands before it."
    )
    allow_plaintext: Switch = Field(
        default=False,
        description="Whether a listener that other hosts can reach is meant. It has no TLS; "
        "metrics hold counts and names of channels, no patient data.",
    )


class ScannerSection(Section):
    """The virus scanner, for channels with virus_scan: clamd on this host, or an ICAP service."""

    socket: FilePath | None = Field(
        default=None,
        description="clamd's socket (its LocalSocket), as /run/clamav/clamd.ctl; with icap, a "
        "UNIX socket that leads to the ICAP server. The agent must be allowed to write to it.",
    )
    icap: IcapService | None = Field(
        default=None,
        description="A service of an ICAP server that scans what it is given as an answer "
        "(RESPMOD) and says 204 where it is clean, as icap://192.0.2.7:1344/avscan. What is "
        "scanned goes there in the clear: keep the way to it to yourself.",
    )
    timeout_s: Annotated[float, Strict(), Field(gt=0, le=45)] = Field(
        default=30.0,
        description="Seconds that each step of a scan may take; then the scanner counts as away.",
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.socket is None and self.icap is None:
            raise Mistake("names no scanner", "Name clamd's socket, or an ICAP service (icap).")
        return self


class AuditSection(Section):
    """The audit trail: append-only, hash-chained, with signed checkpoints."""

    dir: FilePath = Field(
        description="Folder of the trail, made if missing (its parent must exist). "
        "For the auditor: ferry-audit verify."
    )
    key: FilePath = Field(
        description="The agent's audit key file (ferry-keys generate audit), mode 0600. "
        "The auditor keeps its public half."
    )
    checkpoint_records: Annotated[int, Strict(), Field(ge=1, le=100_000)] = Field(
        default=CHECKPOINT_RECORDS,
        description="Records after which a signed checkpoint is written, at the latest.",
    )
    keep_days: Annotated[int, Strict(), Field(ge=KEEP_DAYS_MIN, le=36_600)] | None = Field(
        default=None,
        description=f"Days after which a day's file is deleted, {KEEP_DAYS_MIN} or more "
        "(the law asks for six months). Left out: nothing is ever deleted.",
    )
