from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ferry_runtime import notify


def receiver(address: str) -> socket.socket:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address)
    manager.settimeout(5)
    return manager


def test_ready_reaches_a_socket_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with receiver(path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify.ready("takes\nmessages")
        assert manager.recv(1000) == b"READY=1\nSTATUS=takes messages"


def test_abstract_addresses_work(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"ferry-test-{os.getpid()}"
    with receiver("\0" + name) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify.watchdog()
        assert notify.stopping()
        assert [manager.recv(1000), manager.recv(1000)] == [b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "/no/such/socket", "/" + "x" * 300, "@\0"[:1]])
def test_it_never_raises(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify.ready()


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify.status("x")


@pytest.mark.parametrize(
    ("usec", "pid", "interval"),
    [
        ("30000000", None, 15.0),
        pytest.param("30000000", str(os.getpid()), 15.0, id="this process"),
        ("30000000", "1", None),
        ("0", None, None),
        ("x", None, None),
        ("", None, None),
    ],
)
def test_the_watchdog_is_due_at_half_the_limit(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str | None, interval: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    if pid is None:
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
    else:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert notify.watchdog_interval_s() == interval
