"""TLS files of a source and a sink, real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from inner_agent.checks import check_inner
from inner_agent.config import load_config as load_inner
from inner_agent.policy import load_policy as load_inner_policy
from outer_agent.checks import check_outer
from outer_agent.config import load_config
from outer_agent.policy import load_policy
from tests.simulator.configured_site import Host, inner_host, outer_host

TLS = 'tls_certificate = "server.pem"\ntls_key = "server.key"\ntls_client_ca = "ca.pem"\n'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write_tls(host: Host, authority: trustme.CA) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(host.folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(host.folder / "server.pem")
    key = host.folder / "server.key"
    key.touch(mode=0o600)
    certificate.private_key_pem.write_to_path(key)


@pytest.fixture
def outer(tmp_path: Path, authority: trustme.CA) -> Host:
    host = outer_host(tmp_path / "outer")
    write_tls(host, authority)
    text = host.config.read_text().replace('"127.0.0.1:8443"\n', f'"0.0.0.0:8443"\n{TLS}')
    host.config.write_text(text)
    return host


def keys_of_problems(host: Host) -> list[str]:
    config = load_config(host.config)
    policy = load_policy(host.policy, config.policy.security_admin)
    return [problem.key for problem in check_outer(config, policy)]


def test_a_listener_with_tls_may_be_reached_by_others(outer: Host) -> None:
    assert keys_of_problems(outer) == []


def test_a_key_that_others_can_read_is_told(outer: Host) -> None:
    (outer.folder / "server.key").chmod(0o644)
    assert keys_of_problems(outer) == ["sources[front-http].tls_key"]


def test_a_certificate_and_another_key_are_told(outer: Host, authority: trustme.CA) -> None:
    other = authority.issue_cert("127.0.0.2")
    other.private_key_pem.write_to_path(outer.folder / "server.key")
    assert keys_of_problems(outer) == ["sources[front-http].tls_certificate"]


def test_a_ca_file_without_a_certificate_is_told(outer: Host) -> None:
    (outer.folder / "ca.pem").write_text("nothing")
    assert keys_of_problems(outer) == ["sources[front-http].tls_client_ca"]


def test_a_linked_certificate_is_fine(outer: Host) -> None:
    (outer.folder / "server.pem").rename(outer.folder / "real.pem")
    (outer.folder / "server.pem").symlink_to("real.pem")
    assert keys_of_problems(outer) == []


def test_a_sink_with_tls_may_be_another_host(tmp_path: Path, authority: trustme.CA) -> None:
    host = inner_host(tmp_path / "inner")
    write_tls(host, authority)
    text = host.config.read_text()
    text = text.replace('"http://127.0.0.1:8080/', '"https://10.1.1.1/').replace(
        '/orders"\n', '/orders"\ntls_ca = "ca.pem"\n'
    )
    text = text.replace(
        'host = "127.0.0.1"\n',
        'host = "10.1.1.1"\ntls_ca = "ca.pem"\n' + TLS.rsplit("tls_cl", 1)[0],
    )
    host.config.write_text(text)
    config = load_inner(host.config)
    assert check_inner(config, load_inner_policy(host.policy, config.policy.security_admin)) == []
