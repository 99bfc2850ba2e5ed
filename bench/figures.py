"""From moments to figures: percentiles, medians of runs, rates."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bench.site import Record

CURVE_PERCENT = (0, 1, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and p99.9 in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": _at(ordered, 50),
        "p99_ms": _at(ordered, 99),
        "p999_ms": _at(ordered, 99.9),
    }


def curve(runs: Sequence[Sequence[float]]) -> list[list[float]]:
    """(percent, milliseconds) of all runs together."""
    ordered = sorted(second for run in runs for second in run)
    return [[percent, _at(ordered, percent)] for percent in CURVE_PERCENT]


def median_of(runs: Sequence[Mapping[str, float]]) -> dict[str, object]:
    """Each figure's median over the runs, and its spread."""
    figures: dict[str, object] = {
        key: round(statistics.median(run[key] for run in runs), 4) for key in runs[0]
    }
    figures["spread"] = {
        key: [min(run[key] for run in runs), max(run[key] for run in runs)] for key in runs[0]
    }
    return figures


def latencies(record: Record, arrived: Mapping[str, float]) -> list[float]:
    """Seconds from when each message was due to its first byte at the sink."""
    return [arrived[str(name)] - float(str(at_s)) for name, at_s in record["sent"]]


def acknowledgements(record: Record) -> list[float]:
    """Seconds to each acknowledgement."""
    sent = {str(name): float(str(at_s)) for name, at_s in record["sent"]}
    refused = [name for name, _, accepted in record["acknowledged"] if not accepted]
    if refused:
        raise SystemExit(f"{len(refused)} messages were not acknowledged with AA")
    return [float(str(at_s)) - sent[str(name)] for name, at_s, _ in record["acknowledged"]]


def rate(record: Record, arrived: Mapping[str, float]) -> float:
    """Messages a second, from the first one sent to the last one that arrived."""
    first_s = min(float(str(at_s)) for _, at_s in record["sent"])
    last_s = max(arrived[str(name)] for name, _ in record["sent"])
    return round(len(record["sent"]) / (last_s - first_s), 1)


def against(figures: Mapping[str, object], floor_ms: float, what: str) -> dict[str, object]:
    """The floor, and how many times it the median is."""
    p50_ms = figures["p50_ms"]
    assert isinstance(p50_ms, float)
    return {"floor": {"what": what, "p50_ms": floor_ms}, "ratio": round(p50_ms / floor_ms, 2)}


def _at(ordered: Sequence[float], percent: float) -> float:
    index = min(len(ordered) - 1, int(percent / 100 * len(ordered)))
    return round(ordered[index] * 1000, 4)
