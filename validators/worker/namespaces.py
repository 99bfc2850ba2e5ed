"""Namespaces of the worker's own, with nothing in them: no network interface, no IPC of others.

An unprivileged process needs a user namespace for it, which some hosts forbid, and a systemd unit
with RestrictNamespaces too. None of mounts: Landlock and seccomp leave no file to be reached, and a
copy of the host's mounts would keep a medium busy that its host unmounts. References: unshare(2),
user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import errno
from typing import Final

_NEWUTS: Final = 0x0400_0000
_NEWIPC: Final = 0x0800_0000
_NEWUSER: Final = 0x1000_0000
_NEWNET: Final = 0x4000_0000


def leave() -> str | None:
    """Leave those of the host behind; return why that was not possible, or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWUSER | _NEWNET | _NEWIPC | _NEWUTS) == 0:
        return None
    return errno.errorcode.get(ctypes.get_errno(), "unknown")
