"""SIGKILL at every instrumented point and at random moments, on real processes, seeded.

`FERRY_KILLS=20000 FERRY_SEED=7 make test ARGS=tests/fault/test_kills.py` goes further, or again.
On a memory-backed folder where there is one: what is tried here is the order of steps;
test_power_cuts tries the disk.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.fault.instruments import POINTS
from tests.fault.killed_pair import KilledPair, judge_arrivals
from tests.simulator.nursery import Nursery

KILLS = int(os.environ.get("FERRY_KILLS", "2000"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
KILLS_A_PAIR = 200
ROLES = tuple(POINTS)

pytestmark = pytest.mark.timeout(300 + KILLS)


def kill_often(pair: KilledPair, chance: random.Random, kills: int) -> None:
    """One process, or several at once, after a while of any length."""
    until = pair.kills + kills
    while pair.kills < until:
        time.sleep(chance.choice([0.0, 0.01, 0.03, 0.1]) * chance.random())
        number = chance.choices([1, 2, 3], [8, 1, 1])[0]
        pair.kill(*chance.sample(ROLES, number))
        if chance.random() < 0.2:
            # Time enough for something to cross, whoever was killed before.
            seen = sum(sender.acknowledged for sender in pair.senders.values())
            deadline_s = time.monotonic() + 60
            while sum(sender.acknowledged for sender in pair.senders.values()) < seen + 4:
                assert time.monotonic() < deadline_s, pair.agents.tail()
                time.sleep(0.002)


def test_nothing_acknowledged_is_lost_doubled_or_out_of_order(
    nursery: Nursery, folder: Path
) -> None:
    kills = acknowledged = tries = pairs = 0
    while kills < KILLS:
        pairs += 1
        seed = SEED * 10_007 + pairs
        print(f"FERRY_SEED={SEED}, pair {pairs}: seed {seed}")
        pair = KilledPair(folder / str(pairs), nursery)
        try:
            kill_often(pair, random.Random(seed), min(KILLS_A_PAIR, KILLS - kills))
            pair.judge()
        finally:
            pair.close()
        kills += pair.kills
        acknowledged += sum(sender.acknowledged for sender in pair.senders.values())
        tries += sum(sender.tries for sender in pair.senders.values())
        shutil.rmtree(folder / str(pairs))
    print(f"{kills} kills, {acknowledged} acknowledged, {tries} sent")
    assert acknowledged > kills
    assert tries > acknowledged, "no kill met a message on its way"


@pytest.mark.parametrize(
    ("role", "point"), [(role, point) for role, points in POINTS.items() for point in points]
)
def test_a_death_at_each_point(nursery: Nursery, folder: Path, role: str, point: str) -> None:
    pair = KilledPair(folder, nursery)
    try:
        for passage in (1, 2, 5):
            assert pair.let_die(role, point, passage), "it never came to that point"
        pair.judge()
    finally:
        pair.close()


# --- the harness finds what is wrong -----------------------------------------------------------


@pytest.mark.parametrize(
    ("bug", "wrong"),
    [
        ("acknowledge_before_it_is_durable", r"lost|and \d+ had not|\d+ came after \d+"),
        ("record_before_the_sink_answered", r"lost|and \d+ had not|\d+ came after \d+|^folder: "),
    ],
)
def test_a_planted_bug_is_found(nursery: Nursery, folder: Path, bug: str, wrong: str) -> None:
    pair = KilledPair(folder, nursery, bug)
    try:
        with pytest.raises(AssertionError, match=wrong) as found:
            kill_and_judge(pair, random.Random(SEED))
        print(str(found.value)[:200])
    finally:
        pair.close()


def kill_and_judge(pair: KilledPair, chance: random.Random) -> None:
    for _ in range(40):
        kill_often(pair, chance, 20)
        pair.judge(timeout_s=4)
        pair.resume()


@pytest.mark.parametrize(
    ("arrived", "acknowledged", "kills", "wrong"),
    [
        ([0, 1, 3], 4, 9, "2 had not"),
        ([0, 1, 2, 0, 1, 2, 3], 4, 0, "again, in 0 kills"),
        ([0, 1], 3, 9, "arrived"),
        ([0, 1, 2], 1, 9, "3 arrived"),
        ([*range(100), 30, 31], 100, 9, "30 came again"),
        ([0, 1, 2, 3, 1, 3], 4, 9, "3 came after 1"),
    ],
)
def test_the_judge_finds_each_wrong(
    arrived: list[int], acknowledged: int, kills: int, wrong: str
) -> None:
    with pytest.raises(AssertionError, match=wrong):
        judge_arrivals(arrived, acknowledged, kills)


def test_the_judge_lets_a_repeat_after_a_kill_pass() -> None:
    judge_arrivals([0, 1, 2, 1, 2, 3, 3, 4], 4, 2)
