"""Tell systemd how the service does (sd_notify(3)), without any library and without ever failing.

Outside systemd (no $NOTIFY_SOCKET) every function does nothing.
"""

from __future__ import annotations

import os
import socket
from typing import Final

_ABSTRACT: Final = "@"
_STATUS_CHARS_MAX: Final = 200
_USEC_PER_S: Final = 1_000_000


def ready(status: str = "") -> bool:
    """The service is up (Type=notify): what starts after it may start."""
    return _send("READY=1", *_status(status))


def status(text: str) -> bool:
    """One line that `systemctl status` shows."""
    return _send(*_status(text))


def stopping(text: str = "") -> bool:
    """The service began to shut down."""
    return _send("STOPPING=1", *_status(text))


def watchdog() -> bool:
    """The service is alive; to be told more often than watchdog_interval_s()."""
    return _send("WATCHDOG=1")


def watchdog_interval_s() -> float | None:
    """How often watchdog() is due: half of systemd's limit. None if systemd does not watch us."""
    limit, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not limit.isascii() or not limit.isdigit() or int(limit) == 0:
        return None
    if pid is not None and pid != str(os.getpid()):
        return None
    return int(limit) / _USEC_PER_S / 2


def _status(text: str) -> list[str]:
    line = " ".join(text.split())[:_STATUS_CHARS_MAX]
    return [f"STATUS={line}"] if line else []


def _send(*lines: str) -> bool:
    """Whether the lines were handed to systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not lines or not address or address[0] not in "/@":
        return False
    if address.startswith(_ABSTRACT):
        address = "\0" + address[1:]
    try:
        # Never blocking: a stuck manager must not stop the messages.
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with socket.socket(socket.AF_UNIX, kind) as sender:
            sender.sendto("\n".join(lines).encode("utf-8", "replace"), address)
    except (OSError, ValueError):
        return False
    return True
