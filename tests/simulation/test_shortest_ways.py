"""The simulated pair under hypothesis: what breaks it is told in as few steps as can be found.

The walks of test_simulation.py are long and go everywhere; these are short, and shrink. A failure
prints its steps, all that was left to chance in them, and the line that repeats it.
"""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from ferry_format.reasons import StorageFault
from tests.simulation import cheap_suite, test_simulation
from tests.simulation.pair import SimulatedPair, Wrong
from tests.simulation.test_simulation import MEMORY
from tests.simulator import sending_side

pytestmark = pytest.mark.timeout(600)
HOUSE_RULES = settings(
    max_examples=500,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of walks say the same."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class ShortWalks(RuleBasedStateMachine):
    """Any order of the pair's steps, and at the end a day on which all is well."""

    @initialize(chance=st.randoms(note_method_calls=True))
    def begin(self, chance: random.Random) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.patched = pytest.MonkeyPatch()
        cheap_suite.install(self.patched)
        self.has_failed = False
        self.pair = SimulatedPair(self.folder, chance)
        self.patched.setattr(sending_side, "now_ms", lambda: self.pair.now_ms)

    def take(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException:
            self.has_failed = True
            raise

    @rule()
    def send(self) -> None:
        self.take(self.pair.send)

    @rule()
    def heartbeat(self) -> None:
        self.take(self.pair.heartbeat)

    @rule()
    def verify(self) -> None:
        self.take(self.pair.verify)

    @rule()
    def deliver(self) -> None:
        self.take(self.pair.deliver)

    @rule()
    def commit_outcomes(self) -> None:
        self.take(self.pair.commit_outcomes)

    @rule()
    def time_passes(self) -> None:
        self.take(self.pair.time_passes)

    @rule()
    def trouble(self) -> None:
        self.take(self.pair.trouble)

    @rule()
    def medium_changes(self) -> None:
        self.take(self.pair.medium_changes)

    @rule()
    def resend(self) -> None:
        self.take(self.pair.resend)

    @rule()
    def kill_one(self) -> None:
        self.take(self.pair.kill_one)

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        try:
            if not self.has_failed:
                self.pair.all_is_well()
        finally:
            self.pair.close()
            self.patched.undo()
            shutil.rmtree(self.folder)


def test_no_short_walk_breaks_the_promise() -> None:
    run_state_machine_as_test(ShortWalks, settings=HOUSE_RULES)


@pytest.mark.parametrize(
    ("plant", "steps_max"),
    [
        (test_simulation.acknowledges_what_is_not_durable, 8),
        (test_simulation.holds_nothing, 8),
    ],
)
def test_a_planted_bug_is_told_in_a_few_steps(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], Any], steps_max: int
) -> None:
    plant(monkeypatch)
    with pytest.raises((Wrong, StorageFault)) as found:
        run_state_machine_as_test(
            ShortWalks,
            settings=settings(
                HOUSE_RULES, max_examples=2000, phases=[Phase.generate, Phase.shrink]
            ),
        )
    told = "\n".join(found.value.__notes__)
    steps = [line for line in told.splitlines() if line.startswith("state.")]
    print(found.value, told)
    assert 0 < len(steps) - len(("begin", "teardown")) <= steps_max, told
