"""Hosts on which the bundle is installed, made once for all that use them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.debian import bundle
from deploy.debian.build import WORK
from deploy.debian.package import PACKAGES, RELEASES, Release
from tests.packages.bare_host import BareHost
from tests.packages.first_channels import configure


@pytest.fixture(scope="session", params=RELEASES, ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    return request.param


@pytest.fixture(scope="session")
def hosts(
    release: Release, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, BareHost]]:
    """Both halves installed, each on a host of its own; nothing configured."""
    folder = tmp_path_factory.mktemp(release.name)
    made = {}
    for package in PACKAGES:
        host = BareHost(release, folder / package.side, WORK / "bundle" / bundle.name())
        host.run(f"sh /bundle/install {package.side}")
        made[package.side] = host
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def configured(
    hosts: dict[str, BareHost], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, BareHost]]:
    """The same with a first channel between them. To be copied by whoever changes them."""
    folder = tmp_path_factory.mktemp("configured")
    made = {side: host.copy(folder / side) for side, host in hosts.items()}
    configure(made["outer"], made["inner"])
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def aside(tmp_path: Path) -> Iterator[Path]:
    """A place for one large folder, which pytest itself would keep for days."""
    folder = tmp_path / "aside"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
