"""A bound on processor time can be broken, on the slowest machine too."""

from __future__ import annotations

import time

import pytest

from tests.simulator.processor_time import processor_time_below


@processor_time_below(0.001)
def compute() -> None:
    until_s = time.process_time() + 0.2
    while time.process_time() < until_s:
        pass


@processor_time_below(0.1)
def wait() -> None:
    time.sleep(0.2)


def test_what_computes_too_long_is_told() -> None:
    with pytest.raises(AssertionError, match=r"more than 0\.001 s"):
        compute()


def test_waiting_is_not_computing() -> None:
    wait()
