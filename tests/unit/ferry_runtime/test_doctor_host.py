"""How /proc and the file system are read."""

from __future__ import annotations

import fcntl
import grp
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from ferry_runtime.addresses import parse_listen
from ferry_runtime.doctor import host
from ferry_runtime.doctor.host import Listening, User
from ferry_runtime.observation_client import ask

MOUNTINFO = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:44 / /srv/ferry\\040medium ro,nosuid - nfs4 nas:/ferry rw,vers=4.2
41 27 0:45 / /srv/twice rw - ext4 /dev/vdb rw
42 27 0:46 / /srv/twice ro - tmpfs none ro
broken line
"""
NOBODY = User(65534, 65534, frozenset({65534}))


@pytest.mark.parametrize(
    ("path", "point", "kind", "read_only", "whole"),
    [
        ("/srv/ferry medium/a", "/srv/ferry medium", "nfs4", True, False),
        ("/srv/ferry", "/", "ext4", False, False),
        ("/srv/twice", "/srv/twice", "tmpfs", True, True),
    ],
)
def test_the_mount_of_a_path_is_found(path, point, kind, read_only, whole) -> None:
    found = host.find_mount(MOUNTINFO, Path(path))
    assert found is not None
    assert (str(found.point), found.kind) == (point, kind)
    assert (found.read_only, found.filesystem_read_only) == (read_only, whole)


def test_this_hosts_own_mounts_can_be_read(tmp_path: Path) -> None:
    found = host.mount_of(tmp_path)
    assert found is not None
    assert tmp_path.is_relative_to(found.point)


def test_fstab_is_asked_for_the_very_path(tmp_path: Path) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text("# /srv/old\nnas:/ferry /srv/ferry-medium nfs4 ro 0 0\n\nnone swap swap 0 0\n")
    assert host.is_in_fstab(Path("/srv/ferry-medium"), fstab)
    assert not host.is_in_fstab(Path("/srv"), fstab)
    assert not host.is_in_fstab(Path("/srv/old"), fstab)
    assert not host.is_in_fstab(Path("/srv"), tmp_path / "none")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_listening_socket_is_seen_with_its_process(family: int) -> None:
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("no such loopback here")
    with server:
        port = server.getsockname()[1]
        [found] = [one for one in host.listening() if one.port == port]
        assert (found.host, found.uid) == (address, os.geteuid())
        ours = host.sockets_of(os.getpid())
        assert ours is not None
        assert found.inode in ours


@pytest.mark.parametrize(
    ("wanted", "there", "held"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("127.0.0.1:80", "0.0.0.0", True),
        ("0.0.0.0:80", "10.0.0.1", True),
        ("localhost:80", "127.0.0.1", True),
        ("127.0.0.1:80", "10.0.0.1", False),
        ("127.0.0.1:81", "127.0.0.1", False),
    ],
)
def test_who_stands_in_the_way_of_a_listener(wanted, there, held) -> None:
    sockets = [Listening(there, 80, 0, 1)]
    assert bool(host.holders(parse_listen(wanted), sockets)) is held


def test_the_holder_of_a_lock_is_seen_without_trying_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as file:
        assert host.lock_holder(path) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        assert host.lock_holder(path) == os.getpid()
    assert host.lock_holder(tmp_path / "none") is None


def test_only_an_exclusive_flock_on_that_file_counts() -> None:
    locks = (
        "1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF\n"
        "2: FLOCK  ADVISORY  READ 12 fe:00:77 0 EOF\n"
        "3: FLOCK  ADVISORY  WRITE 13 fe:00:177 0 EOF\n"
        "3: -> FLOCK  ADVISORY  WRITE 14 fe:00:77 0 EOF\n"
        "4: FLOCK  ADVISORY  WRITE 15 fe:00:77 0 EOF\n"
    )
    assert host.find_lock_holder(locks, 77) == 15
    assert host.find_lock_holder(locks, 78) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="asks for another user's rights")
def test_the_folder_that_shuts_a_user_out_is_named(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for folder in (inner, *inner.parents):
        if folder.is_relative_to(tmp_path):
            folder.chmod(0o755)
    outside = [one for one in tmp_path.parents if not one.stat().st_mode & 0o001]
    first = outside[-1] if outside else None
    assert host.closed_to(NOBODY, inner, os.R_OK | os.X_OK) == first
    assert host.closed_to(NOBODY, inner, os.W_OK) == (first or inner)
    (tmp_path / "a").chmod(0o700)
    assert host.closed_to(NOBODY, inner, os.R_OK) == (first or tmp_path / "a")


def test_the_groups_that_systemd_adds_to_a_unit_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        '#!/bin/sh\n[ "$5" = agent.service ] && echo "daemon 54321 no-such-group"\n'
    )
    systemctl.chmod(0o755)
    own = host.owner(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    seen, other = host.owner(tmp_path, "agent.service"), host.owner(tmp_path, "other.service")
    assert own is not None
    assert seen is not None
    assert seen.groups == own.groups | {grp.getgrnam("daemon").gr_gid, 54321}
    assert other == own
    systemctl.unlink()
    assert host.owner(tmp_path, "agent.service") == own


def test_the_clock_is_read_and_not_set() -> None:
    first, second = host.clock(), host.clock()
    assert first.now_s <= second.now_s
    assert first.synchronised in {True, False, None}


def test_a_certificate_file_is_valid_as_long_as_all_of_it(tmp_path: Path) -> None:
    ca, soon = trustme.CA(), datetime(2030, 1, 1, tzinfo=UTC)
    path = tmp_path / "chain.pem"
    path.write_bytes(ca.cert_pem.bytes())
    whole = host.validity(path)
    ca.issue_cert("his.example", not_after=soon).cert_chain_pems[0].write_to_path(path, append=True)
    both = host.validity(path)
    assert both.not_after == soon < whole.not_after
    assert both.not_before >= whole.not_before


def test_an_agent_that_is_not_there_answers_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ask(f"127.0.0.1:{port}", "/readyz") is None
