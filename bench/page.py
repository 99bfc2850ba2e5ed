"""Write docs/performance.md from bench/results.json: `python -m bench.page`, after `make bench`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import plots
from bench.run import RESULTS, ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"
TARGETS = {
    "latency.memory": "p50 below 0.6 ms, p99 below 1 ms",
    "latency.disk": "p50 at most 1.5 times the floor",
    "ack.disk": "at most 1.3 times one durable commit",
    "steady200.disk": "p50 at most 5 ms, p99 at most 20 ms",
    "saturation.mllp.disk": "6,000 a second",
    "saturation.folder.disk": "8,300 a second",
    "object.100MB": "80 % of the floor, above 110 MB/s",
    "object.1GB": "80 % of the floor, above 110 MB/s",
    "backlog.start": "below 2 s with a million messages",
    "memory.flat": "flat within 10 %, below 150 MB each",
}
LATENCIES = (
    *("latency.memory", "latency.disk", "ack.memory", "ack.disk"),
    *("latency.memory.paced", "latency.disk.paced", "ack.memory.paced", "ack.disk.paced"),
    "steady200.disk",
)
SATURATIONS = (
    "saturation.mllp.memory",
    "saturation.mllp.disk",
    "saturation.folder.memory",
    "saturation.folder.disk",
)
HEAD = """\
# Performance

Made by `make bench` and `python -m bench.page`; figures of one machine at one time, medians of
{runs} runs. Every check is on: signature, hybrid encryption, HL7 parsed and rebuilt on both sides
in sandboxed workers, journal. Both agents, the sender and the receiver share the machine. A floor
is what the same machine does in the same run without any ferry; compare ratios, not milliseconds.
`make bench-quick` takes about a minute and fails where a ratio passes a stored bound
(`bench/bounds.py`).
"""
LATENCY = """
## Latency

2 kB HL7 v2 messages over MLLP, from the sender's last byte to the sink's first, or (`ack`) to the
acknowledgement. One at a time: the next is sent when this one has arrived. `paced`: one each 10 ms,
so that every step, and every floor, runs cold. `steady200`: 200 a second. The floor of a latency is
two files published and noticed and two loopback hops, that of an acknowledgement one file.

| what | p50 | p99 | p99.9 | floor | ratio | target |
| --- | --- | --- | --- | --- | --- | --- |
"""
THROUGHPUT = """
## Throughput

| what | figure | floor | ratio | target |
| --- | --- | --- | --- | --- |
"""
CORES = """
## Cores

The agents and their workers pinned to some cores, the sender and the receiver free; 32 connections,
disk.

| cores | validators a side | messages/s | processor time a message |
| --- | --- | --- | --- |
"""
VALIDATORS = """
## Validators

Microseconds a message, on the samples of `validators/profiles/` and on large messages made of them:
judged and rebuilt in one process, and what the sandboxed worker adds to it (two pipes, one message
at a time, or as many at once as wait under load). The least of many turns; each message is judged
so on both sides.

| family | bytes | validator | worker adds, one at a time | worker adds, in batches |
| --- | --- | --- | --- | --- |
"""
LIMITS = """
## What keeps it from the targets

The rates are bounded by processor time: {cores} cores hold at most {bound:,.0f} messages a second
at {total_us:,.0f} µs each, before the sender and the receiver, which share them, take their part.
A profile at saturation shows system calls first: the send to the sink is a quarter of the
replayer's time, the pipe to its worker a tenth of the outer's, its acknowledgement a fifteenth; no
function of our own takes more than a twentieth.

The latency is bounded by steps that run cold. One message passes five processes (outer, its worker,
verifier, its worker, replayer) and three durable commits; at 100 messages a second each step takes
three to five times as long as in a tight loop, on this machine. A trace of one message in memory
showed 0.68 and 0.59 ms for the two validations, of which 0.1 ms is their work, 0.64 for opening a
file (0.13 in a loop), 0.30 for sealing it (0.05), 0.45 for spool and medium, 0.23 for the journal,
0.6 from the hint to the sink. The isolation of what parses untrusted bytes, and of the verifier
from any network, is paid here.

Objects are bounded by their copies: each byte is made durable in the spool, on the medium and in
the inner's store, and is sealed twice and opened twice, while the floor writes it once.
"""


def page(measured: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The page's text; `pictures` are file names and what they show."""
    machine, results = measured["machine"], measured["results"]
    host = f"{machine['cpus']} cores, {machine['machine']}, Linux {machine['kernel']}"
    parts = [
        HEAD.format(runs=machine["runs"]),
        f"\n{host}, Python {machine['python']}, {machine['at'][:10]}.\n",
        LATENCY,
    ]
    parts += [_latency(name, results[name]) for name in LATENCIES]
    parts += [_picture(pictures, "latency.svg"), _picture(pictures, "load.svg")]
    parts += [THROUGHPUT, *_throughput(results), _picture(pictures, "in-flight.svg")]
    if "cores" in results:
        parts += [CORES, *_cores(results["cores"]["rows"])]
    parts += ["\n## Processor time a message, at saturation on disk\n\n"]
    parts += ["| stage | figure |\n| --- | --- |\n", *_stages(results["cpu.stages"])]
    parts += [VALIDATORS, *_validators(results)]
    parts += [*_memory(results["memory.flat"]["samples"]), _picture(pictures, "memory.svg")]
    total_us = results["cpu.stages"]["total_us"]
    bound = machine["cpus"] * 1e6 / total_us
    parts.append(LIMITS.format(cores=machine["cpus"], bound=bound, total_us=total_us))
    return "".join(parts)


def _picture(pictures: Mapping[str, str], name: str) -> str:
    return f"\n![{pictures[name]}](performance/{name})\n" if name in pictures else ""


def _latency(name: str, one: Mapping[str, Any]) -> str:
    times = [f"{one[key]:.2f} ms" for key in ("p50_ms", "p99_ms", "p999_ms")]
    floor = one.get("floor", {}).get("p50_ms")
    against = ["" if floor is None else f"{floor:.2f} ms", str(one.get("ratio", ""))]
    return _row(f"`{name}`", *times, *against, TARGETS.get(name, ""))


def _throughput(results: Mapping[str, Any]) -> Iterator[str]:
    for name in SATURATIONS:
        one = results[name]
        over = f", {one['connections']} connections" if "connections" in one else ""
        figure = f"{one['per_s']:,.0f} messages/s"
        yield _row(f"`{name}`{over}", figure, "", "", TARGETS.get(name, ""))
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


def _cores(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield _row(
            str(row["cores"]),
            str(row["validators"]),
            f"{row['per_s']:,.0f}",
            f"{row['total_us']:,.0f} µs",
        )


def _stages(figures: Mapping[str, float]) -> Iterator[str]:
    for name, value in figures.items():
        yield _row(name.removesuffix("_us"), f"{value:,.0f} µs")


def _validators(results: Mapping[str, Any]) -> Iterator[str]:
    for name, one in results.items():
        if not name.startswith("validators."):
            continue
        for size in ("small", "large"):
            times = [
                f"{one[size][key]:,.0f} µs" for key in ("us", "worker_us", "worker_batched_us")
            ]
            yield _row(f"`{name}`", f"{one[size]['bytes']:,}", *times)


def _memory(samples: list[Mapping[str, Any]]) -> Iterator[str]:
    first, last = samples[0], samples[-1]
    yield "\n## Resident memory (`memory.flat`)\n\n"
    yield f"| stage | after {first['messages']:,} messages | after {last['messages']:,} |\n"
    yield "| --- | --- | --- |\n"
    for stage in (key for key in first if key.endswith("_MB")):
        yield _row(stage.removesuffix("_MB"), f"{first[stage]:.0f} MB", f"{last[stage]:.0f} MB")
    yield f"\nTarget: {TARGETS['memory.flat']}, to a million messages.\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Write the page and its pictures."""
    measured = json.loads(Path(RESULTS).read_text())
    PICTURES.mkdir(exist_ok=True)
    pictures = dict(plots.draw(measured["results"], PICTURES))
    PAGE.write_text(page(measured, pictures))
    print(f"written: {PAGE.relative_to(ROOT)} and {len(pictures)} pictures")


if __name__ == "__main__":
    main()
