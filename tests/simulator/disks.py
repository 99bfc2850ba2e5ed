"""Filesystems that a test may fill, make read-only and take away; they need root.

A disk is a tmpfs of one gigabyte, none of it used, that is shrunk to what it holds when it is to be
full.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ROOMY = "1g"
_SHRINK_TRIES = 20


def why_impossible(folder: Path) -> str | None:
    """Why no disk can be mounted here; None if one can."""
    if os.geteuid() != 0:
        return "a filesystem of limited size needs root"
    probe = Disk(folder / "probe")
    try:
        probe.mount()
    except subprocess.CalledProcessError:
        return "this root may not mount (a container without CAP_SYS_ADMIN)"
    probe.unmount()
    return None


class Disk:
    """A filesystem of its own at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mount(self) -> None:
        """Mount an empty one."""
        self.path.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={_ROOMY},mode=0755", "ferry-test", self.path)

    def fill(self) -> None:
        """Leave no byte of room, while others may be writing."""
        for tries in range(_SHRINK_TRIES):
            room = os.statvfs(self.path)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            try:
                _run("mount", "-o", f"remount,size={used}", self.path)
            except subprocess.CalledProcessError:  # it grew meanwhile
                if tries == _SHRINK_TRIES - 1:
                    raise
            else:
                return

    def widen(self) -> None:
        """Give it room again."""
        _run("mount", "-o", f"remount,size={_ROOMY}", self.path)

    def set_read_only(self, read_only: bool) -> None:  # noqa: FBT001
        """Remount it; raises CalledProcessError while somebody writes a file."""
        _run("mount", "-o", "remount,ro" if read_only else "remount,rw", self.path)

    def unmount(self) -> None:
        """Take it away, whoever uses it."""
        _run("umount", "--lazy", self.path)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)
