"""The virtual environment of a package: one folder that serves the Python of each release.

`bin/python3` is a link to the release's own interpreter, and that one looks into
`lib/pythonX.Y/site-packages` of its own version: so one environment holds a tree for each, and what
starts in it sees neither the system's Python packages nor anybody's home.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from deploy.debian.package import DISTRIBUTION

_SYSTEM_PYTHON: Final = "/usr/bin/python3"
_COMMAND: Final = """\
#!{home}/bin/python3 -I
import sys

from {module} import {function}

sys.exit({function}())
"""


def lay_out(root: Path, home: str, wheels: Mapping[str, Iterable[Path]]) -> None:
    """Make the environment that will lie at `home`, under `root`; `wheels` by Python version."""
    place = root / home.removeprefix("/")
    binaries = place / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python3").symlink_to(_SYSTEM_PYTHON)
    (place / "pyvenv.cfg").write_text(
        f"home = {Path(_SYSTEM_PYTHON).parent}\ninclude-system-site-packages = false\n",
        encoding="ascii",
    )
    for python, files in wheels.items():
        site = place / "lib" / f"python{python}" / "site-packages"
        for wheel in files:
            unpack(wheel, site)
    for name, module, function in commands(installed(place)):
        path = binaries / name
        path.write_text(
            _COMMAND.format(home=home, module=module, function=function), encoding="ascii"
        )
        path.chmod(0o755)


def unpack(wheel: Path, site: Path) -> None:
    """A wheel is an archive of what goes into site-packages; its manual pages are left out.

    Raises ValueError if it wants anything else to be put elsewhere.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            first, _, rest = name.partition("/")
            if not first.endswith(".data"):
                archive.extract(name, site)
            elif not rest.startswith("data/share/man/"):
                raise ValueError(f"{wheel.name}: {name} does not belong into site-packages")


def installed(environment: Path) -> list[Distribution]:
    """The distributions in an environment, by name; the same ones lie there for each Python."""
    site = next(environment.glob("lib/python*/site-packages"))
    return sorted(distributions(path=[str(site)]), key=lambda one: one.name.lower())


def commands(among: Iterable[Distribution]) -> list[tuple[str, str, str]]:
    """Name, module and function of each of our own commands."""
    [own] = [one for one in among if one.name == DISTRIBUTION]
    return [
        (point.name, point.module, point.attr)
        for point in own.entry_points
        if point.group == "console_scripts"
    ]
