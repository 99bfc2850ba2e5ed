"""What a worker gives up before it reads the first message, in layers that hold by themselves.

Namespaces of its own take the network and the others' IPC away, Landlock every file and every
connection, rlimits what could grow, and seccomp every system call that computing does not need.
rlimits and seccomp are the sandbox; Landlock and namespaces stand behind them where the kernel has
and the host permits them. None can be lifted again. References: setrlimit(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import resource
from dataclasses import dataclass
from typing import Final

from validators.worker import landlock, namespaces, seccomp

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38

COMPLETE: Final = "rlimits, seccomp"
"""How the words of `lock_down` begin where nothing that is required is missing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory_bytes_max` bounds the address space; `cpu_s_max` the worker's whole life."""

    memory_bytes_max: int = 1024 * 1024 * 1024
    cpu_s_max: int = 600


def lock_down(limits: Limits) -> str:
    """Give everything up; return in words what now holds, for the agent's log and the doctor.

    Never raises: where the kernel lacks something, the words say so.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Others of the same user can neither trace it nor read its memory.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    of_namespaces = namespaces.leave()
    of_landlock = landlock.restrict()
    set_rlimits(limits)
    missing = {"seccomp": seccomp.install(), "Landlock": of_landlock, "namespaces": of_namespaces}
    held = ["rlimits", *(layer for layer, problem in missing.items() if problem is None)]
    lacking = [f"no {layer}: {problem}" for layer, problem in missing.items() if problem]
    return ", ".join(held) + (f" ({'; '.join(lacking)})" if lacking else "")


def is_complete(words: str) -> bool:
    """Whether the words of `lock_down` say that everything required holds."""
    return words.startswith(COMPLETE)


def set_rlimits(limits: Limits) -> None:
    """Bound memory and CPU time; no new files, processes or core dumps."""
    for which, most in (
        (resource.RLIMIT_AS, limits.memory_bytes_max),
        (resource.RLIMIT_CPU, limits.cpu_s_max),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        hard = resource.getrlimit(which)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (value, value))
