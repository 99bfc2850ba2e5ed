"""One worker process as its parent sees it: two non-blocking pipes and what is on its desk."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from validators.worker import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

_READ_BYTES: Final = 64 * 1024  # what a pipe holds; a larger buffer would be allocated in vain
_CPUCLOCK_SCHED: Final = 2  # clock_getcpuclockid(3), as glibc makes it of a process id
_COMMAND: Final = (sys.executable, "-I", "-m", "validators.worker")


class WorkerEndedError(Exception):
    """The process ended or does not speak the protocol; it is of no more use."""


class WorkerProcess:
    """Started by its constructor; greets once it is locked down. Never blocks."""

    def __init__(self, start_frame: bytes) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={},
            close_fds=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.request_fd = self._process.stdin.fileno()
        self.reply_fd = self._process.stdout.fileno()
        os.set_blocking(self.request_fd, False)
        os.set_blocking(self.reply_fd, False)
        self._unsent = memoryview(start_frame)
        self._received = bytearray()
        self.sandbox: str | None = None
        self.items_done = 0

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it used; 0 if it is gone, which its pipes tell."""
        try:
            return time.clock_gettime(~self.pid << 3 | _CPUCLOCK_SCHED)
        except OSError:
            return 0.0

    @property
    def unsent(self) -> bool:
        """Whether `flush` has something left to write."""
        return bool(self._unsent)

    def send(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Put one batch into the pipe, as far as it takes it. Raises WorkerEndedError."""
        self._unsent = memoryview(wire.pack_batch(items))
        self.flush()

    def flush(self) -> bool:
        """Write what the pipe takes now; return whether that was all. Raises WorkerEndedError."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self.request_fd, self._unsent) :]
        except BlockingIOError:
            return False
        except OSError as error:
            raise WorkerEndedError from error
        return True

    def receive(self) -> bytes | None:
        """Read what there is; return one whole frame's body, or None if it is not all here yet.

        Raises WorkerEndedError.
        """
        try:
            chunk = os.read(self.reply_fd, _READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise WorkerEndedError from error
        if not chunk:
            raise WorkerEndedError
        self._received += chunk
        size = wire.LENGTH.size
        if len(self._received) < size:
            return None
        length = wire.LENGTH.unpack_from(self._received)[0]
        # One answer a question: anything more is not ours.
        if length > wire.FRAME_BYTES_MAX or len(self._received) > size + length:
            raise WorkerEndedError
        if len(self._received) < size + length:
            return None
        body = bytes(self._received[size:])
        self._received.clear()
        return body

    def greet(self, body: bytes) -> None:
        """Take the greeting: what sandbox the worker is in. Raises WorkerEndedError."""
        try:
            words = wire.unframe(body)
        except wire.WireError as error:
            raise WorkerEndedError from error
        if not isinstance(words, str):
            raise WorkerEndedError
        self.sandbox = words

    def end(self) -> None:
        """Kill and reap it, whatever it does; close the pipes."""
        self._unsent = memoryview(b"")
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()
