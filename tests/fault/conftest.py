"""What faults need of the machine; where it is missing, a test says what to install or be."""

from __future__ import annotations

import os

import pytest

from tests.simulator import disks, syscall_faults


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
