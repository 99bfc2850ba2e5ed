"""A process that has imported both agents and forks them: a start costs milliseconds, not seconds.

`python -m tests.simulator.nursery` reads one JSON line a start from its standard input and answers
with the child's process id. The child runs the agent's own entry point on the agent's own files; it
is killed as it would be in production. Two things differ, and both are said here: the validators
run inside the agent (their processes are stateless, and tests/unit/validators kills those), and a
child may be told to kill itself at an instant, or to carry a planted bug (tests/fault).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Forked:
    """A child of the nursery, with what is used of subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._ended = False
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """A number once it has ended; which one is the nursery's to know."""
        if not self._ended and select.select([self._pidfd], [], [], 0)[0]:
            self._close()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end."""
        if not self._ended:
            if not select.select([self._pidfd], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self._close()
        return 0

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _close(self) -> None:
        self._ended, self.returncode = True, 0
        os.close(self._pidfd)


class Nursery:
    """The test's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulator.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )

    def start(
        self, module: str, arguments: Sequence[str], log: Path, orders: Mapping[str, Any]
    ) -> Forked:
        """Fork an agent. `orders`: what tests.fault.instruments knows."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps([module, list(arguments), str(log), dict(orders)])
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End the nursery; its children must have ended."""
        self._process.communicate(timeout=10)


def main() -> None:
    """Serve until the standard input ends."""
    mains: dict[str, Callable[[], None]] = {
        name: importlib.import_module(f"{name}.__main__").main
        for name in ("outer_agent", "inner_agent")
    }
    importlib.import_module("tests.fault.instruments")
    importlib.import_module("validators.registry")
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    while line := sys.stdin.buffer.readline():
        module, arguments, log, orders = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(mains[module], [module, *arguments], log, orders)
        os.write(1, b"%d\n" % pid)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(run: Callable[[], None], argv: list[str], log: str, orders: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, written), (2, written)):
        os.dup2(source, target)
    from tests.fault import instruments

    instruments.apply(orders)
    sys.argv = argv
    code = 1
    try:
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait_until(condition: Callable[[], bool], timeout_s: float, told: Callable[[], str]) -> None:
    """Poll. Raises AssertionError with what `told` says."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, told()
        time.sleep(0.005)


if __name__ == "__main__":
    main()
