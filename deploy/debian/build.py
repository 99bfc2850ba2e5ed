"""Build both packages: `make deb` writes `dist/*.deb`.

The same checkout gives the same bytes: wheels are taken as the lock file's hashes have them, times
are the last commit's ($SOURCE_DATE_EPOCH), owners are root, files are sorted. gzip, because xz
takes minutes to save a seventh.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from deploy.debian import environment, tree, wheels
from deploy.debian.package import PACKAGES, RELEASES, ROOT, Package, architecture, version

WORK: Final = ROOT / "build" / "debian"
DIST: Final = ROOT / "dist"


def moment_s() -> int:
    """What every file's time is set to, Unix seconds: $SOURCE_DATE_EPOCH or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        told = subprocess.run(
            ["git", "log", "-1", "--format=%ct"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        given = told.stdout
    return int(given)


def lay_out(package: Package, number: str) -> Path:
    """The package of that version as a folder of files, ready for dpkg-deb."""
    root = WORK / package.name
    shutil.rmtree(root, ignore_errors=True)
    moment = moment_s()
    own = wheels.own(package, WORK / "own" / package.name, moment, number)
    environment.lay_out(
        root,
        f"/opt/{package.name}",
        {
            release.python: [*wheels.locked(release.python, WORK / "wheels"), own]
            for release in RELEASES
        },
    )
    tree.fill(root, package, moment, number)
    tree.control(root, package, number, architecture())
    _settle(root, moment)
    return root


def build(package: Package, into: Path = DIST, number: str | None = None) -> Path:
    """The .deb file; of the checkout's own version where no other is named."""
    number = number or version()
    into.mkdir(parents=True, exist_ok=True)
    deb = into / f"{package.name}_{number}_{architecture()}.deb"
    subprocess.run(
        [
            "dpkg-deb", "--root-owner-group", "-Zgzip", "-z6",
            "--build", str(lay_out(package, number)), str(deb),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(moment_s())},
    )  # fmt: skip
    return deb


def _settle(root: Path, moment: int) -> None:
    """Times and modes that do not depend on who builds, and when."""
    for path in (root, *sorted(root.rglob("*"))):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (moment, moment), follow_symlinks=False)


def main() -> None:
    """Build both, and say what was built."""
    for package in PACKAGES:
        deb = build(package)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        print(f"{digest}  {deb.relative_to(ROOT)}  ({deb.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
