"""Measure the pair end to end, and beside it the floors; write bench/results.json.

`python -m bench.run` starts the real agents, a sender and a receiver, each a process of its own, on
a memory-backed and on a disk directory. All checks are on: signature, encryption, HL7 parsed and
rebuilt on both sides in sandboxed workers, journal. Figures are medians over the runs; timings of
one machine compare only within one run of this program, as ratios to its floors.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import backlog, floors, objects, processes
from tests.simulator.ferry_pair import Channel, FerryPair, free_port

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results.json"
MEMORY = Path("/dev/shm")

CONTENT = """
  [channels.content.hl7v2]
  messages = ["ORU^R01"]
  segments = ["MSH", "PID", "OBR", "OBX"]
"""


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    runs: int
    floor_count: int
    warm_up: int
    paced_count: int
    interval_s: float
    saturation_count: int
    connections: int
    objects_mb: dict[str, int]
    backlog: int


FULL = Plan(
    5, 1000, 200, 1000, 0.01, 12_800, 32, {"object.100MB": 100, "object.1GB": 1000}, 1_000_000
)
QUICK = Plan(1, 200, 50, 200, 0.01, 1_280, 32, {"object.100MB": 100}, 20_000)
STEADY_INTERVAL_S = 0.005


class Measured:
    """A started pair with one MLLP channel, its sender and its receiver."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mllp_port, sink_port = free_port(), free_port()
        self.record = folder / "arrived.json"
        self.receiver = subprocess.Popen(
            [sys.executable, "-m", "bench.sink", str(sink_port), str(self.record)], cwd=ROOT
        )
        self.pair = FerryPair(
            folder,
            [
                Channel(
                    "results",
                    CONTENT,
                    "his",
                    outer_options="rate_per_s = 100000\nburst = 100000",
                )
            ],
            f'[[sources]]\nkind = "mllp"\nname = "lab"\n'
            f'listen = "127.0.0.1:{self.mllp_port}"\nchannel = "results"',
            f'[[sinks]]\nkind = "mllp"\nname = "his"\nhost = "127.0.0.1"\nport = {sink_port}',
            '[[senders]]\nname = "hospital-front"\nlisteners = ["lab"]',
        )
        self.pair.write()
        self.pair.start()

    def send(
        self, kind: str, prefix: str, count: int, *options: str
    ) -> dict[str, list[list[object]]]:
        """Run one load to its end and wait until all of it was delivered."""
        out = self.folder / f"{prefix}.json"
        delivered = self.delivered()
        subprocess.run(
            [
                sys.executable,
                "-m",
                "bench.load",
                kind,
                f"--port={self.mllp_port}",
                f"--count={count}",
                f"--prefix={prefix}",
                f"--out={out}",
                *options,
            ],
            cwd=ROOT,
            check=True,
            timeout=300,
        )
        record: dict[str, list[list[object]]] = json.loads(out.read_text())
        deadline_s = time.monotonic() + 120
        while self.delivered() - delivered < len(record["sent"]):
            if time.monotonic() > deadline_s:
                raise SystemExit(f"not all of {prefix} was delivered\n{self.pair.tail()}")
            time.sleep(0.05)
        return record

    def delivered(self) -> int:
        """How many messages the inner says it delivered."""
        return int(self.pair.metric("inner", "ferry_inner_deliveries_total", outcome="delivered"))

    def close(self) -> list[tuple[str, float]]:
        """Stop everything; returns what arrived and when."""
        self.pair.stop()
        self.receiver.send_signal(signal.SIGTERM)
        self.receiver.wait(20)
        return [(str(name), float(at_s)) for name, at_s in json.loads(self.record.read_text())]


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and p99.9 in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 4)

    return {"p50_ms": at(0.50), "p99_ms": at(0.99), "p999_ms": at(0.999)}


def median_of(runs: Sequence[dict[str, float]]) -> dict[str, object]:
    """Each figure's median over the runs, and its spread."""
    figures: dict[str, object] = {
        key: round(statistics.median(run[key] for run in runs), 4) for key in runs[0]
    }
    figures["spread"] = {
        key: [min(run[key] for run in runs), max(run[key] for run in runs)] for key in runs[0]
    }
    return figures


def measure(where: Path, label: str, plan: Plan) -> dict[str, dict[str, object]]:
    """Floors, one at a time, and saturation on one filesystem."""
    folder = Path(tempfile.mkdtemp(prefix="ferry-bench-", dir=where))
    file_floor = percentiles(
        floors.publish_and_notice(folder / "floor", plan.floor_count, plan.interval_s)
    )
    loop_floor = percentiles(floors.loopback_round_trip(plan.floor_count, plan.interval_s))
    measured = Measured(folder)
    measured.send("paced", "warm", plan.warm_up, f"--interval-s={plan.interval_s}")
    paced = [
        measured.send("paced", f"p{run}x", plan.paced_count, f"--interval-s={plan.interval_s}")
        for run in range(plan.runs)
    ]
    idle = processes.resident_mb(measured.pair)
    cpu_before = processes.cpu_s(measured.pair)
    saturated = [
        measured.send(
            "saturate", f"s{run}x", plan.saturation_count, f"--connections={plan.connections}"
        )
        for run in range(plan.runs)
    ]
    cpu = processes.us_a_message(
        cpu_before, processes.cpu_s(measured.pair), sum(len(one["sent"]) for one in saturated)
    )
    steady = [
        measured.send("paced", f"t{run}x", plan.paced_count, f"--interval-s={STEADY_INTERVAL_S}")
        for run in range(plan.runs)
    ]
    after = processes.resident_mb(measured.pair)
    memory = {**idle, **{f"{stage}_after": mb for stage, mb in after.items()}}
    arrived = dict(measured.close())
    shutil.rmtree(folder)
    floor_ms = file_floor["p50_ms"] + 2 * loop_floor["p50_ms"]
    latencies = [_latencies(record, arrived) for record in paced]
    acks = [_acknowledgements(record) for record in paced]
    latency = median_of([percentiles(seconds) for seconds in latencies])
    ack = median_of([percentiles(seconds) for seconds in acks])
    rates = median_of([{"per_s": _rate(record, arrived)} for record in saturated])
    return {
        f"floor.file.{label}": dict(file_floor),
        f"floor.loopback.{label}": dict(loop_floor),
        f"latency.{label}": latency
        | _against(latency, floor_ms, "one file published and noticed, two loopback hops"),
        f"ack.{label}": ack | _against(ack, file_floor["p50_ms"], "one file published"),
        f"steady200.{label}": median_of(
            [percentiles(_latencies(record, arrived)) for record in steady]
        ),
        f"cpu.stages.{label}": dict(cpu),
        f"memory.{label}": dict(memory) | {"messages": sum(len(one["sent"]) for one in saturated)},
        f"saturation.mllp.{label}": rates | {"connections": plan.connections},
    }


def _against(figures: dict[str, object], floor_ms: float, what: str) -> dict[str, object]:
    p50_ms = figures["p50_ms"]
    assert isinstance(p50_ms, float)
    return {
        "floor": {"what": what, "p50_ms": floor_ms},
        "ratio": round(p50_ms / floor_ms, 2),
    }


def _latencies(record: dict[str, list[list[object]]], arrived: dict[str, float]) -> list[float]:
    return [arrived[str(name)] - float(str(at_s)) for name, at_s in record["sent"]]


def _acknowledgements(record: dict[str, list[list[object]]]) -> list[float]:
    sent = {str(name): float(str(at_s)) for name, at_s in record["sent"]}
    refused = [name for name, _, accepted in record["acknowledged"] if not accepted]
    if refused:
        raise SystemExit(f"{len(refused)} messages were not acknowledged with AA")
    return [float(str(at_s)) - sent[str(name)] for name, at_s, _ in record["acknowledged"]]


def _rate(record: dict[str, list[list[object]]], arrived: dict[str, float]) -> float:
    first_s = min(float(str(at_s)) for _, at_s in record["sent"])
    last_s = max(arrived[str(name)] for name, _ in record["sent"])
    return round(len(record["sent"]) / (last_s - first_s), 1)


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few messages, one run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    disk = ROOT / "bench" / "work"
    disk.mkdir(exist_ok=True)
    results: dict[str, dict[str, object]] = {}
    if MEMORY.is_dir():
        results |= measure(MEMORY, "memory", plan)
    results |= measure(disk, "disk", plan)
    results |= objects.measure(disk, plan.objects_mb, plan.runs)
    results |= backlog.measure(disk, plan.backlog, CONTENT)
    text = json.dumps({"machine": machine(), "results": results}, indent=2)
    options.out.write_text(text + "\n")
    print(text)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
