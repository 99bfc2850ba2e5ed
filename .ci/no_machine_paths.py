"""Tracked files name no machine: no home or scratch folder, no package registry or mirror.

Such a name works on one machine only, or sends a hospital's build to somebody else's server. Prints
each finding as FILE:LINE and ends with 1 if there is any.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

FORBIDDEN: Final = {
    "a folder of one machine": re.compile(
        rb"(?<![\w.])/(?:root|home|Users|work|workspace|tmp/scratch|opt/pypi[\w-]*)/[\w.-]"
    ),
    "a package registry": re.compile(
        rb"pypi\.org|pythonhosted\.org|mirrors?\.\w+\.(?:com|cn|edu)"
        rb"|--(?:extra-)?index-url|--find-links|--trusted-host"
    ),
}


def tracked() -> list[Path]:
    """Every tracked file but this one, or none where this is no git checkout."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"],
        capture_output=True,
        check=False,
    )
    names = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    return [name for name in names if name != Path(__file__).resolve()]


def findings(data: bytes) -> list[tuple[int, str]]:
    """Line and kind of everything forbidden in one file's bytes."""
    return [
        (number, what)
        for number, line in enumerate(data.splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


def main() -> int:
    """Check every tracked file that is there."""
    try:
        files = tracked()
    except FileNotFoundError:
        files = []
    if not files:
        print("no git checkout: machine paths were not looked for")
        return 0
    found = [
        f"{path.relative_to(ROOT)}:{number}: names {what}"
        for path in files
        if path.is_file()
        for number, what in findings(path.read_bytes())
    ]
    print("\n".join(found) or f"{len(files)} tracked files name no machine and no registry")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
