"""A worker that fell to its message: what it can still do, and whom it costs."""

from __future__ import annotations

import ast
import errno
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ferry_format import reasons
from tests.simulator.fallen_worker import COMMAND
from validators.policy import ContentPolicy
from validators.verdict import Accepted, Rejected
from validators.worker import ContentSpec, WorkerPool, process
from validators.worker.sandbox import Limits, is_complete

SPEC = ContentSpec(ContentPolicy.model_validate({"hl7v2": {"messages": ["*"], "segments": "any"}}))
LIMITS = Limits(memory_bytes_max=300 * 1024 * 1024)


@pytest.fixture(scope="module")
def fallen() -> Iterator[WorkerPool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_COMMAND", COMMAND)
        with WorkerPool({"adt": SPEC}, limits=LIMITS, deadline_s=1.0) as pool:
            if not is_complete(pool.sandbox):
                pytest.skip(f"this kernel: {pool.sandbox}")
            yield pool


def answer(pool: WorkerPool, program: str) -> Any:
    (verdict,) = pool.validate_many([("adt", f"#\n{program}".encode())])
    assert isinstance(verdict, Accepted), verdict
    return ast.literal_eval(verdict.payload.decode())


ATTEMPTS = {
    "read a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "make a file": "os.open('/tmp/made-by-a-worker', os.O_WRONLY | os.O_CREAT)",
    "list a folder": "os.listdir('/')",
    "remove a file": "os.unlink('/tmp/none')",
    "TCP": "socket.socket()",
    "UNIX socket": "socket.socket(socket.AF_UNIX)",
    "two sockets": "socket.socketpair()",
    "fork": "os.fork() or os._exit(0)",
    "exec": "os.execv('/bin/true', ['true'])",
    "see another process": "os.kill(os.getppid(), 0)",
    "a pipe": "os.pipe()",
    "another descriptor": "os.dup(1)",
    "the agent's log": "os.write(2, b'x')",
    "what was written": "os.read(1, 1)",
    "the request's pipe": "os.write(0, b'x')",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_is_left_to_do(fallen: WorkerPool, attempt: str) -> None:
    program = f"""
try:
    {ATTEMPTS[attempt]}
    answer = "done"
except OSError as error:
    answer = error.errno
"""
    assert answer(fallen, program) in {errno.EPERM, errno.EACCES}


# close, munmap, brk, rt_sigaction, rt_sigprocmask, rt_sigreturn, sched_yield, mremap, madvise,
# exit, gettimeofday, sigaltstack, futex, clock_gettime, exit_group, getrandom: all within itself.
HARMLESS = {3, 11, 12, 13, 14, 15, 24, 25, 28, 60, 96, 131, 202, 228, 231, 318}
JUDGED_BY_ARGUMENT = {0, 1, 9, 10}  # read, write, mmap, mprotect
FATAL = {335, 336}  # uretprobe, uprobe: no filter sees them, and the kernel kills who calls them


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
def test_of_all_system_calls_only_harmless_ones_are_left(fallen: WorkerPool) -> None:
    """ptrace, io_uring, memfd, bpf, keyctl, userfaultfd and whatever comes next; in x32 too."""
    program = f"""
call = ctypes.CDLL(None, use_errno=True).syscall
answer = []
for number in sorted(set(range(600)) - {HARMLESS | JUDGED_BY_ARGUMENT | FATAL}):
    for each in (number, number | 0x40000000):
        if call(each, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != errno.EPERM:
            answer.append(each)
"""
    assert answer(fallen, program) == []


def test_no_memory_becomes_executable(fallen: WorkerPool) -> None:
    program = """
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
plain = libc.mmap(None, 4096, 3, 0x22, -1, 0)
answer = (
    libc.mmap(None, 4096, 7, 0x22, -1, 0) == ctypes.c_void_p(-1).value,
    libc.mprotect(ctypes.c_void_p(plain), 4096, 5),
)
"""
    assert answer(fallen, program) == (True, -1)


ENDS = {
    "takes all memory": ("x = bytearray(1 << 31)", "ended"),
    "never ends": ("while True: pass", "past the deadline"),
    "overflows its stack": (
        "sys.setrecursionlimit(10**8)\nf = lambda x: sorted([x], key=f)\nf(0)",
        "ended",
    ),
    "starts a thread": ("import threading\nthreading.Thread(target=print).start()", "ended"),
    "says what is no verdict": ("os.write(1, bytes(4) + b'x')", "ended"),
    "announces more than there may be": ("os.write(1, b'\\xff' * 4)", "ended"),
}


@pytest.mark.parametrize("way", ENDS)
def test_it_costs_its_own_message_alone(fallen: WorkerPool, way: str) -> None:
    program, place = ENDS[way]
    items = [("adt", b"before"), ("adt", f"#\n{program}".encode()), ("adt", b"after")]
    before, ended, after = fallen.validate_many(items)
    assert ended == Rejected(reasons.WORKER_DIED, place)
    assert isinstance(before, Accepted)
    assert isinstance(after, Accepted)


ALONE = """
import ctypes, errno, socket, sys
from validators.worker import landlock, namespaces
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # no_new_privs
layer = {"landlock": landlock.restrict, "namespaces": namespaces.leave}[sys.argv[1]]
print(layer())
def attempt(action):
    try:
        action()
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
attempt(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5))
attempt(lambda: open("/etc/passwd"))
"""


@pytest.mark.parametrize(
    ("layer", "outcomes"),
    [("landlock", ["EACCES", "EACCES"]), ("namespaces", ["ENETUNREACH", "done"])],
)
def test_each_further_layer_holds_by_itself(layer: str, outcomes: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-c", ALONE, layer, str(server.getsockname()[1])],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=Path(__file__).parents[2],
        )
    problem, *found = done.stdout.split()
    if problem != "None":
        pytest.skip(f"this host permits no {layer}: {problem}")
    assert found == outcomes


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_worker_keeps_no_filesystem_that_the_host_unmounts(tmp_path: Path) -> None:
    """A medium that cannot be let go of cannot be repaired, or taken out."""
    medium = tmp_path / "medium"
    medium.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(medium)], check=True)
    try:
        pool = WorkerPool({"adt": SPEC})
    finally:
        subprocess.run(["umount", str(medium)], check=True)
    with pool:
        for pid in pool.process_ids:
            assert str(medium) not in Path(f"/proc/{pid}/mountinfo").read_text()
