"""The inner's configuration and policy as a whole: everything that must fit together, and the host.

Run at start and by `ferry-inner check`. Changes nothing.
"""

from __future__ import annotations

import ipaddress
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from ferry_format.keys import KeyKind
from ferry_runtime.checks import Findings
from ferry_runtime.configuration import ConfigurationProblem
from ferry_runtime.toml_lines import KeyPath
from inner_agent.config import DicomSink, FolderSink, HttpSink, InnerConfig, MllpSink, SinkSection
from inner_agent.policy import InnerPolicy

Role = Literal["verifier", "replayer", "operator", "both"]
"""Whose process it is; `operator` is a command beside the two."""

_READS_THE_MEDIUM: Final = frozenset({"verifier", "both"})
_DELIVERS: Final = frozenset({"replayer", "both"})


def check_inner(
    config: InnerConfig, policy: InnerPolicy, role: Role = "both"
) -> list[ConfigurationProblem]:
    """Everything that is wrong; an empty list if nothing is.

    Secrets and folders are looked at only if they are the role's: the replayer never opens the
    receiving key, the verifier no sink's secrets.
    """
    ours, theirs = Findings(config), Findings(policy)
    _check_keys(config, ours)
    if role in _READS_THE_MEDIUM:
        _check_receiving(config, ours)
    _check_folders(config, ours, role)
    _check_owner(config, ours)
    ours.listener(
        ("metrics", "listen"),
        config.metrics.listen,
        plain=True,
        allowed=config.metrics.allow_plaintext,
    )
    if role in _DELIVERS:
        for index, sink in enumerate(config.sinks):
            _check_sink(("sinks", index), sink, ours)
    ours.unique("sinks", [sink.name for sink in config.sinks])
    theirs.unique("channels", [channel.name for channel in policy.channels])
    _check_senders(policy, theirs)
    _check_channels(config, policy, theirs)
    return ours.problems + theirs.problems


def _check_receiving(config: InnerConfig, found: Findings) -> None:
    seen: set[bytes] = set()
    for index, file in enumerate(config.keys.receiving):
        key = found.private_key(("keys", "receiving", index), file, KeyKind.RECEIVE)
        if key is not None and key.public is not None:
            if key.public.key_id in seen:
                found.add(("keys", "receiving"), "names one key twice", "Name each key once.")
            seen.add(key.public.key_id)


def _check_keys(config: InnerConfig, found: Findings) -> None:
    found.private_key(("keys", "journal"), config.keys.journal, KeyKind.JOURNAL)
    found.private_key(("audit", "key"), config.audit.key, KeyKind.AUDIT)
    found.public_key(
        ("policy", "security_admin"), config.policy.security_admin, KeyKind.SECURITY_ADMIN
    )


def _check_folders(config: InnerConfig, found: Findings, role: Role) -> None:
    found.folder(("agent", "state_dir"), config.agent.state_dir, writable=True, private=True)
    if role in _READS_THE_MEDIUM:
        found.folder(("medium", "path"), config.medium.path, writable=False)
    found.folder_or_parent(("audit", "dir"), config.audit.dir)
    found.apart(list(_folders(config)))


def _folders(config: InnerConfig) -> Iterator[tuple[KeyPath, Path]]:
    yield ("medium", "path"), config.medium.path
    yield ("agent", "state_dir"), config.agent.state_dir
    for index, sink in enumerate(config.sinks):
        if isinstance(sink, FolderSink):
            yield ("sinks", index, "path"), sink.path


def _check_owner(config: InnerConfig, found: Findings) -> None:
    owner = config.medium.owner
    if isinstance(owner, str):
        try:
            pwd.getpwnam(owner)
        except KeyError:
            found.add(
                ("medium", "owner"),
                "is no user of this host",
                "Write a user's name, or the number that the files carry (ls -n).",
            )


def _check_sink(table: KeyPath, sink: SinkSection, found: Findings) -> None:
    if isinstance(sink, FolderSink):
        found.folder((*table, "path"), sink.path, writable=True)
        return
    found.tls_ca((*table, "tls_ca"), sink.tls_ca)
    found.tls_pair(table, sink.tls_certificate, sink.tls_key)
    if isinstance(sink, HttpSink) and sink.authorization_file is not None:
        found.secret((*table, "authorization_file"), sink.authorization_file)
    if sink.tls_ca is None and not sink.allow_plaintext and not _is_loopback(_host(sink)):
        found.add(
            (*table, "url" if isinstance(sink, HttpSink) else "host"),
            "sends patient data to another host without TLS",
            "Name tls_ca (and https), or write allow_plaintext = true if it is meant.",
        )


def _host(sink: HttpSink | MllpSink | DicomSink) -> str:
    return urlsplit(sink.url).hostname or "" if isinstance(sink, HttpSink) else sink.host


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_senders(policy: InnerPolicy, found: Findings) -> None:
    channels = [channel.name for channel in policy.channels]
    keys: dict[bytes, str] = {}
    for index, sender in enumerate(policy.senders):
        found.known(("senders", index, "channels"), sender.channels, channels, "channel")
        key_id = sender.trusted().key.key_id
        if key_id in keys:
            found.add(
                ("senders", index, "key"),
                f"is also the key of the sender {keys[key_id]}",
                "Let each key stand once; give one table all its channels.",
            )
        keys.setdefault(key_id, sender.name)
    if all(sender.revoked for sender in policy.senders):
        found.add(("senders",), "are all revoked", "Trust the outer's present key.")


def _check_channels(config: InnerConfig, policy: InnerPolicy, found: Findings) -> None:
    sinks = {sink.name: sink for sink in config.sinks}
    for index, channel in enumerate(policy.channels):
        table: KeyPath = ("channels", index)
        found.known((*table, "sink"), [channel.sink], sinks, "sink")
        if isinstance(sinks.get(channel.sink), MllpSink) and channel.content.hl7v2 is None:
            found.add(
                (*table, "sink"),
                "is an MLLP sink, but the channel does not carry HL7 v2",
                "Name an http or folder sink.",
            )
        if isinstance(sinks.get(channel.sink), DicomSink) and channel.content.dicom is None:
            found.add(
                (*table, "sink"),
                "is a DICOM sink, but the channel has no content.dicom",
                "Name an http or folder sink.",
            )
        found.content(
            (*table, "content"),
            channel.content,
            channel.message_bytes_max,
            config.policy.file.parent,
        )
        if channel.virus_scan and config.scanner is None:
            found.add(
                (*table, "virus_scan"),
                "asks for a virus scanner, and inner.toml names none",
                "Have the system administrator add a [scanner] table, or remove it.",
            )
        if channel.content.objects is not None and channel.bytes_max > config.journal.bytes_max:
            family = "object" if channel.content.dicom is None else "dicom"
            found.add(
                (*table, "content", family, "bytes_max"),
                f"is more than the journal may hold (journal.bytes_max = "
                f"{config.journal.bytes_max})",
                "Lower it, or have the system administrator give the journal more room.",
            )
