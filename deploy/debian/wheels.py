"""The wheels that go into the packages: the locked ones, as they are, and one of our own.

pip checks each against the hashes in `requirements/runtime.txt`. What a lock file gave is kept
under `build/`, so that the second build needs no network.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.debian.package import DISTRIBUTION, ROOT, Package

_LOCK: Final = ROOT / "requirements" / "runtime.txt"
_SHARED: Final = ("ferry_format", "ferry_runtime", "validators")
_PIP: Final = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
_GLIBC_MINOR: Final = range(36, 4, -1)
"""Debian 12 has glibc 2.36: what was built for an older one runs on both releases."""


def locked(python: str, cache: Path) -> list[Path]:
    """The wheels of the lock file for this version of Python."""
    lock_digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    folder = cache / f"{python}-{lock_digest}"
    if not folder.exists():
        aside = folder.with_suffix(".part")
        shutil.rmtree(aside, ignore_errors=True)
        subprocess.run(
            [
                *_PIP, "download", "--require-hashes", "--no-deps", "--only-binary", ":all:",
                "--implementation", "cp", "--python-version", python, *_platforms(),
                "--requirement", str(_LOCK), "--dest", str(aside),
            ],
            check=True,
        )  # fmt: skip
        aside.rename(folder)
    return sorted(folder.glob("*.whl"))


def own(package: Package, work: Path, moment_s: int, number: str) -> Path:
    """Our own code as a wheel of that version, without the half that the other host runs."""
    shutil.rmtree(work, ignore_errors=True)
    source = work / "source"
    copy_source(package, source, number)
    subprocess.run(
        [
            *_PIP,
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            str(work),
            str(source),
        ],
        check=True,
        env={"SOURCE_DATE_EPOCH": str(moment_s), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    [wheel] = work.glob(f"{DISTRIBUTION.replace('-', '_')}-*.whl")
    return wheel


def copy_source(package: Package, source: Path, number: str) -> None:
    """What the wheel is built from; the other half's folder and command are not in it."""
    for name in (*_SHARED, package.agent):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for name in ("LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    only_ours = re.sub(rf"(?m)^{package.other_command} = .*\n", "", project)
    numbered = re.sub(r'(?m)^version = ".*"$', f'version = "{number}"', only_ours, count=1)
    (source / "pyproject.toml").write_text(numbered, encoding="utf-8")


def _platforms() -> list[str]:
    machine = platform.machine()
    names = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINOR]
    names += [f"manylinux2014_{machine}", f"manylinux1_{machine}"]
    return [word for name in names for word in ("--platform", name)]
