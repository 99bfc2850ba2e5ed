"""SIGKILL at random moments, all three processes, while a sender resends what was not taken.

Seeded and replayable: `FERRY_KILLS=2000 FERRY_SEED=7 pytest tests/fault/test_random_kills.py`. On a
memory-backed folder where there is one: what is tried here is the order of steps, not the disk.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_pair import Pair
from tests.simulator.clients import MllpSender, code_of
from tests.simulator.messages import adt

KILLS = int(os.environ.get("FERRY_KILLS", "60"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
MEMORY = Path("/dev/shm")

pytestmark = pytest.mark.timeout(120 + 2 * KILLS)


class Sender:
    """Sends numbered messages; the next one only when the last one was acknowledged."""

    def __init__(self, port: int) -> None:
        self.acknowledged: list[int] = []
        self.tries = 0
        self._port = port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                sender = MllpSender(self._port)
            except OSError:
                time.sleep(0.02)
                continue
            try:
                self._talk(sender)
            except (OSError, ValueError):
                time.sleep(0.02)
            finally:
                sender.close()

    def _talk(self, sender: MllpSender) -> None:
        while not self._ended.is_set():
            number = len(self.acknowledged)
            self.tries += 1
            if code_of(sender.send(adt(str(number)))) == "AA":
                self.acknowledged.append(number)
            else:
                time.sleep(0.01)


@pytest.fixture
def pair() -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    pair = Pair(folder)
    yield pair
    for name in list(pair.agents.processes):
        pair.agents.kill(name)
    shutil.rmtree(folder)


def test_nothing_acknowledged_is_lost_doubled_or_out_of_order(pair: Pair) -> None:
    moments = random.Random(SEED)
    sender = Sender(pair.mllp_port)
    try:
        for _ in range(KILLS):
            time.sleep(moments.uniform(0.05, 0.6))
            name = moments.choice(["outer", "verifier", "replayer"])
            pair.agents.kill(name)
            if name == "outer":
                pair.agents.start_outer()
            else:
                pair.agents.start_inner([name])
        time.sleep(2)
    finally:
        sender.stop()
    print(f"seed {SEED}, {KILLS} kills, {len(sender.acknowledged)} acknowledged")
    assert len(sender.acknowledged) > 5 * KILLS
    assert sender.tries > len(sender.acknowledged), "no kill met a message on its way"
    pair.wait_for(len(sender.acknowledged), timeout_s=60)
    time.sleep(1)
    arrived = [int(message.split(b"|")[9]) for message in pair.delivered()]
    assert arrived[: len(sender.acknowledged)] == sender.acknowledged
    assert len(arrived) <= len(sender.acknowledged) + 1, "the last one may not have been answered"
    assert pair.command("inner_agent", "gaps").stdout == "nothing is missing\n"
    assert pair.command("inner_agent", "quarantine").stdout == "the quarantine is empty\n"
