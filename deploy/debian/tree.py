"""The files of a package, as they will lie on the host, and dpkg's own beside them."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from deploy.debian.environment import commands, installed
from deploy.debian.licences import copyright_text
from deploy.debian.package import DISTRIBUTION, INNER, OUTER, RELEASES, ROOT, Package

_SCRIPTS: Final = Path(__file__).parent / "maintainer"
_UNITS: Final = ROOT / "deploy" / "systemd"
_MAINTAINER: Final = "message-ferry developers <packages@message-ferry.invalid>"
_DOCUMENTS: Final = (
    "operating.md",
    "operating.zh-CN.md",
    "runbooks.md",
    "runbooks.zh-CN.md",
    "metrics.md",
    "configuration.md",
    "deidentification.md",
    "delivery.md",
    "threat-model.md",
)
_MEDIUM: Final = {OUTER.name: "-o ferry-outer -g ferry-medium -m 0750", INNER.name: "-m 0755"}
# An order to the verifier is a file that the agent's group can read.
_AS_GROUP: Final = {OUTER.name: "", INNER.name: "setpriv --regid ferry-inner --keep-groups "}


def fill(root: Path, package: Package, moment_s: int, version: str) -> None:
    """All but the environment and DEBIAN/."""
    _put(root / "usr" / "sbin" / package.name, _script("command", package), 0o755)
    system = root / "usr" / "lib"
    for unit in package.units:
        _put(system / "systemd" / "system" / unit, (_UNITS / unit).read_text(encoding="utf-8"))
    for kind in ("sysusers", "tmpfiles"):
        text = (_UNITS / f"{package.name}.{kind}.conf").read_text(encoding="utf-8")
        _put(system / f"{kind}.d" / f"{package.name}.conf", text)
    (root / "etc" / package.name).mkdir(parents=True)
    _put(
        root / "usr" / "share" / "lintian" / "overrides" / package.name,
        _script("lintian-overrides", package),
    )
    _document(root, package, moment_s, version)


def control(root: Path, package: Package, version: str, architecture: str) -> None:
    """DEBIAN/: to be made last, for it lists and counts what lies there."""
    folder = root / "DEBIAN"
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    size_kib = sum(-(-path.stat().st_size // 1024) for path in files)
    sums = "".join(
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"
        f"  {path.relative_to(root)}\n"
        for path in files
    )
    _put(folder / "control", _control(package, version, architecture, size_kib))
    _put(folder / "md5sums", sums)
    for name in ("postinst", "prerm", "postrm"):
        text = _script(name, package).replace("@SLAVES@", _slaves(root, package))
        _put(folder / name, text, 0o755)


def _slaves(root: Path, package: Package) -> str:
    """What follows ferry-keys when update-alternatives chooses between two packages."""
    names = {name for name, _, _ in commands(installed(root / "opt" / package.name))}
    return "".join(
        f" \\\n    --slave /usr/bin/{name} {name} /opt/{package.name}/bin/{name}"
        for name in sorted(names - {package.name, "ferry-keys"})
    )


def _document(root: Path, package: Package, moment_s: int, version: str) -> None:
    place = root / "usr" / "share" / "doc" / package.name
    _put(place / "copyright", copyright_text(root / "opt" / package.name))
    _compress(place / "changelog.gz", _changelog(package, moment_s, version))
    _compress(place / "NEWS.gz", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    for name in _DOCUMENTS:
        _put(place / name, (ROOT / "docs" / name).read_text(encoding="utf-8"))
    shutil.copytree(ROOT / "deploy" / "examples" / package.side, place / "examples")
    shutil.copytree(
        ROOT / "deploy" / "prometheus",
        place / "examples" / "prometheus",
        ignore=shutil.ignore_patterns("*.test.yml"),
    )
    shutil.copytree(
        ROOT / "deploy" / "grafana",
        place / "examples" / "grafana",
        ignore=shutil.ignore_patterns("*.py", "__pycache__"),
    )


def _control(package: Package, version: str, architecture: str, size_kib: int) -> str:
    return (
        f"Package: {package.name}\n"
        f"Source: {DISTRIBUTION}\n"
        f"Version: {version}\n"
        f"Architecture: {architecture}\n"
        f"Maintainer: {_MAINTAINER}\n"
        f"Installed-Size: {size_kib}\n"
        f"Depends: {', '.join(_pythons())}, libc6 (>= 2.36), systemd (>= 252)\n"
        "Section: net\n"
        "Priority: optional\n"
        f"Description: {package.summary}\n" + _folded(package.description)
    )


def _pythons() -> Iterable[str]:
    """One of the versions that a tree lies in the package for, said in Debian's terms."""
    spans = []
    for release in RELEASES:
        major, minor = release.python.split(".")
        spans.append((f"{major}.{minor}", f"{major}.{int(minor) + 1}"))
    yield f"python3 (>= {spans[0][0]})"
    for (_, end), (begin, _) in pairwise(spans):
        yield f"python3 (<< {end}) | python3 (>= {begin})"
    yield f"python3 (<< {spans[-1][1]})"


def _folded(text: str, width: int = 76) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += f" {word}"
    return "".join(f"{line}\n" for line in lines)


def _changelog(package: Package, moment_s: int, version: str) -> str:
    moment = format_datetime(datetime.fromtimestamp(moment_s, UTC))
    return (
        f"{DISTRIBUTION} ({version}) stable; urgency=medium\n\n"
        f"  * What changed is told in /usr/share/doc/{package.name}/NEWS.gz.\n\n"
        f" -- {_MAINTAINER}  {moment}\n"
    )


def _script(name: str, package: Package) -> str:
    text = (_SCRIPTS / name).read_text(encoding="utf-8")
    for word, value in (
        ("@PACKAGE@", package.name),
        ("@UNITS@", " ".join(package.units)),
        ("@STARTED@", package.started),
        ("@MEDIUM@", _MEDIUM[package.name]),
        ("@AS_GROUP@", _AS_GROUP[package.name]),
    ):
        text = text.replace(word, value)
    return text


def _put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _compress(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
