"""The outer's configuration and policy as a whole: everything that must fit together, and the host.

Run at start and by `ferry-outer check`. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ferry_format.keys import KeyKind
from ferry_format.reasons import Refused
from ferry_runtime.checks import Findings
from ferry_runtime.configuration import ConfigurationProblem
from ferry_runtime.toml_lines import KeyPath
from outer_agent.config import (
    DicomSource,
    FolderSource,
    HttpSource,
    MllpSource,
    OuterConfig,
    ServerSource,
    SourceSection,
)
from outer_agent.deidentification import read_keys
from outer_agent.policy import OuterChannel, OuterPolicy, SenderSection

_OTHER_WAYS: Final = {"mllp": ", or its tls_names.", "dicom": ", or its ae_titles or tls_names."}


def check_outer(config: OuterConfig, policy: OuterPolicy) -> list[ConfigurationProblem]:
    """Everything that is wrong; an empty list if nothing is."""
    ours, theirs = Findings(config), Findings(policy)
    _check_host(config, ours)
    _check_listeners(config, ours)
    for index, source in enumerate(config.sources):
        _check_source(("sources", index), source, policy, ours)
    ours.unique("sources", [source.name for source in config.sources])
    _check_deidentification(config, policy, ours)
    theirs.unique("senders", [sender.name for sender in policy.senders])
    theirs.unique("channels", [channel.name for channel in policy.channels])
    _check_senders(config, policy, theirs)
    for index, channel in enumerate(policy.channels):
        _check_channel(("channels", index), channel, policy, config, theirs)
    return ours.problems + theirs.problems


def _check_host(config: OuterConfig, found: Findings) -> None:
    found.private_key(("keys", "signing"), config.keys.signing, KeyKind.SIGN)
    found.private_key(("audit", "key"), config.audit.key, KeyKind.AUDIT)
    found.public_key(
        ("policy", "security_admin"), config.policy.security_admin, KeyKind.SECURITY_ADMIN
    )
    found.folder(("agent", "state_dir"), config.agent.state_dir, writable=True, private=True)
    found.folder(("medium", "path"), config.medium.path, writable=True)
    found.folder_or_parent(("audit", "dir"), config.audit.dir)
    found.apart(list(_folders(config)))
    if config.spool.keep_hours < config.medium.keep_hours:
        found.add(
            ("spool", "keep_hours"),
            "is less than medium.keep_hours, so a lost file could not be resent",
            "Keep the spool at least as long as the medium.",
        )


def _check_deidentification(config: OuterConfig, policy: OuterPolicy, found: Findings) -> None:
    section = config.deidentification
    asking = any(channel.deidentification for channel in policy.channels)
    if section is None:
        return
    if not asking:
        found.add(
            ("deidentification",),
            "has no effect: no channel of the policy asks for it",
            "Remove it, or have the security administrator add deidentification to a channel.",
        )
    names: list[str] = []
    for index, file in enumerate(section.keys):
        path: KeyPath = ("deidentification", "keys", index)
        key = found.private_key(path, file, KeyKind.DEIDENTIFICATION)
        if key is not None and key.name in names:
            found.add(path, f"is a second key named {key.name}", "Give each key a name of its own.")
        names += [] if key is None else [key.name]


def _folders(config: OuterConfig) -> Iterator[tuple[KeyPath, Path]]:
    yield ("medium", "path"), config.medium.path
    yield ("agent", "state_dir"), config.agent.state_dir
    for index, source in enumerate(config.sources):
        if isinstance(source, FolderSource):
            yield ("sources", index, "path"), source.path


def _check_listeners(config: OuterConfig, found: Findings) -> None:
    metrics: KeyPath = ("metrics", "listen")
    found.listener(
        metrics, config.metrics.listen, plain=True, allowed=config.metrics.allow_plaintext
    )
    listeners = [(metrics, config.metrics.listen)]
    for index, source in enumerate(config.sources):
        if isinstance(source, ServerSource):
            path: KeyPath = ("sources", index, "listen")
            found.listener(
                path, source.listen, plain=not source.has_tls, allowed=source.allow_plaintext
            )
            listeners.append((path, source.listen))
    found.listeners_apart(listeners)


def _check_source(
    table: KeyPath, source: SourceSection, policy: OuterPolicy, found: Findings
) -> None:
    if isinstance(source, ServerSource):
        found.tls_pair(table, source.tls_certificate, source.tls_key)
        found.tls_ca((*table, "tls_client_ca"), source.tls_client_ca)
    else:
        found.folder((*table, "path"), source.path, writable=True)
    if not isinstance(source, HttpSource):
        _check_source_channel(table, source, policy, found)


def _check_source_channel(
    table: KeyPath,
    source: MllpSource | DicomSource | FolderSource,
    policy: OuterPolicy,
    found: Findings,
) -> None:
    channels = {channel.name: channel for channel in policy.channels}
    found.known((*table, "channel"), [source.channel], channels, "channel")
    channel = channels.get(source.channel)
    if channel is None:
        return
    if isinstance(source, MllpSource) and channel.content.hl7v2 is None:
        found.add(
            (*table, "channel"),
            "is a channel that does not carry HL7 v2, which MLLP is for",
            "Name an HL7 v2 channel, or take the channel's messages in by http or folder.",
        )
    if isinstance(source, DicomSource) and channel.content.dicom is None:
        found.add(
            (*table, "channel"),
            "is a channel without content.dicom",
            "Name a channel with content.dicom, or take its messages in by http or folder.",
        )
    if not any(_may_use(sender, source, channel) for sender in policy.senders):
        found.add(
            (*table, "channel"),
            "is a channel whose senders cannot be known at this source",
            "In the policy, add this source to the listeners of one of the channel's senders"
            + _OTHER_WAYS.get(source.kind, "."),
        )


def _may_use(
    sender: SenderSection, source: MllpSource | DicomSource | FolderSource, channel: OuterChannel
) -> bool:
    shows_certificate = isinstance(source, ServerSource) and source.tls_client_ca is not None
    return sender.name in channel.senders and (
        source.name in sender.listeners
        or (shows_certificate and bool(sender.tls_names))
        or (isinstance(source, DicomSource) and bool(sender.ae_titles))
    )


def _check_senders(config: OuterConfig, policy: OuterPolicy, found: Findings) -> None:
    sources = [source.name for source in config.sources]
    asks_certificates = any(
        isinstance(source, ServerSource) and source.tls_client_ca for source in config.sources
    )
    has_dicom = any(isinstance(source, DicomSource) for source in config.sources)
    owner: dict[str, str] = {}
    for index, sender in enumerate(policy.senders):
        table: KeyPath = ("senders", index)
        found.known((*table, "listeners"), sender.listeners, sources, "source")
        if sender.tls_names and not asks_certificates:
            found.add(
                (*table, "tls_names"),
                "has no effect: no source asks for client certificates",
                "Give a source tls_client_ca, or identify the sender in another way.",
            )
        if sender.ae_titles and not has_dicom:
            found.add(
                (*table, "ae_titles"),
                "has no effect: there is no DICOM source",
                "Remove it, or have the system administrator add a source of kind dicom.",
            )
        for key, values in (
            ("listeners", sender.listeners),
            ("api_keys_sha256", sender.api_keys_sha256),
            ("tls_names", sender.tls_names),
            ("ae_titles", sender.ae_titles),
        ):
            for value in values:
                other = owner.setdefault(f"{key} {value.lower()}", sender.name)
                if other != sender.name:
                    found.add(
                        (*table, key),
                        f"shares an entry with the sender {other}",
                        "Give it to one of the two, so that a message has one sender.",
                    )


def _check_channel(
    table: KeyPath,
    channel: OuterChannel,
    policy: OuterPolicy,
    config: OuterConfig,
    found: Findings,
) -> None:
    folder, medium_bytes_max = config.policy.file.parent, config.medium.bytes_max
    senders = [sender.name for sender in policy.senders]
    found.known((*table, "senders"), channel.senders, senders, "sender")
    found.content((*table, "content"), channel.content, channel.message_bytes_max, folder)
    if channel.virus_scan and config.scanner is None:
        found.add(
            (*table, "virus_scan"),
            "asks for a virus scanner, and outer.toml names none",
            "Have the system administrator add a [scanner] table, or remove it.",
        )
    if channel.splits_batches and channel.batch_messages_max > config.intake.waiting_max:
        found.add(
            (*table, "batch_messages_max"),
            f"is more than may wait at once (intake.waiting_max = {config.intake.waiting_max}), so "
            "that a batch of this size would never be taken whole",
            "Lower it, or have the system administrator raise intake.waiting_max.",
        )
    if channel.deidentification is not None:
        _check_deidentification_key(table, channel.deidentification.key, config, found)
    objects = channel.content.objects
    if objects is not None and objects.bytes_max > medium_bytes_max:
        family = "object" if channel.content.dicom is None else "dicom"
        found.add(
            (*table, "content", family, "bytes_max"),
            f"is more than the medium may hold (medium.bytes_max = {medium_bytes_max})",
            "Lower it, or have the system administrator give the medium more room.",
        )


def _check_deidentification_key(
    table: KeyPath, name: str, config: OuterConfig, found: Findings
) -> None:
    path: KeyPath = (*table, "deidentification", "key")
    if config.deidentification is None:
        found.add(
            path,
            "names a key, and outer.toml has none",
            "Have the system administrator add a [deidentification] table with the key's file.",
        )
        return
    try:
        known = read_keys(config.deidentification)
    except Refused:
        return  # told of at the key's file
    found.known(path, [name], known, "key")
