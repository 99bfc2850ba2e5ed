"""Errors that the kernel returns to a running process, injected by strace."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


def why_impossible() -> str | None:
    """Why nothing can be injected here; None if it can."""
    if shutil.which("strace") is None:
        return "strace is missing (Debian, Ubuntu: apt install strace; openEuler: dnf install)"
    with subprocess.Popen(["sleep", "20"]) as sleeper:
        try:
            with SyscallFault(sleeper.pid, "fsync", "EIO"):
                return None
        except PermissionError:
            return "this machine lets strace attach to no process (ptrace is forbidden)"
        finally:
            sleeper.kill()


class SyscallFault:
    """`with SyscallFault(pid, "fsync", "EIO"):` the process's calls of it fail meanwhile.

    `only` limits it to one path, `times` to the first so many calls of each thread.
    """

    def __init__(
        self,
        pid: int,
        call: str,
        error: str,
        *,
        only: Path | None = None,
        times: int | None = None,
    ) -> None:
        when = "" if times is None else f":when=1..{times}"
        self._command = ["strace", "-f", "-y", "-p", str(pid), "-e", f"trace={call}"]
        self._command += ["-e", f"inject={call}:error={error}{when}"]
        self._command += [] if only is None else ["-P", str(only)]

    def __enter__(self) -> Self:
        self._told = tempfile.NamedTemporaryFile("r", prefix="strace-")
        self._strace = subprocess.Popen(
            [*self._command, "-o", self._told.name],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._strace.stderr is not None
        if "attached" not in self._strace.stderr.readline():
            self._strace.wait(10)
            self._close()
            raise PermissionError
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._strace.terminate()
        self._strace.wait(20)
        self._close()

    @property
    def seen(self) -> list[str]:
        """The calls that were made to fail so far, as strace writes them."""
        return [line for line in self.calls if line.endswith("(INJECTED)")]

    @property
    def calls(self) -> list[str]:
        """All such calls so far, as strace writes them."""
        return Path(self._told.name).read_text().splitlines()

    def _close(self) -> None:
        assert self._strace.stderr is not None
        self._strace.stderr.close()
        self._told.close()
