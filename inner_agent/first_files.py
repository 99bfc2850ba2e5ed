"""The first inner.toml and policy of a new inner, from a few answers. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from ferry_runtime.chosen_channel import ChosenChannel, scanner_table, toml_text
from ferry_runtime.commands.first_answers import Answers
from ferry_runtime.problem_words import Mistake

_SUFFIXES: Final = (("hl7v2", ".hl7"), ("xml", ".xml"), ("csv", ".csv"), ("dicom", ".dcm"))


def inner_toml(answers: Answers, where: Mapping[str, str]) -> str:
    """The system administrator's file; `where` says for each channel where its messages go.

    That is a folder's path, mllp://HOST:PORT, or an http or https address. Raises Mistake if it is
    none of them.
    """
    sinks = "".join(_sink(one, where[one.name]) for one in answers.channels)
    return f"""\
# The system administrator's file on the intranet host (内网机), begun by ferry-inner init.
# Every key, its default and meaning: /usr/share/doc/ferry-inner/configuration.md.
# Check each change: ferry-inner check

[agent]
name = {toml_text(answers.name)}  # stands in each log line and audit record
state_dir = {toml_text(answers.state_dir)}  # journal and deliveries: a local disk

[keys]
# In keys/, root's alone; systemd hands the services copies (LoadCredential=).
receiving = ["credential:receiver.key"]
journal = "credential:journal.key"      # without it the journal cannot be read: a copy in a safe

[policy]
file = "policy.toml"                    # the security administrator's; beside it policy.toml.sig
security_admin = "security-admin.pub"   # a policy that this key did not sign is refused

[medium]
path = {toml_text(answers.medium)}  # mounted read-only (ro,nodev,nosuid,noexec)

[metrics]
listen = "127.0.0.1:9465"

[audit]
dir = {toml_text(answers.audit_dir)}  # below it: verifier/, replayer/, operators/
key = "credential:audit.key"
{scanner_table(answers.channels, "inner")}{sinks}"""


def inner_policy(answers: Answers) -> str:
    """The draft of the security administrator's file: without the outer's key, and unsigned."""
    head = f"""\
# The security administrator's file for the intranet host (内网机), drafted by ferry-inner init.
# Every message is checked again by what stands here, whatever the front-end machine said of it.
# Read it, and change what is not so; then ferry-keys ceremony writes [[senders]], and signs it.

version = 1
side = "inner"
lane = {toml_text(answers.lane)}
"""
    channels = (one.profile.inner_channel(one.name, _name(one)) for one in answers.channels)
    return "\n".join([head, *channels])


def replayer_drop_in(sinks: Mapping[str, str]) -> str | None:
    """What the replayer's unit needs beyond itself for these sinks; None if nothing."""
    lines = []
    for where in sinks.values():
        host = None if where.startswith("/") else urlsplit(where).hostname
        if host is None:
            lines.append(f"ReadWritePaths={where}")
        elif not _is_loopback(host):
            is_address = re.fullmatch(r"[0-9.]+|[0-9a-f:]+", host) is not None
            lines.append(f"IPAddressAllow={host if is_address else f'ADDRESS-OF-{host}'}")
    if not lines:
        return None
    return "\n".join(
        [
            "# Begun by ferry-inner init, for the unit ferry-inner-replayer: which folders it may",
            "# write, and whom it may reach. A name server is such a peer too.",
            "[Service]",
            *dict.fromkeys(lines),
            "",
        ]
    )


def _sink(channel: ChosenChannel, where: str) -> str:
    head = f"\n# {channel.profile.title} ({channel.profile.title_zh})\n[[sinks]]\n"
    name = f"name = {toml_text(_name(channel))}\n"
    if where.startswith("/"):
        suffix = next(
            (end for family, end in _SUFFIXES if getattr(channel.profile.content, family)), ".json"
        )
        return f'{head}kind = "folder"\n{name}path = {toml_text(where)}\nsuffix = "{suffix}"\n'
    try:
        parts = urlsplit(where)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host and parts.scheme in ("http", "https"):
        kind = f'kind = "http"\n{name}url = {toml_text(where)}\n'
        return head + kind + _tls(is_needed=parts.scheme == "https")
    if host and port and parts.scheme == channel.protocol == "mllp":
        kind = f'kind = "mllp"\n{name}host = {toml_text(host)}\nport = {port}\n'
        return head + kind + _tls(is_needed=not _is_loopback(host))
    raise Mistake(
        f"the sink of channel {channel.name} is none",
        "Write a folder's path, https://HOST/PATH, or for HL7 v2 mllp://HOST:PORT",
    )


def _tls(*, is_needed: bool) -> str:
    line = 'tls_ca = "tls/intranet-ca.crt"  # the CA that signed the certificate of that system\n'
    return line if is_needed else f"# {line}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name(channel: ChosenChannel) -> str:
    return f"{channel.name}-out"
