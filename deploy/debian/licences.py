"""Under which licences what lies in an environment may be passed on, as its authors declare it."""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from deploy.debian.environment import installed
from deploy.debian.package import DISTRIBUTION, RELEASES

_CLASSIFIER: Final = "License :: OSI Approved :: "
_HEAD: Final = """\
# Licences

What the packages `ferry-outer` and `ferry-inner` hold, and under which licence its authors give it.
The texts lie in the packages, beside each part: `/opt/*/lib/python*/site-packages/*.dist-info/`.
Some parts hold libraries in C of their own (cryptography OpenSSL, lxml libxml2 and libxslt, uvloop
libuv), under licences that their texts name.

| part | version | licence |
| --- | --- | --- |
"""
_DEBIAN: Final = """
The packages in {folders} are Debian's own, unchanged. Each says in
`/usr/share/doc/*/copyright` under which licence it is given; Debian's archive has the sources under
the same versions.
"""
_COPYRIGHT: Final = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: {name}

Files: *
Copyright: 2026 the {name} developers
License: Apache-2.0

License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.

Comment: The virtual environment in /opt holds the work of others. Each part's licence text lies in
 its *.dist-info folder there:
"""


def licence(of: Distribution) -> str:
    """The licence that a distribution's metadata declares. Raises ValueError if it names none."""
    metadata = of.metadata
    named = [
        text.removeprefix(_CLASSIFIER)
        for text in metadata.get_all("Classifier") or []
        if text.startswith(_CLASSIFIER)
    ]
    found = metadata["License-Expression"] or metadata["License"] or " OR ".join(named)
    if not found:
        raise ValueError(f"{of.name} {of.version} names no licence")
    return str(found)


def table(environment: Path) -> str:
    """The list for people: parts, versions, licences."""
    rows = "".join(
        f"| {one.name} | {one.version} | {licence(one)} |\n" for one in installed(environment)
    )
    folders = " and ".join(f"`{release.name}/`" for release in RELEASES)
    return _HEAD + rows + _DEBIAN.format(folders=folders)


def copyright_text(environment: Path) -> str:
    """Debian's copyright file of a package."""
    parts = "".join(
        f"  {one.name} {one.version}: {licence(one)}\n"
        for one in installed(environment)
        if one.name != DISTRIBUTION
    )
    return _COPYRIGHT.format(name=DISTRIBUTION) + parts
