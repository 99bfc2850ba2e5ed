"""A sender that does not give up, and a system that takes each file out of the sink's folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Self

from tests.simulator.clients import MllpSender, code_of
from tests.simulator.messages import adt

if TYPE_CHECKING:
    from tests.integration.test_pair import Pair
    from tests.simulator.ferry_pair import FerryPair


class SteadyTraffic:
    """Numbered ADT messages, one after another, each sent until it is acknowledged.

    `collected` are the numbers in the order in which their files were found in the folder; a
    message that was delivered twice stands there twice.
    """

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.acknowledged: list[int] = []
        self.collected: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    def _send(self) -> None:
        while not self._ended.is_set():
            try:
                with closing(MllpSender(self._pair.mllp_port)) as sender:
                    while not self._ended.is_set():
                        number = len(self.acknowledged)
                        if code_of(sender.send(adt(str(number)))) == "AA":
                            self.acknowledged.append(number)
                        time.sleep(0.01)
            except (OSError, ValueError):
                time.sleep(0.05)

    def collect(self) -> int:
        """Take what lies in the folder; returns how many were collected so far."""
        folder = self._pair.folders["adt"]
        for path in sorted(path for path in folder.iterdir() if path.name[0] != "."):
            self.collected.append(int(path.read_bytes().split(b"|")[9]))
            path.unlink()
        return len(self.collected)

    def all_arrived(self) -> bool:
        self.collect()
        return set(self.acknowledged) <= set(self.collected)

    def last_arrived(self) -> bool:
        self.collect()
        return self.acknowledged[-1] in self.collected

    def goes_on(self, number: int) -> None:
        """Wait until so many more messages were acknowledged."""
        wanted = len(self.acknowledged) + number
        until(self._pair.agents, lambda: len(self.acknowledged) >= wanted)


def until(agents: FerryPair, holds: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait until something holds. Raises AssertionError with the end of the logs."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, agents.tail()
        time.sleep(0.05)
