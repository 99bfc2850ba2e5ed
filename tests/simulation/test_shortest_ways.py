"""The simulated pair under hypothesis: what breaks it is told in as few steps as can be found.

The walks of test_simulation.py are long and go everywhere; these are short, and shrink. A failure
prints its steps, all that was left to chance in them, and the line that repeats it.
"""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections.abc import Iterator
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

from tests.simulation import cheap_suite, test_simulation
from tests.simulation.pair import STEPS, SimulatedPair, Wrong
from tests.simulation.test_simulation import MEMORY
from tests.simulator import sending_side

pytestmark = pytest.mark.timeout(600)
STEPS_TOLD_MAX = 15
HOUSE_RULES = settings(
    max_examples=500,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    # A walk takes its time, and so does shrinking one.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of walks say the same."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class ShortWalks(RuleBasedStateMachine):
    """Any order of the pair's steps, and at the end a day on which all is well."""

    steps_taken = 0

    @initialize(chance=st.randoms(note_method_calls=True))
    def begin(self, chance: random.Random) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.patched = pytest.MonkeyPatch()
        self.pair: SimulatedPair | None = None
        self.has_failed = False
        cheap_suite.install(self.patched)
        self.pair = pair = SimulatedPair(self.folder, chance)
        self.patched.setattr(sending_side, "now_ms", lambda: pair.now_ms)

    def take(self, name: str) -> None:
        ShortWalks.steps_taken += 1
        try:
            getattr(self.pair, name)()
        except BaseException:
            self.has_failed = True
            raise

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            if self.pair is not None and not self.has_failed:
                self.pair.all_is_well()
        finally:
            if self.pair is not None:
                self.pair.close()
            self.patched.undo()
            shutil.rmtree(self.folder)


def _rule_of(name: str) -> Any:
    def step(self: ShortWalks) -> None:
        self.take(name)

    step.__name__ = name
    return rule()(step)


for _name in STEPS:
    setattr(ShortWalks, _name, _rule_of(_name))


def test_no_short_walk_breaks_the_promise() -> None:
    ShortWalks.steps_taken = 0
    run_state_machine_as_test(ShortWalks, settings=HOUSE_RULES)
    print(f"{ShortWalks.steps_taken} steps")
    assert ShortWalks.steps_taken > HOUSE_RULES.max_examples * 10


def test_a_planted_bug_is_told_in_a_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    test_simulation.acknowledges_what_is_not_durable(monkeypatch)
    with pytest.raises(Wrong, match="acknowledged and lost") as found:
        run_state_machine_as_test(
            ShortWalks,
            settings=settings(
                HOUSE_RULES, max_examples=2000, phases=[Phase.generate, Phase.shrink]
            ),
        )
    told = "\n".join(found.value.__notes__)
    steps = [line for line in told.splitlines() if line.startswith("state.")]
    print(found.value, told)
    assert 0 < len(steps) - len(("begin", "teardown")) <= STEPS_TOLD_MAX, told
