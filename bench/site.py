"""A started pair to be measured: one channel, fed over MLLP and from a folder, and its sink."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.load import message
from tests.simulator.ferry_pair import Channel, FerryPair, free_port

ROOT = Path(__file__).parents[1]
CONTENT = """
  [channels.content.hl7v2]
  messages = ["ORU^R01"]
  segments = ["MSH", "PID", "OBR", "OBX"]
"""
Record = dict[str, list[list[object]]]
"""`sent`: (control id, moment); `acknowledged`: (control id, moment, whether with AA)."""
_MLLP_START, _MLLP_END = 1, 2


class Site:
    """Both agents, a sender and a receiver, each a process of its own, in a folder of its own."""

    def __init__(self, where: Path, *, validators: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ferry-bench-", dir=where))
        self._mllp_port, sink_port, self._watch_port = free_port(), free_port(), free_port()
        self._drop = self.folder / "drop"
        self._drop.mkdir()
        self._arrived = self.folder / "arrived.json"
        self._receiver = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.sink"),
                *(str(sink_port), str(self._arrived), str(self._watch_port)),
            ],
            cwd=ROOT,
        )
        self.pair = FerryPair(
            self.folder,
            [
                Channel(
                    "results", CONTENT, "his", outer_options="rate_per_s = 100000\nburst = 100000"
                )
            ],
            f'[[sources]]\nkind = "mllp"\nname = "lab"\n'
            f'listen = "127.0.0.1:{self._mllp_port}"\nchannel = "results"\n'
            f'[[sources]]\nkind = "folder"\nname = "files"\npath = "{self._drop}"\n'
            f'channel = "results"\nsettle_s = 0.1\npoll_s = 0.1\n',
            f'[[sinks]]\nkind = "mllp"\nname = "his"\nhost = "127.0.0.1"\nport = {sink_port}',
            '[[senders]]\nname = "hospital-front"\nlisteners = ["lab", "files"]',
            validator_processes=validators,
        )
        self.pair.write()
        self.pair.start()

    def send(self, kind: str, prefix: str, count: int, **options: float) -> Record:
        """Run one load of bench.load to its end and wait until all of it was delivered."""
        out = self.folder / f"{prefix}.json"
        before = self._delivered()
        command = [
            sys.executable,
            "-m",
            "bench.load",
            kind,
            f"--port={self._mllp_port}",
            f"--watch-port={self._watch_port}",
            f"--count={count}",
            f"--prefix={prefix}",
            f"--out={out}",
            *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
        ]
        subprocess.run(command, cwd=ROOT, check=True, timeout=900)
        record: Record = json.loads(out.read_text())
        out.unlink()
        self._wait_for(before + len(record["sent"]), prefix)
        return record

    def drop(self, prefix: str, count: int) -> Record:
        """Move so many files into the drop folder and wait until all of them were delivered."""
        before = self._delivered()
        aside = self.folder / "aside"
        aside.mkdir(exist_ok=True)
        names = [f"{prefix}{number:07d}" for number in range(count)]
        for name in names:
            (aside / name).write_bytes(message(name)[_MLLP_START:-_MLLP_END])
        sent: list[list[object]] = []
        for name in names:
            sent.append([name, time.monotonic()])
            (aside / name).rename(self._drop / f"{name}.hl7")
        self._wait_for(before + count, prefix)
        return {"sent": sent, "acknowledged": []}

    def pin(self, cores: Sequence[int]) -> None:
        """Have the agents and their workers run on these cores only; the rest stays where it is."""
        for pid in self._processes():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)

    def close(self) -> dict[str, float]:
        """Stop everything; the moment at which each message arrived."""
        self.pair.stop()
        self._receiver.send_signal(signal.SIGTERM)
        self._receiver.wait(60)
        return {str(name): float(at_s) for name, at_s in json.loads(self._arrived.read_text())}

    def _processes(self) -> Iterator[int]:
        for process in self.pair.processes.values():
            yield process.pid
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            yield from map(int, children.split())

    def _delivered(self) -> int:
        return int(self.pair.metric("inner", "ferry_inner_deliveries_total", outcome="delivered"))

    def _wait_for(self, delivered: int, what: str) -> None:
        deadline_s = time.monotonic() + 120
        while self._delivered() < delivered:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"not all of {what} was delivered\n{self.pair.tail()}")
            time.sleep(0.05)
