"""Two hosts' configuration on disk, complete and valid, for tests to break in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ferry_format import keys
from ferry_format.keys import KeyFile, KeyKind
from ferry_runtime import policy

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

OUTER = """\
[agent]
name = "front-1"
state_dir = "state"

[keys]
signing = "front-1.key"

[policy]
file = "policy.toml"
security_admin = "security-admin.pub"

[medium]
path = "medium"

[metrics]
listen = "127.0.0.1:9464"

[audit]
dir = "audit"
key = "audit.key"

[[sources]]
kind = "http"
name = "front-http"
listen = "127.0.0.1:8443"

[[sources]]
kind = "mllp"
name = "adt-in"
listen = "127.0.0.1:2575"
channel = "adt"

[[sources]]
kind = "folder"
name = "orders-folder"
path = "drop"
channel = "orders"
"""

OUTER_POLICY = """\
version = 1
side = "outer"
lane = "front-to-his"

[receiver]
key = "@his.pub@"

[[senders]]
name = "his-front"
api_keys_sha256 = ["aa00000000000000000000000000000000000000000000000000000000000000"]
listeners = ["adt-in", "orders-folder"]

[[channels]]
name = "adt"
senders = ["his-front"]
message_bytes_max = 65536
rate_per_s = 200
burst = 50
[channels.content.hl7v2]
messages = ["ADT^*"]
segments = "any"

[[channels]]
name = "orders"
senders = ["his-front"]
[channels.content.json]
schema_file = "order.schema.json"
schema_sha256 = "@order.schema.json@"
"""

INNER = """\
[agent]
name = "his-1"
state_dir = "state"

[keys]
receiving = ["his.key"]
journal = "journal.key"

[policy]
file = "policy.toml"
security_admin = "security-admin.pub"

[medium]
path = "medium"

[metrics]
listen = "127.0.0.1:9465"

[audit]
dir = "audit"
key = "audit.key"

[[sinks]]
kind = "mllp"
name = "his-adt"
host = "127.0.0.1"
port = 2576

[[sinks]]
kind = "http"
name = "his-orders"
url = "http://127.0.0.1:8080/orders"

[[sinks]]
kind = "folder"
name = "archive"
path = "archive"
"""

INNER_POLICY = """\
version = 1
side = "inner"
lane = "front-to-his"

[[senders]]
name = "front-1"
key = "@front-1.pub@"
channels = ["adt", "orders"]
not_before = 2026-01-01T00:00:00Z

[[channels]]
name = "adt"
sink = "his-adt"
[channels.content.hl7v2]
messages = ["ADT^*"]
segments = "any"

[[channels]]
name = "orders"
sink = "his-orders"
[channels.content.json]
schema_file = "order.schema.json"
schema_sha256 = "@order.schema.json@"
"""

SCHEMA = b'{"type": "object"}\n'


@dataclass(frozen=True, slots=True)
class Host:
    """One host's folder: `config` and `policy` in it, and the keys by file name."""

    folder: Path
    config: Path
    policy: Path
    keys: Mapping[str, KeyFile]

    def sign(self) -> None:
        """Sign the policy as it stands."""
        policy.sign(self.policy, self.keys["security-admin"])


def make_key(folder: Path, kind: KeyKind, name: str) -> KeyFile:
    """A new key with its files NAME.key and NAME.pub in `folder`."""
    key = keys.generate(kind, name, NOW)
    private = folder / f"{name}.key"
    private.touch(mode=0o600)
    private.write_text(keys.private_text(key))
    if key.public is not None:
        (folder / f"{name}.pub").write_text(keys.public_text(key))
    return key


def outer_host(folder: Path) -> Host:
    """A valid outer host."""
    return _host(folder, "outer.toml", OUTER, OUTER_POLICY)


def inner_host(folder: Path) -> Host:
    """A valid inner host."""
    return _host(folder, "inner.toml", INNER, INNER_POLICY)


def _host(folder: Path, name: str, config: str, policy_text: str) -> Host:
    folder.mkdir(parents=True, exist_ok=True)
    for made in ("state", "medium", "drop", "archive"):
        (folder / made).mkdir(mode=0o700)
    made_keys = {
        name: make_key(folder, kind, name)
        for name, kind in (
            ("front-1", KeyKind.SIGN),
            ("his", KeyKind.RECEIVE),
            ("journal", KeyKind.JOURNAL),
            ("audit", KeyKind.AUDIT),
            ("security-admin", KeyKind.SECURITY_ADMIN),
        )
    }
    (folder / "order.schema.json").write_bytes(SCHEMA)
    host = Host(folder, folder / name, folder / "policy.toml", made_keys)
    host.config.write_text(config)
    host.policy.write_text(filled(policy_text, made_keys))
    host.sign()
    return host


def filled(text: str, made_keys: Mapping[str, KeyFile]) -> str:
    """A policy's text with the tokens of `made_keys` and the schema's hash."""
    values: dict[str, str] = {
        f"@{name}.pub@": key.public.token for name, key in made_keys.items() if key.public
    }
    values["@order.schema.json@"] = hashlib.sha256(SCHEMA).hexdigest()
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text
