"""The examples are what a hospital starts from: they must load, fit together and let messages pass.

They are made whole here by the very steps that their comments name: ferry-keys trust, then sign.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from ferry_format.keys import KeyKind
from ferry_runtime.commands import keys as key_commands
from ferry_runtime.configuration import ConfigurationError
from inner_agent.checks import Role, check_inner
from inner_agent.config import InnerConfig
from inner_agent.config import load_config as load_inner
from inner_agent.policy import InnerPolicy
from inner_agent.policy import load_policy as load_inner_policy
from outer_agent.checks import check_outer
from outer_agent.config import OuterConfig
from outer_agent.config import load_config as load_outer
from outer_agent.policy import OuterPolicy
from outer_agent.policy import load_policy as load_outer_policy
from tests.simulator.configured_site import make_key

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "deploy" / "examples"
CHANNELS = ("appointments", "adt", "results")


@dataclass(frozen=True)
class Site:
    """Both hosts' folders, complete; `credentials` is what systemd would hand the services."""

    outer: Path
    inner: Path
    credentials: Path

    def outer_loaded(self) -> tuple[OuterConfig, OuterPolicy]:
        config = load_outer(self.outer / "outer.toml")
        return config, load_outer_policy(config.policy.file, config.policy.security_admin)

    def inner_loaded(self) -> tuple[InnerConfig, InnerPolicy]:
        config = load_inner(self.inner / "inner.toml")
        return config, load_inner_policy(config.policy.file, config.policy.security_admin)


def ferry_keys(*arguments: str | Path) -> None:
    result = CliRunner().invoke(key_commands.cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def relocated(config: Path, folders: Mapping[str, Path]) -> None:
    """The example's absolute folders, which belong to a real host, moved below the test's."""
    text = config.read_text(encoding="utf-8")
    for folder, ours in folders.items():
        assert f'"{folder}"' in text, f"{config.name} does not name {folder}"
        ours.mkdir(parents=True, mode=0o700, exist_ok=True)
        text = text.replace(f'"{folder}"', f'"{ours}"')
    config.write_text(text, encoding="utf-8")


def make_secrets(folder: Path) -> None:
    for kind, name in (
        (KeyKind.SIGN, "sender"),
        (KeyKind.RECEIVE, "receiver"),
        (KeyKind.JOURNAL, "journal"),
        (KeyKind.AUDIT, "audit"),
    ):
        make_key(folder, kind, name)
    authorization = folder / "booking-authorization"
    authorization.touch(mode=0o600)
    authorization.write_text("Bearer made-for-this-test", encoding="ascii")


def make_tls(site: Site) -> None:
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    authority = trustme.CA()
    server = authority.issue_cert("front-1.front.example", not_after=expires)
    (site.outer / "tls").mkdir()
    (site.inner / "tls").mkdir()
    authority.cert_pem.write_to_path(site.outer / "tls" / "senders-ca.crt")
    authority.cert_pem.write_to_path(site.inner / "tls" / "intranet-ca.crt")
    server.cert_chain_pems[0].write_to_path(site.outer / "tls" / "front-1.crt")
    key = site.credentials / "front-1-tls.key"
    key.touch(mode=0o600)
    server.private_key_pem.write_to_path(key)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path / "outer", tmp_path / "inner", tmp_path / "credentials")
    shutil.copytree(EXAMPLES / "outer", made.outer)
    shutil.copytree(EXAMPLES / "inner", made.inner)
    made.credentials.mkdir(mode=0o700)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(made.credentials))
    make_secrets(made.credentials)
    make_tls(made)
    make_key(tmp_path, KeyKind.SECURITY_ADMIN, "security-admin")
    for folder in (made.outer, made.inner):
        shutil.copy(tmp_path / "security-admin.pub", folder)
    relocated(
        made.outer / "outer.toml",
        {
            "/var/lib/ferry-outer": tmp_path / "outer-state",
            "/srv/ferry-medium": tmp_path / "medium",
            "/srv/results-in": tmp_path / "results-in",
            "/var/log/ferry-outer/audit": tmp_path / "outer-audit",
        },
    )
    relocated(
        made.inner / "inner.toml",
        {
            "/var/lib/ferry-inner": tmp_path / "inner-state",
            "/srv/ferry-medium": tmp_path / "medium",
            "/srv/results-out": tmp_path / "results-out",
            "/var/log/ferry-inner/audit": tmp_path / "inner-audit",
        },
    )
    outer_policy, inner_policy = made.outer / "policy.toml", made.inner / "policy.toml"
    ferry_keys("trust", made.credentials / "receiver.pub", "--policy", outer_policy)
    channels = [text for name in CHANNELS for text in ("--channel", name)]
    ferry_keys("trust", made.credentials / "sender.pub", "--policy", inner_policy, *channels)
    for policy in (outer_policy, inner_policy):
        ferry_keys("sign-policy", policy, "--key", tmp_path / "security-admin.key")
    return made


def test_the_outer_example_is_good_as_a_whole(site: Site) -> None:
    assert check_outer(*site.outer_loaded()) == []


def test_the_inner_example_is_good_as_a_whole(site: Site) -> None:
    assert check_inner(*site.inner_loaded()) == []


def test_both_sides_have_the_same_lane_and_channels_and_judge_alike(site: Site) -> None:
    _, outer = site.outer_loaded()
    _, inner = site.inner_loaded()
    assert outer.lane == inner.lane
    assert tuple(channel.name for channel in outer.channels) == CHANNELS
    assert {channel.name: channel.content for channel in outer.channels} == {
        channel.name: channel.content for channel in inner.channels
    }
    assert {channel.name: channel.message_bytes_max for channel in outer.channels} == {
        channel.name: channel.message_bytes_max for channel in inner.channels
    }


def test_every_channel_of_the_outer_has_a_source_for_it(site: Site) -> None:
    config, policy = site.outer_loaded()
    fed = {source.channel for source in config.sources if source.kind != "http"}
    by_http = any(source.kind == "http" for source in config.sources)
    unfed = {channel.name for channel in policy.channels} - fed
    assert not unfed or by_http
    assert unfed == {"appointments"}


@pytest.mark.parametrize(("side", "missing"), [("outer", "receiver"), ("inner", "senders")])
def test_a_policy_without_the_other_sides_key_is_refused(
    site: Site, tmp_path: Path, side: str, missing: str
) -> None:
    policy = getattr(site, side) / "policy.toml"
    shutil.copy(EXAMPLES / side / "policy.toml", policy)
    ferry_keys("sign-policy", policy, "--key", tmp_path / "security-admin.key")
    with pytest.raises(ConfigurationError, match=missing):
        site.outer_loaded() if side == "outer" else site.inner_loaded()


@pytest.mark.parametrize(
    ("side", "unit", "not_for_it"),
    [
        ("outer", "ferry-outer.service", set()),
        ("inner", "ferry-inner-verifier.service", {"booking-authorization"}),
        ("inner", "ferry-inner-replayer.service", {"receiver.key"}),
    ],
)
def test_the_unit_and_its_drop_in_pass_the_credentials_that_its_role_needs(
    side: str, unit: str, not_for_it: set[str]
) -> None:
    text = (EXAMPLES / side / f"{side}.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'"credential:([^"]+)"', text)) - not_for_it
    files = (ROOT / "deploy" / "systemd" / unit, EXAMPLES / side / f"{unit}.d.conf")
    passed = [
        name
        for file in files
        if file.exists()
        for name in re.findall(r"(?m)^LoadCredential=([^:]+):", file.read_text(encoding="utf-8"))
    ]
    assert sorted(passed) == sorted(named)


@pytest.mark.parametrize(
    ("role", "secret"), [("replayer", "receiver.key"), ("verifier", "booking-authorization")]
)
def test_a_role_starts_without_the_secrets_of_the_other(
    site: Site, role: Role, secret: str
) -> None:
    (site.credentials / secret).unlink()
    assert check_inner(*site.inner_loaded(), role) == []
    assert check_inner(*site.inner_loaded()) != []
