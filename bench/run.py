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

from bench import backlog, curves, figures, floors, objects, processes, steps, validators
from bench.site import CONTENT, ROOT, Record, Site

RESULTS = ROOT / "bench" / "results.json"
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    runs: int
    floor_count: int
    warm_up: int
    single_count: int
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
    single_count=1000,
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
    single_count=300,
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
STEADY_CONNECTIONS = 8
"""On one, MLLP waits for each acknowledgement: 5 ms of it are all that 200 a second leave."""


def measure(where: Path, label: str, plan: Plan) -> dict[str, dict[str, object]]:
    """Floors, one at a time, and saturation on one filesystem."""
    site = Site(where)
    site.send("paced", "warm", plan.warm_up, interval_s=plan.interval_s)
    runs = range(plan.runs)
    floor = _floor(site.folder / "floor", plan.floor_count, 0)
    single = [site.send("single", f"o{run}x", plan.single_count) for run in runs]
    paced_floor = _floor(site.folder / "paced-floor", plan.floor_count, plan.interval_s)
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
        site.send(
            "open",
            f"t{run}x",
            plan.paced_count,
            interval_s=STEADY_INTERVAL_S,
            connections=STEADY_CONNECTIONS,
        )
        for run in runs
    ]
    dropped = [site.drop(f"f{run}x", plan.saturation_count) for run in runs]
    arrived = site.close()
    shutil.rmtree(site.folder)
    over_mllp = figures.median_of([{"per_s": figures.rate(one, arrived)} for one in saturated])
    return {
        f"floor.{label}": {"file": floor.file, "loopback": floor.loopback},
        f"floor.{label}.paced": {"file": paced_floor.file, "loopback": paced_floor.loopback},
        **_one_at_a_time(label, single, arrived, floor),
        **_one_at_a_time(f"{label}.paced", paced, arrived, paced_floor),
        f"steady200.{label}": figures.median_of(
            [figures.percentiles(figures.latencies(record, arrived)) for record in steady]
        ),
        f"saturation.mllp.{label}": over_mllp | {"connections": plan.connections},
        f"saturation.folder.{label}": figures.median_of(
            [{"per_s": figures.rate(one, arrived)} for one in dropped]
        ),
        "cpu.stages": dict(cpu),
    }


@dataclass(frozen=True)
class Floor:
    """What one file published and noticed takes, and a loopback round trip, at some pace."""

    file: dict[str, float]
    loopback: dict[str, float]


def _floor(folder: Path, count: int, interval_s: float) -> Floor:
    return Floor(
        figures.percentiles(floors.publish_and_notice(folder, count, interval_s)),
        figures.percentiles(floors.loopback_round_trip(count, interval_s)),
    )


def _one_at_a_time(
    label: str, records: list[Record], arrived: dict[str, float], floor: Floor
) -> dict[str, dict[str, object]]:
    """Latency and acknowledgement of these runs, beside their floors."""
    crossed = [figures.latencies(record, arrived) for record in records]
    answered = [figures.acknowledgements(record) for record in records]
    latency = figures.median_of([figures.percentiles(seconds) for seconds in crossed])
    ack = figures.median_of([figures.percentiles(seconds) for seconds in answered])
    file_ms, two_hops_ms = floor.file["p50_ms"], floor.loopback["p50_ms"]
    return {
        f"latency.{label}": latency
        | figures.against(
            latency, 2 * file_ms + two_hops_ms, "two files published and noticed, two loopback hops"
        )
        | {"curve": figures.curve(crossed)},
        f"ack.{label}": ack
        | figures.against(ack, file_ms, "one file published and noticed")
        | {"curve": figures.curve(answered)},
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
        *([partial(steps.measure, MEMORY)] if MEMORY.is_dir() else []),
        *([partial(measure, MEMORY, "memory", plan)] if MEMORY.is_dir() else []),
        partial(measure, disk, "disk", plan),
        partial(objects.measure, disk, plan.objects_mb, plan.runs),
        partial(shapes, disk, plan),
        partial(backlog.measure, disk, plan.backlog, CONTENT),
    ]


if __name__ == "__main__":
    main()
