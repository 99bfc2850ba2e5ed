"""Write docs/performance.md from bench/results.json: `python -m bench.page`, after `make bench`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.run import RESULTS, ROOT

PAGE = ROOT / "docs" / "performance.md"
TARGETS = {
    "latency.memory": "p50 below 0.6 ms, p99 below 1 ms",
    "latency.disk": "p50 at most 1.5 times the floor",
    "ack.disk": "at most 1.3 times one durable commit",
    "steady200.disk": "p50 at most 5 ms, p99 at most 20 ms",
    "saturation.mllp.disk": "6,000 a second",
    "object.100MB": "80 % of the floor, above 110 MB/s",
    "object.1GB": "80 % of the floor, above 110 MB/s",
    "backlog.start": "below 2 s with a million messages",
}
LATENCIES = ("latency.memory", "latency.disk", "ack.memory", "ack.disk", "steady200.disk")
HEAD = """\
# Performance

Made by `make bench` and `python -m bench.page`; figures of one machine at one time, medians of the
runs. Every check is on: signature, hybrid encryption, HL7 parsed and rebuilt on both sides in
sandboxed workers, journal. Both agents, the sender and the receiver share the machine. A floor is
what the same machine does in the same run without any ferry; compare ratios, not milliseconds.
"""
LATENCY = """
## Latency

2 kB HL7 v2 messages over MLLP, one at a time, 100 a second (`steady200`: 200); from the sender's
last byte to the sink's first, or (`ack`) to the acknowledgement.

| what | p50 | p99 | p99.9 | floor | ratio | target |
| --- | --- | --- | --- | --- | --- | --- |
"""
THROUGHPUT = """
## Throughput

| what | figure | floor | ratio | target |
| --- | --- | --- | --- | --- |
"""


def page(measured: Mapping[str, Any]) -> str:
    """The page's text."""
    machine, results = measured["machine"], measured["results"]
    kernel = machine["kernel"].partition("-")[0]
    host = f"{machine['cpus']} cores, {machine['machine']}, Linux {kernel}"
    parts = [HEAD, f"\n{host}, Python {machine['python']}, {machine['at'][:10]}.\n", LATENCY]
    parts += [_latency(name, results[name]) for name in LATENCIES]
    parts += [THROUGHPUT, *_throughput(results)]
    parts += _table("Processor time a message, at saturation on disk", results["cpu.stages.disk"])
    memory = results["memory.disk"]
    parts += _table(f"Resident memory before and after {memory['messages']:,} messages", memory)
    return "".join(parts)


def _latency(name: str, one: Mapping[str, Any]) -> str:
    times = [f"{one[key]:.2f} ms" for key in ("p50_ms", "p99_ms", "p999_ms")]
    floor = one.get("floor", {}).get("p50_ms")
    against = ["" if floor is None else f"{floor:.2f} ms", str(one.get("ratio", ""))]
    return _row(f"`{name}`", *times, *against, TARGETS.get(name, ""))


def _throughput(results: Mapping[str, Any]) -> Iterator[str]:
    for name in ("saturation.mllp.memory", "saturation.mllp.disk"):
        one = results[name]
        what = f"`{name}`, {one['connections']} connections"
        yield _row(what, f"{one['per_s']:,.0f} messages/s", "", "", TARGETS.get(name, ""))
    for name in ("object.100MB", "object.1GB"):
        if name not in results:
            continue
        one = results[name]
        figure = f"{one['MB_per_s']:.0f} MB/s; acknowledged at {one['acknowledged_MB_per_s']:.0f}"
        floor = f"{one['floor']['MB_per_s']:.0f} MB/s"
        yield _row(f"`{name}`, to the sink", figure, floor, str(one["ratio"]), TARGETS[name])
    one = results["backlog.start"]
    figure = f"ready in {one['seconds']:.2f} s; drained at {one['drain_per_s']:,.0f}/s"
    what = f"`backlog.start`, {one['messages']:,} messages waiting"
    yield _row(what, figure, "", "", TARGETS["backlog.start"])


def _table(title: str, figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## {title}\n\n| stage | figure |\n| --- | --- |\n"
    for name, value in figures.items():
        stage, _, unit = name.replace("_after", " after").partition("_")
        if unit:
            yield _row(stage, f"{value} {unit.replace('MB after', 'MB, after')}")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(json.loads(Path(RESULTS).read_text())))
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
