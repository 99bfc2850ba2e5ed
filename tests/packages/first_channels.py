"""A site's files for both hosts: one channel, made as the operating page says, by its commands.

The keys are made on the hosts by the installed `ferry-keys`; the policies are signed where a
security administrator would, with the tools of either package.
"""

from __future__ import annotations

import hashlib

from tests.packages.bare_host import BareHost

API_KEY = "made-for-this-test-alone"
HTTP_PORT = 8080
SINK = "/srv/delivered"
OUTER = f"""\
[agent]
name = "front-1"
state_dir = "/var/lib/ferry-outer"
[keys]
signing = "credential:sender.key"
[policy]
file = "policy.toml"
security_admin = "security-admin.pub"
[medium]
path = "/srv/ferry-medium"
heartbeat_s = 1
[intake]
validator_processes = 1
[metrics]
listen = "127.0.0.1:9464"
[audit]
dir = "/var/log/ferry-outer/audit"
key = "credential:audit.key"
[[sources]]
kind = "http"
name = "web"
listen = "127.0.0.1:{HTTP_PORT}"
"""
INNER = f"""\
[agent]
name = "inner-1"
state_dir = "/var/lib/ferry-inner"
[keys]
receiving = ["credential:receiver.key"]
journal = "credential:journal.key"
[policy]
file = "policy.toml"
security_admin = "security-admin.pub"
[medium]
path = "/srv/ferry-medium"
look_s = 0.2
[validators]
processes = 1
[metrics]
listen = "127.0.0.1:9465"
[audit]
dir = "/var/log/ferry-inner/audit"
key = "credential:audit.key"
[[sinks]]
kind = "folder"
name = "delivered"
path = "{SINK}"
suffix = ".json"
"""
SCHEMA = """\
{"type": "object", "required": ["id"], "additionalProperties": false,
 "properties": {"id": {"type": "string", "pattern": "^[A-Z0-9]{1,20}$"}}}
"""
_CONTENT = f"""
[channels.content.json]
schema_file = "booking.schema.json"
schema_sha256 = "{hashlib.sha256(SCHEMA.encode()).hexdigest()}"
message_type = "booking"
control_id = "/id"
"""
OUTER_POLICY = f"""\
version = 1
side = "outer"
lane = "front-to-his"
[[senders]]
name = "internet-hospital"
api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]
[[channels]]
name = "booking"
senders = ["internet-hospital"]
message_bytes_max = 65536
{_CONTENT}"""
INNER_POLICY = f"""\
version = 1
side = "inner"
lane = "front-to-his"
[[channels]]
name = "booking"
sink = "delivered"
message_bytes_max = 65536
{_CONTENT}"""


def configure(outer: BareHost, inner: BareHost) -> None:
    """Make the keys on each host, exchange the public ones, sign and hand out the policies."""
    _make_keys(outer, "ferry-outer", sender="sender", audit="audit")
    _make_keys(inner, "ferry-inner", receiver="receiver", journal="journal", audit="audit")
    # The security administrator's computer: any host with either package has the commands.
    outer.run(
        "mkdir -p /srv/admin && cd /srv/admin && ferry-keys generate security-admin security-admin"
    )
    for host, key in ((outer, "ferry-outer/keys/sender"), (inner, "ferry-inner/keys/receiver")):
        public = (host.root / "etc" / f"{key}.pub").read_bytes()
        outer.put(f"/srv/admin/{key.rpartition('/')[2]}.pub", public)
    _sign(outer, "outer", OUTER_POLICY, "ferry-keys trust receiver.pub --policy policy.toml")
    _sign(
        outer,
        "inner",
        INNER_POLICY,
        "ferry-keys trust sender.pub --policy policy.toml --name front-1 --channel booking",
    )
    for host, side, configuration in ((outer, "outer", OUTER), (inner, "inner", INNER)):
        for name in ("policy.toml", "policy.toml.sig", "booking.schema.json"):
            host.put(
                f"/etc/ferry-{side}/{name}",
                (outer.root / "srv" / "admin" / side / name).read_bytes(),
            )
        public = (outer.root / "srv" / "admin" / "security-admin.pub").read_bytes()
        host.put(f"/etc/ferry-{side}/security-admin.pub", public)
        host.put(f"/etc/ferry-{side}/{side}.toml", configuration)
    inner.run(f"install -d -o ferry-inner -g ferry-inner {SINK}")
    inner.put(
        "/etc/systemd/system/ferry-inner-replayer.service.d/site.conf",
        f"[Service]\nReadWritePaths={SINK}\n",
    )


def _make_keys(host: BareHost, package: str, **keys: str) -> None:
    for name, kind in keys.items():
        host.run(f"ferry-keys generate {kind} {name} --dir /etc/{package}/keys")


def _sign(admin: BareHost, side: str, policy: str, trust: str) -> None:
    admin.put(f"/srv/admin/{side}/policy.toml", policy)
    admin.put(f"/srv/admin/{side}/booking.schema.json", SCHEMA)
    admin.run(
        f"cd /srv/admin/{side} && cp ../*.pub . && {trust}"
        " && ferry-keys sign-policy policy.toml --key ../security-admin.key"
    )
