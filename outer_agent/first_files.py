"""The first outer.toml and policy of a new outer, from a few answers. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from ferry_runtime.chosen_channel import ChosenChannel, scanner_table, toml_text
from ferry_runtime.commands.first_answers import Answers

_FIRST_PORTS: Final = {"mllp": 2575, "dicom": 11112}
_OUR_TITLE: Final = 'ae_title = "FERRY"                      # what the modalities call\n'


def outer_toml(answers: Answers) -> str:
    """The system administrator's file."""
    return f"""\
# The system administrator's file on the front-end machine (前置机), begun by ferry-outer init.
# Every key, its default and meaning: /usr/share/doc/ferry-outer/configuration.md.
# Check each change: ferry-outer check

[agent]
name = {toml_text(answers.name)}  # stands in each log line and audit record
state_dir = {toml_text(answers.state_dir)}  # the spool: a local disk, and not the medium's

[keys]
# In keys/, root's alone; systemd hands the service a copy (LoadCredential=).
signing = "credential:sender.key"

[policy]
file = "policy.toml"                    # the security administrator's; beside it policy.toml.sig
security_admin = "security-admin.pub"   # a policy that this key did not sign is refused

[medium]
path = {toml_text(answers.medium)}
keep_hours = 72                         # longer than the inner is ever down: a long weekend

[metrics]
listen = "127.0.0.1:9464"               # /metrics, /healthz, /readyz

[audit]
dir = {toml_text(answers.audit_dir)}
key = "credential:audit.key"
{scanner_table(answers.channels, "outer")}{"".join(_sources(answers.channels))}"""


def outer_policy(answers: Answers) -> str:
    """The draft of the security administrator's file: without the inner's key, and unsigned."""
    parts = [
        f"""\
# The security administrator's file for the front-end machine (前置机), drafted by ferry-outer init.
# What it does not name does not cross. Read it, and change what is not so; then ferry-keys ceremony
# writes [receiver] and the API keys' hashes into it, and signs it.

version = 1
side = "outer"
lane = {toml_text(answers.lane)}
"""
    ]
    for channel in answers.channels:
        known = (
            f"listeners = [{toml_text(_source(channel))}]  # whoever connects there is this sender"
            if channel.protocol != "http"
            else "api_keys_sha256 = []  # the ceremony makes the key, and shows it once"
        )
        parts.append(f"[[senders]]\nname = {toml_text(_sender(channel))}\n{known}\n")
    parts += [one.profile.outer_channel(one.name, [_sender(one)]) for one in answers.channels]
    return "\n".join(parts)


def _sources(channels: Sequence[ChosenChannel]) -> Iterator[str]:
    """A listener of its own for each channel that needs one, and one by HTTP for the others."""
    ports = {protocol: itertools.count(first) for protocol, first in _FIRST_PORTS.items()}
    for channel in channels:
        if channel.protocol != "http":
            port = next(ports[channel.protocol])
            yield f"""
# {channel.profile.title} ({channel.profile.title_zh})
[[sources]]
kind = "{channel.protocol}"
name = {toml_text(_source(channel))}
{_listen(port, port)}# tls_client_ca = "tls/senders-ca.crt"
channel = {toml_text(channel.name)}
{_OUR_TITLE if channel.protocol == "dicom" else ""}"""
    by_http = [one.name for one in channels if one.protocol == "http"]
    if by_http:
        yield f"""
# POST /channels/NAME/messages, with Authorization: Bearer API-KEY. Channels: {", ".join(by_http)}
[[sources]]
kind = "http"
name = "http-in"
{_listen(8080, 8443)}"""


def _listen(port: int, port_for_others: int) -> str:
    return f"""\
# This host alone may connect. For others the lines below, and IPAddressAllow= in a drop-in.
listen = "127.0.0.1:{port}"
# listen = "0.0.0.0:{port_for_others}"
# tls_certificate = "tls/front.crt"
# tls_key = "credential:front-tls.key"
"""


def _source(channel: ChosenChannel) -> str:
    return f"{channel.name}-in"


def _sender(channel: ChosenChannel) -> str:
    return f"{channel.name}-sender"
