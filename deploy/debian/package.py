"""What is packaged: two packages, one for each host, each for two Debian releases.

A package has one name for everything that is its own: user, command, units, and folders in /opt,
/etc, /var/lib and /var/log.
"""

from __future__ import annotations

import platform
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""The checkout."""

DISTRIBUTION: Final = "message-ferry"
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Release:
    """A Debian release: as /etc/os-release names it, its archive's suite, its own Python."""

    name: str
    suite: str
    python: str


@dataclass(frozen=True, slots=True)
class Package:
    """One host's half. `units` are enabled; `started` is what starting and stopping is asked of."""

    name: str
    agent: str
    other: str
    units: tuple[str, ...]
    started: str
    summary: str
    description: str

    @property
    def other_command(self) -> str:
        """The command of the half that this host does not run."""
        return "ferry-" + self.other.removesuffix("_agent")

    @property
    def side(self) -> str:
        """The half: "outer" or "inner"."""
        return self.name.removeprefix("ferry-")


RELEASES: Final = (
    Release("debian12", "bookworm", "3.11"),
    Release("debian13", "trixie", "3.13"),
)

OUTER: Final = Package(
    name="ferry-outer",
    agent="outer_agent",
    other="inner_agent",
    units=("ferry-outer.service",),
    started="ferry-outer.service",
    summary="one-way gateway for hospital messages, sending side",
    description="Takes messages in on the front-end machine, admits what the whitelist names, and"
    " publishes it as signed, encrypted files on a shared medium.",
)
INNER: Final = Package(
    name="ferry-inner",
    agent="inner_agent",
    other="outer_agent",
    units=(
        "ferry-inner-verifier.service",
        "ferry-inner-replayer.service",
        "ferry-inner.target",
    ),
    started="ferry-inner.target",
    summary="one-way gateway for hospital messages, receiving side",
    description="Reads the shared medium on the intranet, verifies before it parses, checks"
    " everything again, and delivers each message to the internal systems, in order, once.",
)
PACKAGES: Final = (OUTER, INNER)


def version() -> str:
    """The version that all packages have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def architecture() -> str:
    """Debian's name for this machine's processor. Raises KeyError for one we do not build for."""
    return _MACHINES[platform.machine()]
