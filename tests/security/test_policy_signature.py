from __future__ import annotations

import os
from pathlib import Path

import pytest

from ferry_format.keys import KeyKind
from ferry_format.reasons import BAD_KEY_FILE, POLICY_NOT_SIGNED, Refused
from ferry_runtime import configuration, policy
from ferry_runtime.configuration import ConfigurationError
from inner_agent.policy import InnerPolicy
from tests.simulator.configured_site import Host, inner_host, make_key, outer_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return inner_host(tmp_path / "inner")


def load(host: Host) -> InnerPolicy:
    return policy.load_signed(InnerPolicy, host.policy, host.folder / "security-admin.pub")


def refusal(host: Host) -> str:
    with pytest.raises(Refused) as error:
        load(host)
    assert error.value.reason is POLICY_NOT_SIGNED
    return error.value.where


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the test fail if a policy's bytes reach the TOML parser."""

    def parsed(*_: object) -> None:
        pytest.fail("the policy was parsed before its signature held")

    monkeypatch.setattr(configuration, "_table", parsed)


def test_a_signed_policy_loads(host: Host) -> None:
    assert load(host).lane == "front-to-his"


@pytest.mark.usefixtures("no_parser")
def test_an_unsigned_policy_is_refused(host: Host) -> None:
    policy.signature_path(host.policy).unlink()
    assert "is not there" in refusal(host)


@pytest.mark.usefixtures("no_parser")
def test_every_changed_byte_of_the_policy_is_refused(host: Host) -> None:
    data = host.policy.read_bytes()
    for place in range(len(data)):
        host.policy.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert "changed after it was signed" in refusal(host)
    for other in (data + b"\n", data[:-1], b"", b"\xef\xbb\xbf" + data):
        host.policy.write_bytes(other)
        assert "changed after it was signed" in refusal(host)


@pytest.mark.usefixtures("no_parser")
def test_every_changed_byte_of_the_signature_is_refused(host: Host) -> None:
    path = policy.signature_path(host.policy)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        refusal(host)
    for other in (data + data, data + b"\n", data[:-1], b"", b"\xff" * 100, b"x" * 2000):
        path.write_bytes(other)
        refusal(host)


@pytest.mark.usefixtures("no_parser")
def test_another_administrators_signature_is_refused(host: Host, tmp_path: Path) -> None:
    policy.sign(host.policy, make_key(tmp_path, KeyKind.SECURITY_ADMIN, "other"))
    assert "signed with another key" in refusal(host)


def test_only_a_security_administrators_key_signs_or_is_trusted(host: Host) -> None:
    for name in ("front-1", "audit", "journal", "his"):
        with pytest.raises(Refused) as error:
            policy.sign(host.policy, host.keys[name])
        assert error.value.reason is BAD_KEY_FILE
    with pytest.raises(Refused) as error:
        policy.load_signed(InnerPolicy, host.policy, host.folder / "front-1.pub")
    assert error.value.reason is BAD_KEY_FILE


def test_the_other_sides_signed_policy_is_refused(host: Host, tmp_path: Path) -> None:
    other = outer_host(tmp_path / "outer")
    host.policy.write_bytes(other.policy.read_bytes())
    host.sign()
    with pytest.raises(ConfigurationError) as error:
        load(host)
    assert "side" in {problem.key for problem in error.value.problems}


@pytest.mark.parametrize("kind", ["link", "fifo", "huge"])
def test_a_policy_that_is_no_ordinary_file_is_refused(host: Host, kind: str) -> None:
    data = host.policy.read_bytes()
    host.policy.unlink()
    if kind == "link":
        (host.folder / "real.toml").write_bytes(data)
        host.policy.symlink_to("real.toml")
    elif kind == "fifo":
        os.mkfifo(host.policy)
    else:
        host.policy.touch()
        os.truncate(host.policy, 1 << 40)
    refusal(host)


def test_schemas_are_covered_by_their_hash(host: Host) -> None:
    wanted = list(load(host).schema_files())
    assert set(policy.read_schemas(host.folder, wanted)) == {"order.schema.json"}
    (host.folder / "order.schema.json").write_bytes(b"{}")
    with pytest.raises(Refused, match="SHA-256"):
        policy.read_schemas(host.folder, wanted)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "", ".", "link.json", "sub/x.json"]
)
def test_a_schema_outside_the_folder_or_behind_a_link_is_refused(host: Host, name: str) -> None:
    (host.folder / "link.json").symlink_to("order.schema.json")
    outside = host.folder.parent / "outside"
    outside.mkdir()
    data = (host.folder / "order.schema.json").read_bytes()
    (outside / "x.json").write_bytes(data)
    (host.folder / "sub").symlink_to(outside)
    sha256 = next(iter(load(host).schema_files())).sha256
    with pytest.raises(Refused):
        policy.read_schema(host.folder, name, sha256)
