"""Namespaces of the worker's own, with nothing in them: no network interface, no IPC of others.

An unprivileged process needs a user namespace for it, which some hosts forbid, and a systemd unit
with RestrictNamespaces too. References: unshare(2), user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import errno
from typing import Final

_NEWNS: Final = 0x0002_0000
_NEWUTS: Final = 0x0400_0000
_NEWIPC: Final = 0x0800_0000
_NEWUSER: Final = 0x1000_0000
_NEWNET: Final = 0x4000_0000


def leave() -> str | None:
    """Leave those of the host behind; return why that was not possible, or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWUSER | _NEWNET | _NEWIPC | _NEWUTS | _NEWNS) == 0:
        return None
    return errno.errorcode.get(ctypes.get_errno(), "unknown")
