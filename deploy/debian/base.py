"""A bare Debian of each release, and the packages of it that a bare host may lack.

`debootstrap` makes one folder a release, from the mirror that this machine's own apt uses. The
folders are kept under `build/`; the bundle asks them what is missing, and the tests install there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from deploy.debian.build import WORK
from deploy.debian.package import Release

_ARCHIVES: Final = "var/cache/apt/archives"
_CHROOT_ENV: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
    "LC_ALL": "C.UTF-8",
}


def why_impossible() -> str:
    """Why no bare Debian can be made here; empty if it can."""
    if os.geteuid() != 0:
        return "debootstrap and chroot need root"
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed"
    if _mirror() is None:
        return "this machine's apt knows no mirror of Debian"
    return ""


def tree(release: Release) -> Path:
    """A folder with the release's required packages and systemd, and nothing else."""
    folder = WORK / "trees" / release.suite
    if not folder.exists():
        aside = folder.with_suffix(".part")
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", "--include=systemd-sysv"]
        subprocess.run([*command, release.suite, aside, _mirror() or ""], check=True)
        aside.rename(folder)
    return folder


def missing_packages(release: Release, wanted: tuple[str, ...], into: Path) -> None:
    """Into a folder: the .deb files that a bare host needs beside its own for `wanted`."""
    bare = tree(release)
    for path in (bare / _ARCHIVES).glob("*.deb"):
        path.unlink()
    _in(bare, "apt-get", "--quiet=2", "update")
    _in(
        bare, "apt-get", "--quiet=2", "--yes", "--no-install-recommends", "--download-only",
        "install", *wanted,
    )  # fmt: skip
    into.mkdir(parents=True)
    for path in sorted((bare / _ARCHIVES).glob("*.deb")):
        shutil.copyfile(path, into / path.name)
    write_index(into)


def write_index(folder: Path) -> None:
    """`Packages`: by this file apt takes the folder for a repository."""
    entries = []
    for deb in sorted(folder.glob("*.deb")):
        told = subprocess.run(
            ["dpkg-deb", "--field", deb], capture_output=True, text=True, check=True
        )
        entries.append(
            f"{told.stdout.rstrip()}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
            f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"
        )
    (folder / "Packages").write_text("\n".join(entries), encoding="utf-8")


def _in(bare: Path, *command: str) -> None:
    subprocess.run(["chroot", bare, *command], check=True, env=_CHROOT_ENV)


def _mirror() -> str | None:
    if shutil.which("apt-get") is None:
        return None
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return next(iter(told.stdout.split()), None)
