"""The pair of agents under faults: what it acknowledged, what arrived, what it says.

Starts nothing by itself, so that disks can be mounted into its folder before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from inner_agent.journal_schema import connect_reader
from tests.integration.test_pair import Pair, shorten_the_wait
from tests.simulator.clients import MllpSender, code_of
from tests.simulator.messages import adt

NO_ANSWER = "no answer"
RETRYABLE = frozenset({"AE", NO_ANSWER})


class FaultedPair(Pair):
    """Numbered messages go in over MLLP; each is sent until it is acknowledged."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, heartbeat_s=30, starts=False)
        config = folder / "outer.toml"
        text = config.read_text().replace("[medium]", "[medium]\nfree_bytes_min = 0")
        config.write_text(text + "\n[spool]\nfree_bytes_min = 0\n")
        config = folder / "inner.toml"
        config.write_text(config.read_text().replace("[medium]", "[medium]\nlook_s = 0.2"))
        shorten_the_wait(self, folder / "inner-policy.toml")
        self.control = folder / "faulty-writes"
        self.acknowledged = 0

    def let_writes_fail(self, name: str) -> None:
        """Have `control` (tests.simulator.faulty_writes) rule a process from its next start on."""
        launcher = [sys.executable, "-m", "tests.simulator.faulty_writes", str(self.control)]
        self.agents.before_command[name] = launcher

    def offer(self) -> str:
        """Send the next message; its MSA-1, or NO_ANSWER. It stays the next one unless AA."""
        try:
            sender = MllpSender(self.mllp_port)
        except OSError:
            return NO_ANSWER
        try:
            code = code_of(sender.send(adt(str(self.acknowledged))))
        except OSError:
            return NO_ANSWER
        finally:
            sender.close()
        self.acknowledged += code == "AA"
        return code

    def insist(self, number: int = 1) -> None:
        """Send so many messages, each again and again, until they are acknowledged."""
        wanted = self.acknowledged + number
        self.until(lambda: self.offer() == "AA" and self.acknowledged == wanted)

    def until(self, condition: Callable[[], object], timeout_s: float = 30) -> None:
        """Wait. Raises AssertionError with the end of the logs."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, self.agents.tail()
            time.sleep(0.02)

    def ended(self, name: str) -> list[dict[str, object]]:
        """Wait until a process ended by itself, as failed; its log."""
        self.until(lambda: self.agents.processes[name].poll() is not None)
        assert self.agents.processes.pop(name).returncode == 1, self.agents.tail()
        return self.agents.log_events(name)

    def start_missing(self) -> None:
        """Start what ended, as a service manager does, and wait until all is ready."""
        for name in ("verifier", "replayer"):
            if name not in self.agents.processes:
                self.agents.start_inner([name])
        if "outer" not in self.agents.processes:
            self.agents.start_outer()
        self.agents.wait_ready()

    def check_promise(self) -> None:
        """All that was acknowledged arrived once and in order, and nothing is missing."""
        self.wait_for(self.acknowledged)
        arrived = [int(message.split(b"|")[9]) for message in self.delivered()]
        # What was sent last and never answered may have crossed, too.
        assert arrived in (
            list(range(self.acknowledged)),
            list(range(self.acknowledged + 1)),
        ), self.agents.tail()

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The gaps that the inner has told, as ranges of file sequences."""
        return self._journal("SELECT first_sequence, last_sequence FROM gaps ORDER BY 1")

    @property
    def quarantined(self) -> int:
        """How many entries the quarantine has."""
        return len(self._journal("SELECT entry FROM quarantine"))

    def _journal(self, query: str) -> list[Any]:
        with closing(connect_reader(self.agents.inner_state / "journal.db")) as connection:
            return connection.execute(query).fetchall()

    def says(self, name: str, event: str, since: int = 0, **fields: object) -> bool:
        """Whether a process logged this event after its first `since` lines."""
        return any(
            told.get("event") == event and all(told.get(k) == v for k, v in fields.items())
            for told in self.agents.log_events(name)[since:]
        )

    def end(self) -> None:
        """Kill what runs."""
        for name in list(self.agents.processes):
            self.agents.kill(name)
