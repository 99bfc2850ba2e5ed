"""The version before this one, out of the history: its packages and an interpreter that runs them.

Which commit that is stands beside what it left behind.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = ("ferry_format", "ferry_runtime", "validators", "outer_agent", "inner_agent")
VERSION = max(path.name for path in HERE.iterdir() if path.name[0].isdigit())


@dataclass(frozen=True)
class VersionBefore:
    """Where it lies."""

    tree: Path
    interpreter: Path

    @property
    def before_command(self) -> list[str]:
        """What makes a command of this version's interpreter one of that version's."""
        run = f'cd "{self.tree}" && shift && exec "{self.interpreter}" "$@"'
        return ["sh", "-c", run, "version-before"]


def commit() -> str | None:
    """The commit, or None where the history does not reach so far."""
    named = (HERE / VERSION / "commit").read_text().strip()
    return named if _git("cat-file", "-t", named) == "commit" else None


def install(commit: str, folder: Path) -> VersionBefore:
    """Put that version's packages beside this one's dependencies, and nothing of this one's."""
    tree = folder / "tree"
    tree.mkdir()
    archive = subprocess.run(
        ["git", "archive", commit, *PACKAGES], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "venv" / "lib" / name / "site-packages"
    # A plain line adds a folder, and not what that folder's own .pth files say: so the checkout,
    # which is installed there as editable, stays out.
    (site / "version-before.pth").write_text(f"{tree}\n{sysconfig.get_path('purelib')}\n")
    return VersionBefore(tree, folder / "venv" / "bin" / "python")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()
