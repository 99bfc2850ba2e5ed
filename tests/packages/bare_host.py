"""A bare Debian as a folder: copied, run into without any network, thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from deploy.debian import base
from deploy.debian.package import Release

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def why_impossible() -> str:
    """Why no bare host can be made here; empty if it can."""
    if not os.environ.get("FERRY_BUNDLE"):
        return "this installs the bundle, which takes minutes: make test-packages, make test-boot"
    if shutil.which("systemd-nspawn") is None:
        return "systemd-nspawn is not installed (package systemd-container)"
    return base.why_impossible()


class BareHost:
    """A folder that is a whole system, entered by systemd-nspawn with a loopback alone."""

    def __init__(
        self, release: Release, folder: Path, bundle: Path, origin: Path | None = None
    ) -> None:
        """Made in `folder`, as a copy of `origin`, or of what the release's installer leaves."""
        self.release = release
        self.root = folder
        self._bundle = bundle
        subprocess.run(["cp", "-a", origin or base.tree(release), folder], check=True)

    def copy(self, folder: Path) -> BareHost:
        """The same host once more."""
        return BareHost(self.release, folder, self._bundle, self.root)

    def run(self, script: str, *, code: int = 0) -> str:
        """Run a shell script as root in the host; what it said. Fails on another exit code."""
        done = subprocess.run(
            [
                "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
                "--resolv-conf=off", f"--directory={self.root}",
                f"--bind-ro={self._bundle}:/bundle",
                "--pipe", "sh", "-c", script,
            ],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=_ENVIRONMENT,
        )  # fmt: skip
        assert done.returncode == code, f"{script}\n{done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def put(self, path: str, data: str | bytes, mode: int = 0o644) -> None:
        """Write a file of the host's, owned by root."""
        place = self.root / path.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        place.chmod(mode)
