"""No file, no TCP connection, no signal or abstract socket beyond this process: landlock(7).

A ruleset that handles every right that this kernel knows, and allows none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

# The numbers are the same on every architecture (linux/landlock.h, asm-generic/unistd.h).
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_FILES_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""By ABI version: how many rights on files there are; later ones have as many as the last."""
_NETWORK_BITS: Final = 2
_NETWORK_SINCE: Final = 4
_SCOPE_BITS: Final = 2
_SCOPE_SINCE: Final = 6


def restrict() -> str | None:
    """Take every right that Landlock governs from this process; return why not, or None.

    Needs no_new_privs.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return _problem()
    handled = _handled(version)
    ruleset = libc.syscall(_CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        return _problem()
    restricted = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    problem = None if restricted == 0 else _problem()
    os.close(ruleset)
    return problem


def _handled(version: int) -> bytes:
    """Struct landlock_ruleset_attr, as long as this version knows it."""
    rights = [_FILES_BITS.get(version, max(_FILES_BITS.values()))]
    if version >= _NETWORK_SINCE:
        rights.append(_NETWORK_BITS)
    if version >= _SCOPE_SINCE:
        rights.append(_SCOPE_BITS)
    return struct.pack(f"={len(rights)}Q", *((1 << bits) - 1 for bits in rights))


def _problem() -> str:
    return errno.errorcode.get(ctypes.get_errno(), "unknown")
