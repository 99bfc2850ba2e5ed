"""A million steps of the whole pair, every one of them drawn from a printed seed.

`FERRY_STEPS=100000000 FERRY_SEED=7 pytest tests/simulation` goes further, or again. What it must
find, it is shown to find: bugs are planted in the agents' own code.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferry_format.reasons import StorageFault
from inner_agent.delivery import ChannelQueue, Progress
from inner_agent.journal_writer import JournalWriter
from outer_agent.admission import Receipt
from outer_agent.commit import Committer
from outer_agent.spool import Spool
from tests.simulation import cheap_suite
from tests.simulation.pair import SimulatedPair, Wrong
from tests.simulator import sending_side

STEPS = int(os.environ.get("FERRY_STEPS", "1000000"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
STEPS_A_DAY = 2_500
DAYS_A_PAIR = 20
PROCESSES = 2
MEMORY = Path("/dev/shm")

pytestmark = pytest.mark.timeout(600 + STEPS // 1000)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


def simulate(folder: Path, seed: int, days: int) -> Counter[str]:
    """One pair for some days. Raises Wrong."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        cheap_suite.install(patched)
        pair = SimulatedPair(folder, random.Random(seed))
        patched.setattr(sending_side, "now_ms", lambda: pair.now_ms)
        try:
            for day in range(days):
                try:
                    pair.run(STEPS_A_DAY)
                except BaseException as error:
                    error.add_note(f"pair seed {seed}, day {day}, step {pair.steps}")
                    raise
        finally:
            pair.close()
            shutil.rmtree(folder)
    return Counter(
        steps=pair.steps,
        kills=pair.kills,
        acknowledged=sum(pair.outer.acknowledged.values()),
        repeats=pair.sink.repeats,
    )


def test_a_million_steps(folder: Path) -> None:
    pairs = max(1, STEPS // (STEPS_A_DAY * DAYS_A_PAIR))
    seeds = [SEED * 1_000_003 + number for number in range(pairs)]
    print(f"FERRY_SEED={SEED}: pair seeds {seeds[0]} to {seeds[-1]}")
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        told = pool.starmap(
            simulate, [(folder / str(seed), seed, DAYS_A_PAIR) for seed in seeds], chunksize=1
        )
    total = sum(told, Counter[str]())
    print(", ".join(f"{number} {name}" for name, number in total.items()))
    assert total["steps"] >= pairs * STEPS_A_DAY * DAYS_A_PAIR
    assert total["acknowledged"] > total["steps"] / 20
    assert total["kills"] > total["steps"] / 200
    assert total["repeats"] > 0


# --- bugs that it must find -----------------------------------------------------------------------


def acknowledges_what_is_not_durable(patched: pytest.MonkeyPatch) -> None:
    commit = Committer.commit

    def planted(self: Committer, batch: Any) -> Any:
        outcomes = commit(self, batch)
        receipts = [Receipt(one.admitted.message_id, duplicate=False) for one in batch]
        return receipts if all(not isinstance(one, Receipt) for one in outcomes) else outcomes

    patched.setattr(Committer, "commit", planted)


def forgets_fingerprints(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Spool, "find_all", lambda *_: {})


def withdraws_what_may_have_been_seen(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Committer, "_is_visible", lambda *_: False)


def holds_nothing(patched: pytest.MonkeyPatch) -> None:
    take = JournalWriter.take
    patched.setattr(
        JournalWriter, "take", lambda self, batch: take(self, replace(batch, held=frozenset()))
    )


def settles_before_the_answer(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(
        ChannelQueue, "retry", lambda self, position, *_, **__: self.settle(position, Progress())
    )


def forgets_what_a_restart_must_know(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(JournalWriter, "missing", lambda *_: ())


@pytest.mark.parametrize(
    "plant",
    [
        acknowledges_what_is_not_durable,
        forgets_fingerprints,
        withdraws_what_may_have_been_seen,
        holds_nothing,
        settles_before_the_answer,
        forgets_what_a_restart_must_know,
    ],
)
def test_a_planted_bug_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch, plant: Any) -> None:
    plant(monkeypatch)
    with pytest.raises((Wrong, StorageFault)) as found:
        simulate_several(folder)
    print(found.value, found.value.__notes__)


def simulate_several(folder: Path) -> None:
    for seed in range(1, 6):
        simulate(folder / str(seed), seed, DAYS_A_PAIR)
