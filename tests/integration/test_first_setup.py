"""From nothing to a first message: what the commands make is started, and the lane is tried."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.clients import MllpSender, code_of
from tests.simulator.ferry_pair import free_port
from tests.unit.ferry_runtime.test_first_setup import Hosts
from validators import profiles

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]


class Started:
    """Both agents, as their units start them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "medium").mkdir(mode=0o755)
        hosts = Hosts(root, ("adt=registration",))
        admin = hosts.signed()[1]
        for init in (hosts.outer, hosts.inner):
            assert init("--yes", "--security-admin", admin).exit_code == 0
        self.mllp_port = free_port()
        ports = {2575: self.mllp_port, 9464: free_port(), 9465: free_port()}
        for side in ("outer", "inner"):
            config = root / side / f"{side}.toml"
            text = config.read_text()
            for old, new in ports.items():
                text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
            config.write_text(text)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, side: str) -> None:
        with (self.root / f"{side}.log").open("wb") as log:
            command = [sys.executable, "-m", f"{side}_agent", "run", *self._config(side)]
            process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment(side), stdout=log, stderr=log
            )
        self.processes.append(process)

    def command(self, side: str, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", f"{side}_agent", *words, *self._config(side)],
            cwd=ROOT,
            env=self._environment(side),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(30)

    def _config(self, side: str) -> list[str]:
        return ["--config", str(self.root / side / f"{side}.toml")]

    def _environment(self, side: str) -> dict[str, str]:
        return {**os.environ, "CREDENTIALS_DIRECTORY": str(self.root / side / "keys")}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path)
    yield started
    started.stop()


def test_the_lane_is_tried_without_the_internal_system_and_then_a_sample_arrives(
    started: Started,
) -> None:
    code, told = started.command("outer", "test", "--wait-s", "0.3")
    assert (code, "no new file" in told) == (1, True), "no agent, no file"
    started.start("outer")
    code, told = started.command("outer", "test", "--wait-s", "60")
    assert code == 0, told + (started.root / "outer.log").read_text()
    [name] = re.findall(r"ferry-inner test (\S+)", told)
    started.start("inner")
    while not (started.root / "inner-state" / "journal.db").exists():
        time.sleep(0.1)
    code, told = started.command("inner", "test", name, "--wait-s", "60")
    assert (code, "from front-1" in told) == (0, True), told
    assert not list((started.root / "out-adt").iterdir()), "the internal system heard nothing"
    code, told = started.command("inner", "test", f"{name}999999", "--wait-s", "0")
    assert (code, "did not arrive" in told) == (1, True)

    sample = next(iter(profiles.load("registration").accepted.values()))
    sender = MllpSender(started.mllp_port)
    assert code_of(sender.send(sample)) == "AA"
    sender.close()
    deadline_s = time.monotonic() + 30
    while not list((started.root / "out-adt").glob("*.hl7")):
        assert time.monotonic() < deadline_s, (started.root / "inner.log").read_text()
        time.sleep(0.1)
