"""Four gigabytes cross through agents that hold a few parts of them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from tests.integration.test_large_objects import MIB, Site
from tests.simulator.large_objects import LargeObject, StreamingReceiver

pytestmark = pytest.mark.timeout(900)
SIZE = 4 * 1024 * MIB
DISK_BYTES = 5 * SIZE
GROWTH_BYTES_MAX = 64 * MIB
"""Two parts, their sealed and encoded forms, and what an allocator keeps of them."""


def peaks(site: Site) -> dict[str, int]:
    """Each process's highest resident size so far, its validation workers' included; bytes."""
    found: dict[str, int] = {}
    for name, process in site.agents.processes.items():
        for pid in (process.pid, *children(process.pid)):
            status = Path(f"/proc/{pid}/status").read_text()
            [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
            role = name if pid == process.pid else f"{name}'s worker"
            found[role] = max(found.get(role, 0), int(line.split()[1]) * 1024)
    return found


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def test_an_object_of_four_gigabytes_takes_no_more_memory_than_a_small_one(
    tmp_path: Path, record_property
) -> None:
    if shutil.disk_usage(tmp_path).free < DISK_BYTES + 8 * 1024 * MIB:
        pytest.skip("needs 28 GiB of free disk")
    with StreamingReceiver() as images:
        site = Site(tmp_path, images)
        try:
            cross(site, LargeObject(1, 64 * MIB), 1)
            before = peaks(site)
            made = LargeObject(2, SIZE)
            seconds = cross(site, made, 2)
            after = peaks(site)
            assert images.received[1].sha256 == made.sha256()
        finally:
            for name in list(site.agents.processes):
                site.agents.kill(name)
    grown = {name: after[name] - before[name] for name in before}
    record_property("grown_bytes", json.dumps(grown))
    print(
        f"{SIZE / seconds / 1e6:.0f} MB/s to the sink's last byte; before {before}, grown {grown}"
    )
    assert max(grown.values()) < GROWTH_BYTES_MAX, (before, after)


def cross(site: Site, made: LargeObject, number: int) -> float:
    """Send one and wait until the sink has it; returns seconds."""
    began_s = time.monotonic()
    assert site.post(made)[0] == 202
    site.wait_for_images(number, 600)
    return time.monotonic() - began_s
