"""Two ways to boot a host that has no network device: a container, and a virtual machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.packages.bare_host import BareHost

BOOT_S_MAX = 900


@dataclass(frozen=True)
class Shared:
    """What a booted host shares with others: the medium, and a folder for what it saw."""

    medium: Path
    results: Path
    medium_writable: bool


def container(host: BareHost, shared: Shared, console: Path) -> subprocess.Popen[bytes]:
    """Boot the host's systemd in a container with a loopback and no other network."""
    medium = "--bind" if shared.medium_writable else "--bind-ro"
    return subprocess.Popen(
        [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
            "--private-network", "--resolv-conf=off", f"--directory={host.root}",
            f"{medium}={shared.medium}:/srv/ferry-medium", f"--bind={shared.results}:/results",
            "--console=read-only",
        ],
        stdin=subprocess.DEVNULL, stdout=console.open("wb"), stderr=subprocess.STDOUT,
    )  # fmt: skip


def why_no_container() -> str:
    """Why containers cannot be booted here; empty if they can."""
    return "" if shutil.which("systemd-nspawn") else "systemd-nspawn is not installed"
