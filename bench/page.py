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
`make bench-quick` takes less than two minutes and fails where a ratio passes a stored bound
(`bench/bounds.py`).
"""
LATENCY = """
## Latency

2 kB HL7 v2 messages over MLLP, from the sender's last byte to the sink's first, or (`ack`) to the
acknowledgement. One at a time: the next is sent when this one has arrived. `paced`: one each 10 ms,
so that every step, and every floor, runs cold. `steady200`: 200 a second, an open loop over 8
connections. The floor of a latency is two files published and noticed and two loopback hops, that
of an acknowledgement one file.

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
so on both sides. With de-identification: judged, treated, and judged again, once, on the outer; for
the families whose personal data the ferry knows by itself, by the default methods. –: the
difference is lost in the noise.

| family | bytes | validator | worker adds, one at a time | in batches | with de-identification |
| --- | --- | --- | --- | --- | --- |
"""
STEPS = """
## What each step costs by itself

Microseconds a message, hot: one process, a tight loop, a memory-backed folder, the least of many
turns. A message is validated twice and passes everything else once.

| step | a file for each message | a file for {batch} |
| --- | --- | --- |
"""
LIMITS = """
## What keeps it from the targets

**Rates** are bounded by processor time: {cores} cores hold at most {bound:,.0f} messages a second
at {total_us:,.0f} µs each, before the sender and the receiver, which share them, take their part.
The steps themselves are {steps_us:,.0f} µs of that. The rest is the way through five processes in
Python: a task and three futures a message on the outer, an exchange with the sink and a wait for
its answer on the replayer, and the pipes to the workers. 6,000 messages a second on two cores would
leave 333 µs for everything, sender and receiver among it.

**Latency** is bounded by the same steps, one after the other: {single_us:,.0f} µs when all of them
run hot. Beyond that it is hops: from the sender to the outer, to its worker and back, to the thread
that commits and back, to the verifier, to its worker and back, to the replayer, to the sink. Where
a message comes each 10 ms, every step runs cold and takes two to three times as long, on an idle
machine too; `paced` shows it, and its floors show it as well. The isolation of what parses
untrusted bytes, and of the verifier from any network, is paid here.

**On disk** three commits follow one another: the outer's spool, with the medium's file beside it,
the medium's directory, and the journal.

**Objects** are bounded by their copies: each byte is made durable in the spool, on the medium and
in the inner's store, while the floor writes it once. Where all three lie on one disk, as here, an
object is acknowledged no faster than three copies can be written at once; and it is delivered after
that, since a receiver hears of no object before the last of its parts has been verified.

[What bounds the speed](performance-limits.md) takes the first two apart.
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
    single, batched = results["steps"]["rows"]
    parts += [STEPS.format(batch=batched["batch"]), *_steps(single, batched)]
    total_us = results["cpu.stages"]["total_us"]
    parts.append(
        LIMITS.format(
            cores=machine["cpus"],
            bound=machine["cpus"] * 1e6 / total_us,
            total_us=total_us,
            steps_us=batched["total"],
            single_us=single["total"],
        )
    )
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
        copies = one["floor"]["three_copies_MB_per_s"]
        floor = f"{one['floor']['MB_per_s']:.0f} MB/s; three copies at once {copies:.0f}"
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


def _steps(single: Mapping[str, float], batched: Mapping[str, float]) -> Iterator[str]:
    for name in single:
        if name != "batch":
            yield _row(name, f"{single[name]:,.0f} µs", f"{batched[name]:,.0f} µs")


def _validators(results: Mapping[str, Any]) -> Iterator[str]:
    for name, one in results.items():
        if not name.startswith("validators."):
            continue
        for size in ("small", "large"):
            times = [_us(one[size][key]) for key in ("us", "worker_us", "worker_batched_us")]
            treated = one[size].get("deidentified_us")
            times.append("" if treated is None else _us(treated))
            yield _row(f"`{name}`", f"{one[size]['bytes']:,}", *times)


def _us(time_us: float) -> str:
    """A difference below nothing is lost in the noise."""
    return f"{time_us:,.0f} µs" if time_us > 0 else "–"


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
