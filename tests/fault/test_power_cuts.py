"""The power fails: filesystems are shut down under the running pair, mounted again, and judged.

ext4's shutdown ioctl drops everything that was not written to the disk, at once, journal included
(EXT4_IOC_SHUTDOWN, without flushing the log). Medium and databases lie on two loop-mounted
filesystems, since one fsync on a filesystem can make another file's names durable too.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.killed_pair import KilledPair
from tests.simulator.nursery import Nursery

CUTS = int(os.environ.get("FERRY_CUTS", "25"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSHING = 2
IMAGE_BYTES = 3 * 1024**3  # sparse; the agents keep a gigabyte free

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop-mounted filesystems need root"),
    pytest.mark.timeout(300 + 10 * CUTS),
]


class Disk:
    """An ext4 filesystem in a file."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._image = place.with_suffix(".img")
        with self._image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self._image)], check=True)
        place.mkdir()
        self.mount()

    def mount(self) -> None:
        command = ["mount", "-o", "loop", str(self._image), str(self.place)]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            pytest.skip("this root may not mount a loop device")

    def cut(self) -> None:
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.place)], check=True)


@pytest.fixture
def disks(folder: Path) -> Iterator[list[Disk]]:
    disks = [Disk(folder / "medium-disk"), Disk(folder / "state-disk")]
    yield disks
    for disk in disks:
        disk.unmount()


def cut_the_power(pair: KilledPair, disks: list[Disk]) -> None:
    """Everything ends at one instant; then everything starts again.

    What was acknowledged before that instant is what the senders go on from: a later answer never
    left the machine.
    """
    cut_at_s = time.monotonic()
    for disk in disks:
        disk.cut()
    for name in list(pair.agents.processes):
        pair.agents.kill(name)
        pair.kills += 1
    for sender in pair.senders.values():
        sender.stop()
        sender.acknowledged_at_s = [at_s for at_s in sender.acknowledged_at_s if at_s < cut_at_s]
    for disk in disks:
        disk.unmount()
        disk.mount()
    pair.agents.start_inner()
    pair.agents.start_outer()
    pair.resume()


def run_and_cut(pair: KilledPair, disks: list[Disk], chance: random.Random, cuts: int) -> None:
    for _ in range(cuts):
        seen = sum(sender.acknowledged for sender in pair.senders.values())
        deadline_s = time.monotonic() + 20
        while sum(sender.acknowledged for sender in pair.senders.values()) < seen + 10:
            assert time.monotonic() < deadline_s, f"lost: it never went on\n{pair.agents.tail()}"
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.15))
        cut_the_power(pair, disks)


def make(folder: Path, nursery: Nursery, disks: list[Disk], bug: str | None = None) -> KilledPair:
    medium, state = (disk.place / "files" for disk in disks)
    medium.mkdir()
    return KilledPair(folder / "pair", nursery, bug, medium=medium, state=state)


def test_what_was_acknowledged_survives(nursery: Nursery, folder: Path, disks: list[Disk]) -> None:
    pair = make(folder, nursery, disks)
    try:
        run_and_cut(pair, disks, random.Random(SEED), CUTS)
        pair.judge()
        acknowledged = sum(sender.acknowledged for sender in pair.senders.values())
        print(f"{CUTS} power cuts, {acknowledged} acknowledged")
        assert acknowledged > 10 * CUTS
    finally:
        pair.close()


@pytest.mark.parametrize("bug", ["no_fsync_at_all", "no_directory_fsync", "journal_without_fsync"])
def test_a_planted_bug_is_found(
    nursery: Nursery, folder: Path, disks: list[Disk], bug: str
) -> None:
    pair = make(folder, nursery, disks, bug)
    try:
        with pytest.raises(AssertionError, match=r"lost|and \d+ had not|came") as found:
            run_and_judge(pair, disks, random.Random(SEED))
        print(str(found.value)[:300])
    finally:
        pair.close()


def run_and_judge(pair: KilledPair, disks: list[Disk], chance: random.Random) -> None:
    for _ in range(15):
        run_and_cut(pair, disks, chance, 1)
        time.sleep(0.3)
        pair.judge(timeout_s=6)
        pair.resume()
