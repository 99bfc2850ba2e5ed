"""Everything for two hosts without a network, in one archive: `make bundle`.

`dist/message-ferry-VERSION-ARCH.tar` holds one folder: both packages, for each Debian release the
packages of Debian's own that a bare host lacks, the installation guide and script, the bills of
materials, the licences, and the sums of it all.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.debian import base, wheels
from deploy.debian.build import DIST, WORK, build, moment_s
from deploy.debian.licences import table
from deploy.debian.package import (
    DISTRIBUTION,
    PACKAGES,
    RELEASES,
    architecture,
    version,
)
from deploy.debian.sbom import bill

_CARRIED: Final = Path(__file__).parent / "carried"
_FROM_DEBIAN: Final = ("python3",)
"""Of what the packages depend on, all else is on every Debian host."""


def name() -> str:
    """The bundle's folder, and its archive without the ending."""
    return f"{DISTRIBUTION}-{version()}-{architecture()}"


def gather(into: Path) -> None:
    """Put everything into a folder."""
    (into / "sbom").mkdir(parents=True)
    for package in PACKAGES:
        build(package, into)
        environment = WORK / package.name / "opt" / package.name
        locked = sorted(
            {
                wheel
                for release in RELEASES
                for wheel in wheels.locked(release.python, WORK / "wheels")
            },
            key=lambda wheel: (wheel.name, wheel),
        )
        text = bill(package, version(), environment, locked, moment_s())
        (into / "sbom" / f"{package.name}.cdx.json").write_text(text, encoding="utf-8")
        (into / "LICENCES.md").write_text(table(environment), encoding="utf-8")
    for release in RELEASES:
        base.missing_packages(release, _FROM_DEBIAN, into / release.name)
    for path in _CARRIED.iterdir():
        shutil.copy(path, into)
    write_sums(into)


def write_sums(folder: Path) -> None:
    """SHA256SUMS: of every file below the folder, as sha256sum --check wants it."""
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in files
    )
    (folder / "SHA256SUMS").write_text(sums, encoding="ascii")


def archive(folder: Path, into: Path) -> Path:
    """One tar file, the same for the same folder."""
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{folder.name}.tar"
    subprocess.run(
        [
            "tar", "--create", "--file", path, "--directory", folder.parent, "--sort=name",
            "--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{moment_s()}",
            "--mode=u=rwX,go=rX", folder.name,
        ],
        check=True,
    )  # fmt: skip
    return path


def main() -> int:
    """Make the bundle; 1 where this machine cannot."""
    impossible = base.why_impossible()
    if impossible:
        print(f"no bundle can be made here: {impossible}", file=sys.stderr)
        return 1
    folder = WORK / "bundle" / name()
    shutil.rmtree(folder, ignore_errors=True)
    gather(folder)
    path = archive(folder, DIST)
    digest = hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()
    print(f"{path.name}  ({path.stat().st_size / 1e6:.0f} MB); its SHA256SUMS has the sum {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
