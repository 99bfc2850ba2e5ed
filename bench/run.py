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
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import backlog, curves, figures, floors, objects, processes, validators
from bench.site import CONTENT, ROOT, Site

RESULTS = ROOT / "bench" / "results.json"
MEMORY = Path("/dev/shm")


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
    load_s: float
    memory_messages: int


FULL = Plan(
    runs=5,
    floor_count=1000,
    warm_up=200,
    paced_count=1000,
    interval_s=0.01,
    saturation_count=12_800,
    connections=32,
    objects_mb={"object.100MB": 100, "object.1GB": 1000},
    backlog=1_000_000,
    load_s=5.0,
    memory_messages=1_000_000,
)
QUICK = Plan(
    runs=1,
    floor_count=200,
    warm_up=50,
    paced_count=200,
    interval_s=0.01,
    saturation_count=1_280,
    connections=32,
    objects_mb={"object.100MB": 100},
    backlog=20_000,
    load_s=0,
    memory_messages=2_000,
)
STEADY_INTERVAL_S = 0.005


def measure(where: Path, label: str, plan: Plan) -> dict[str, dict[str, object]]:
    """Floors, one at a time, and saturation on one filesystem."""
    site = Site(where)
    file_floor = figures.percentiles(
        floors.publish_and_notice(site.folder / "floor", plan.floor_count, plan.interval_s)
    )
    loop_floor = figures.percentiles(floors.loopback_round_trip(plan.floor_count, plan.interval_s))
    site.send("paced", "warm", plan.warm_up, interval_s=plan.interval_s)
    runs = range(plan.runs)
    paced = [
        site.send("paced", f"p{run}x", plan.paced_count, interval_s=plan.interval_s) for run in runs
    ]
    cpu_before = processes.cpu_s(site.pair)
    saturated = [
        site.send("saturate", f"s{run}x", plan.saturation_count, connections=plan.connections)
        for run in runs
    ]
    cpu = processes.us_a_message(
        cpu_before, processes.cpu_s(site.pair), sum(len(one["sent"]) for one in saturated)
    )
    steady = [
        site.send("paced", f"t{run}x", plan.paced_count, interval_s=STEADY_INTERVAL_S)
        for run in runs
    ]
    dropped = [site.drop(f"f{run}x", plan.saturation_count) for run in runs]
    arrived = site.close()
    shutil.rmtree(site.folder)
    floor_ms = file_floor["p50_ms"] + 2 * loop_floor["p50_ms"]
    crossed = [figures.latencies(record, arrived) for record in paced]
    answered = [figures.acknowledgements(record) for record in paced]
    latency = figures.median_of([figures.percentiles(seconds) for seconds in crossed])
    ack = figures.median_of([figures.percentiles(seconds) for seconds in answered])
    over_mllp = figures.median_of([{"per_s": figures.rate(one, arrived)} for one in saturated])
    return {
        f"floor.file.{label}": dict(file_floor),
        f"floor.loopback.{label}": dict(loop_floor),
        f"latency.{label}": latency
        | figures.against(latency, floor_ms, "one file published and noticed, two loopback hops")
        | {"curve": figures.curve(crossed)},
        f"ack.{label}": ack
        | figures.against(ack, file_floor["p50_ms"], "one file published")
        | {"curve": figures.curve(answered)},
        f"steady200.{label}": figures.median_of(
            [figures.percentiles(figures.latencies(record, arrived)) for record in steady]
        ),
        f"saturation.mllp.{label}": over_mllp | {"connections": plan.connections},
        f"saturation.folder.{label}": figures.median_of(
            [{"per_s": figures.rate(one, arrived)} for one in dropped]
        ),
        "cpu.stages": dict(cpu),
    }


def shapes(where: Path, plan: Plan) -> dict[str, dict[str, object]]:
    """What takes more than one figure to say."""
    results: dict[str, dict[str, object]] = {
        "memory.flat": {"samples": curves.memory(where, plan.memory_messages)}
    }
    if plan.load_s:
        results["load"] = {"rows": curves.load(where, plan.load_s)}
        results["in_flight"] = {"rows": curves.in_flight(where, plan.saturation_count)}
        results["cores"] = {"rows": curves.cores(where, plan.saturation_count)}
    return results


def machine(plan: Plan) -> dict[str, object]:
    """What the figures were taken on, and how often."""
    return {
        "runs": plan.runs,
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few messages, one run")
    parser.add_argument("--runs", type=int, help="of each, instead of five")
    parser.add_argument("--memory-messages", type=int, help="how far memory is followed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    if options.runs:
        plan = replace(plan, runs=options.runs)
    if options.memory_messages:
        plan = replace(plan, memory_messages=options.memory_messages)
    disk = ROOT / "bench" / "work"
    disk.mkdir(exist_ok=True)
    results: dict[str, dict[str, object]] = {}
    for part in parts(disk, plan):
        results |= part()
        # After each part: the next one may take half an hour.
        text = json.dumps({"machine": machine(plan), "results": results}, indent=1)
        options.out.write_text(text + "\n")
    print(text)
    print(f"written to {options.out}")


def parts(disk: Path, plan: Plan) -> list[Callable[[], dict[str, dict[str, object]]]]:
    """What is measured, in this order."""
    return [
        validators.measure,
        *([partial(measure, MEMORY, "memory", plan)] if MEMORY.is_dir() else []),
        partial(measure, disk, "disk", plan),
        partial(objects.measure, disk, plan.objects_mb, plan.runs),
        partial(shapes, disk, plan),
        partial(backlog.measure, disk, plan.backlog, CONTENT),
    ]


if __name__ == "__main__":
    main()
