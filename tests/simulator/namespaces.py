"""Network namespaces with nothing but loopback: two hosts that cannot reach each other.

Needs root. A thread that runs a function inside a namespace opens its sockets there; they stay
there for their life.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def why_impossible() -> str | None:
    """Why no namespace can be made here; None if one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = Namespace(f"ferry-probe-{os.getpid()}")
    try:
        probe.create()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"this machine makes no network namespaces ({type(error).__name__})"
    probe.delete()
    return None


class Namespace:
    """One network namespace, by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        """Make it, with only its loopback up."""
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")

    def delete(self) -> None:
        """Remove its name; the kernel removes it with its last process."""
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)

    def command(self, command: list[str], *, read_only: Path | None = None) -> list[str]:
        """`command` inside the namespace, with `read_only` mounted so for it alone."""
        inside = ["ip", "netns", "exec", self.name]
        if read_only is None:
            return [*inside, *command]
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        return [*inside, "unshare", "--mount", "sh", "-c", script, str(read_only), *command]

    def _enter(self) -> None:
        with Path("/var/run/netns", self.name).open() as handle:
            if _LIBC.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def run(self, work: Callable[[], _T]) -> _T:
        """Run `work` in a thread inside the namespace and return what it returns."""
        results: list[_T] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                self._enter()
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again below, in the caller
                errors.append(error)

        thread = threading.Thread(target=inside, name=self.name)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)
