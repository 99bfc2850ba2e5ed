"""The pictures of docs/performance.md, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "ferry"  # the same figures give the same file

from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

DISTRIBUTIONS = ("latency.memory", "latency.disk", "ack.memory", "ack.disk")


def draw(results: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Write each picture of which there are figures; yields (file name, what it shows)."""
    for name, title, plot in (
        ("latency", "Latency and acknowledgement, one message at a time", _distribution),
        ("load", "Latency against load, disk, an open loop over 64 connections", _load),
        ("in-flight", "Throughput against messages in flight, disk", _in_flight),
        ("memory", "Resident memory against messages that crossed", _memory),
    ):
        figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
        if plot(axes, results):
            axes.set_title(title, fontsize=10)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(fontsize=8)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            yield f"{name}.svg", title
        plt.close(figure)


def _distribution(axes: Any, results: Mapping[str, Any]) -> bool:
    for name in DISTRIBUTIONS:
        if name in results:
            percent, milliseconds = zip(*results[name]["curve"], strict=True)
            axes.plot(milliseconds, percent, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("percent of messages within")
    return True


def _load(axes: Any, results: Mapping[str, Any]) -> bool:
    if "load" not in results:
        return False
    rows = results["load"]["rows"]
    rates = [row["per_s"] for row in rows]
    for key in ("p50_ms", "p99_ms", "p999_ms"):
        axes.plot(rates, [row[key] for row in rows], marker="o", label=key.removesuffix("_ms"))
    axes.set_yscale("log")
    axes.set_xlabel("messages a second, offered")
    axes.set_ylabel("milliseconds from when due")
    return True


def _in_flight(axes: Any, results: Mapping[str, Any]) -> bool:
    if "in_flight" not in results:
        return False
    rows = results["in_flight"]["rows"]
    connections = [row["connections"] for row in rows]
    axes.plot(connections, [row["per_s"] for row in rows], marker="o", label="end to end")
    axes.set_xscale("log", base=2)
    axes.set_xticks(connections, [str(number) for number in connections])
    axes.set_xlabel("connections, each with one message on its way")
    axes.set_ylabel("messages a second")
    axes.set_ylim(bottom=0)
    return True


def _memory(axes: Any, results: Mapping[str, Any]) -> bool:
    samples = results["memory.flat"]["samples"]
    messages = [sample["messages"] for sample in samples]
    for stage in (key for key in samples[0] if key.endswith("_MB")):
        axes.plot(messages, [sample[stage] for sample in samples], label=stage.removesuffix("_MB"))
    axes.set_xlabel("messages")
    axes.set_ylabel("megabytes resident")
    axes.set_ylim(bottom=0)
    return True
