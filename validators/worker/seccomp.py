"""The system calls that a worker keeps: what computing needs, and EPERM for every other.

No open, no socket, no fork, no exec, no ptrace, no signals to others, reading from standard input
only and writing to standard output only, and no executable memory. It cannot be lifted again.
References: seccomp(2), prctl(2), linux/seccomp.h, linux/audit.h, linux/bpf_common.h.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from dataclasses import dataclass
from typing import Final

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2

_RET_KILL_PROCESS: Final = 0x8000_0000
_RET_ERRNO: Final = 0x0005_0000
_RET_ALLOW: Final = 0x7FFF_0000

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6] (little-endian here).
_OFFSET_NUMBER: Final = 0
_OFFSET_ARCH: Final = 4
_OFFSET_ARGS: Final = 16

_BPF_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_BPF_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_BPF_JUMP_SET: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_BPF_RETURN: Final = 0x06  # BPF_RET | BPF_K

_PROT_EXEC: Final = 4


@dataclass(frozen=True, slots=True)
class _Machine:
    """One architecture: its audit number and its system call numbers."""

    audit_arch: int
    read: int
    write: int
    mmap: int
    mprotect: int
    plain: tuple[int, ...]


_MACHINES: Final = {
    "x86_64": _Machine(
        audit_arch=0xC000_003E,
        read=0,
        write=1,
        mmap=9,
        mprotect=10,
        plain=(
            3,  # close
            11,  # munmap
            12,  # brk
            13,  # rt_sigaction
            14,  # rt_sigprocmask
            15,  # rt_sigreturn
            24,  # sched_yield
            25,  # mremap
            28,  # madvise
            60,  # exit
            96,  # gettimeofday
            131,  # sigaltstack
            202,  # futex
            228,  # clock_gettime
            231,  # exit_group
            318,  # getrandom
        ),
    ),
    "aarch64": _Machine(
        audit_arch=0xC000_00B7,
        read=63,
        write=64,
        mmap=222,
        mprotect=226,
        plain=(
            57,  # close
            93,  # exit
            94,  # exit_group
            98,  # futex
            113,  # clock_gettime
            124,  # sched_yield
            132,  # sigaltstack
            134,  # rt_sigaction
            135,  # rt_sigprocmask
            139,  # rt_sigreturn
            169,  # gettimeofday
            214,  # brk
            215,  # munmap
            216,  # mremap
            233,  # madvise
            278,  # getrandom
        ),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install() -> str | None:
    """Install the filter; return why that was not possible, or None."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return f"no filter for {platform.machine()}"
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program(machine)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0) != 0:
        return errno.errorcode.get(ctypes.get_errno(), "unknown")
    return None


def _program(machine: _Machine) -> bytes:
    """Assemble the filter: one short block a rule, each of which returns or falls through."""
    deny = _instruction(_BPF_RETURN, _RET_ERRNO | errno.EPERM)
    allow = _instruction(_BPF_RETURN, _RET_ALLOW)
    blocks = [
        # Another architecture's calls (32-bit ones on a 64-bit kernel) have other numbers.
        _load(_OFFSET_ARCH),
        _instruction(_BPF_JUMP_EQUAL, machine.audit_arch, 1, 0),
        _instruction(_BPF_RETURN, _RET_KILL_PROCESS),
        _load(_OFFSET_NUMBER),
    ]
    for number in machine.plain:
        blocks += [_instruction(_BPF_JUMP_EQUAL, number, 0, 1), allow]
    for number, descriptor in ((machine.read, 0), (machine.write, 1)):
        blocks += [
            _instruction(_BPF_JUMP_EQUAL, number, 0, 4),
            _load(_OFFSET_ARGS),
            _instruction(_BPF_JUMP_EQUAL, descriptor, 0, 1),
            allow,
            deny,
        ]
    for number in (machine.mmap, machine.mprotect):
        blocks += [
            _instruction(_BPF_JUMP_EQUAL, number, 0, 4),
            _load(_OFFSET_ARGS + 2 * 8),
            _instruction(_BPF_JUMP_SET, _PROT_EXEC, 1, 0),
            allow,
            deny,
        ]
    return b"".join([*blocks, deny])


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def _load(offset: int) -> bytes:
    return _instruction(_BPF_LOAD, offset)
