"""What the agents' processes cost: processor time by stage, and resident memory. From /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.simulator.ferry_pair import FerryPair

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_UTIME = 11
"""In /proc/PID/stat, counted after the name in brackets; then stime, cutime, cstime."""

VALIDATORS = ".validators"


def stages(pair: FerryPair) -> dict[str, list[int]]:
    """The process ids by stage: each agent's process, and its validation workers."""
    found: dict[str, list[int]] = {}
    for name, process in pair.processes.items():
        found[name] = [process.pid]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            found[f"{name}{VALIDATORS}"] = [int(child) for child in children]
    return found


def cpu_s(pair: FerryPair) -> dict[str, float]:
    """Seconds of processor time that each stage has taken.

    Workers are replaced after a number of messages: those that went count with the agent's waited
    children.
    """
    spent: dict[str, float] = {}
    for stage, pids in stages(pair).items():
        times = [_times_s(pid) for pid in pids]
        spent[stage] = spent.get(stage, 0.0) + sum(own for own, _ in times)
        if not stage.endswith(VALIDATORS) and times[0][1]:
            spent[f"{stage}{VALIDATORS}"] = times[0][1]
    return spent


def us_a_message(
    before: Mapping[str, float], after: Mapping[str, float], messages: int
) -> dict[str, float]:
    """Microseconds a message by stage, and all of them together."""
    each = {stage: (after[stage] - before[stage]) / messages * 1e6 for stage in before}
    each["total"] = sum(each.values())
    return {f"{stage}_us": round(value, 1) for stage, value in each.items()}


def resident_mb(pair: FerryPair) -> dict[str, float]:
    """Megabytes resident now, by stage; of several workers the sum."""
    return {
        f"{stage}_MB": round(sum(_status_kb(pid, "VmRSS") for pid in pids) / 1000, 1)
        for stage, pids in stages(pair).items()
    }


def _times_s(pid: int) -> tuple[float, float]:
    """A process's own time, and that of its children which ended and were waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    own, children = fields[_UTIME : _UTIME + 2], fields[_UTIME + 2 : _UTIME + 4]
    return sum(map(int, own)) / _TICKS_PER_S, sum(map(int, children)) / _TICKS_PER_S


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(name)
