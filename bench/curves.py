"""How latency grows with the load, throughput with what is in flight and with cores, and memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench import figures, processes
from bench.site import Site

RATES_PER_S = (50, 100, 200, 400, 600, 800, 1000)
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
LOAD_CONNECTIONS = 64
MEMORY_STEPS = 20
MEMORY_CONNECTIONS = 32
FIRST_MESSAGES = 1000

Rows = list[dict[str, object]]


def load(where: Path, seconds: float) -> Rows:
    """Latency at fixed rates: an open loop over many connections, from when a message was due."""
    site = Site(where)
    site.send("paced", "warm", 200, interval_s=0.01)
    records = {
        rate: site.send(
            "open",
            f"r{rate}x",
            int(rate * seconds),
            interval_s=1 / rate,
            connections=LOAD_CONNECTIONS,
        )
        for rate in RATES_PER_S
    }
    arrived = site.close()
    shutil.rmtree(site.folder)
    return [
        {"per_s": rate, **figures.percentiles(figures.latencies(record, arrived))}
        for rate, record in records.items()
    ]


def in_flight(where: Path, count: int) -> Rows:
    """Throughput by connections, each with one message on its way: what a batch can hold."""
    site = Site(where)
    site.send("paced", "warm", 200, interval_s=0.01)
    records = {
        connections: site.send(
            "saturate",
            f"c{connections}x",
            min(count, 400 * connections),
            connections=connections,
        )
        for connections in CONNECTIONS
    }
    arrived = site.close()
    shutil.rmtree(site.folder)
    return [
        {"connections": connections, "per_s": figures.rate(record, arrived)}
        for connections, record in records.items()
    ]


def cores(where: Path, count: int) -> Rows:
    """Throughput with the agents pinned to one core and to two, with one and two validators."""
    rows: Rows = []
    available = sorted(os.sched_getaffinity(0))
    for used, validators in ((1, 1), (2, 1), (2, 2)):
        if used > len(available):
            continue
        site = Site(where, validators=validators)
        site.pin(available[:used])
        site.send("paced", "warm", 200, interval_s=0.01)
        before = processes.cpu_s(site.pair)
        record = site.send("saturate", "s", count, connections=32)
        cpu = processes.us_a_message(before, processes.cpu_s(site.pair), len(record["sent"]))
        arrived = site.close()
        shutil.rmtree(site.folder)
        rows.append(
            {
                "cores": used,
                "validators": validators,
                "per_s": figures.rate(record, arrived),
                "total_us": cpu["total_us"],
            }
        )
    return rows


def memory(where: Path, messages: int) -> Rows:
    """Megabytes resident by stage, after the first messages and then in steps up to `messages`."""
    site = Site(where)
    rows: Rows = []
    sent = 0
    step = max(FIRST_MESSAGES, messages // MEMORY_STEPS)
    while messages - sent >= MEMORY_CONNECTIONS:
        count = FIRST_MESSAGES if sent == 0 else min(step, messages - sent)
        record = site.send("saturate", f"m{sent}x", count, connections=MEMORY_CONNECTIONS)
        sent += len(record["sent"])
        rows.append({"messages": sent, **processes.resident_mb(site.pair)})
    site.close()
    shutil.rmtree(site.folder)
    return rows
