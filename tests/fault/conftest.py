"""What faults need: of the machine, where a test says what is missing, and what many share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator import disks, syscall_faults
from tests.simulator.nursery import Nursery

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def _strace() -> None:
    reason = syscall_faults.why_impossible()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def _mounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    reason = disks.why_impossible(tmp_path_factory.mktemp("disks"))
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is room of that kind: killing is what is tried, not the disk."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)
