"""Objects under random kills and power cuts: each one acknowledged arrives whole, once, in order.

The sender does not give up and keeps its Idempotency-Key; what it sent twice must not arrive twice.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ferry_format.limits import PART_BYTES
from tests.fault.killed_pair import NurseryPair, Sender
from tests.fault.test_power_cuts import Disk
from tests.simulator.ferry_pair import Channel, free_port
from tests.simulator.large_objects import LargeObject, post
from tests.simulator.nursery import Nursery, wait_until

KILLS = int(os.environ.get("FERRY_OBJECT_KILLS", "40"))
CUTS = int(os.environ.get("FERRY_OBJECT_CUTS", "6"))
SEED = int(os.environ.get("FERRY_SEED", "1"))
API_KEY = "the-key-of-the-front"
SIZES = (5_000, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 77)

pytestmark = pytest.mark.timeout(300 + 2 * KILLS + 10 * CUTS)


def made(number: int) -> LargeObject:
    return LargeObject(number, SIZES[number % len(SIZES)])


class ObjectSender(Sender):
    """Posts numbered objects, each until it is acknowledged."""

    def _run(self) -> None:
        while not self._ended.is_set():
            self.tries += 1
            with suppress(OSError, http.client.HTTPException):
                if self._post(self.acknowledged):
                    self.acknowledged_at_s.append(time.monotonic())
                    continue
            time.sleep(0.005)

    def _post(self, number: int) -> bool:
        headers = {
            "Authorization": f"Bearer {API_KEY}",
            "Content-Type": "application/dicom",
            "Idempotency-Key": f"study-{number}",
        }
        one = made(number)
        return post(self._port, "image", one.blocks(), one.size, headers)[0] == 202


class Images:
    """A pair that carries images from HTTP to a folder, and their sender."""

    def __init__(
        self, folder: Path, nursery: Nursery, medium: Path | None = None, state: Path | None = None
    ) -> None:
        self._port = free_port()
        self.sink = folder / "images-out"
        self.sink.mkdir(parents=True)
        self.agents = NurseryPair(
            folder,
            [
                Channel(
                    "image",
                    '[channels.content.object]\ntype = "application/dicom"',
                    "pacs",
                    inner_options="retry_first_s = 0.05",
                )
            ],
            f'[[sources]]\nkind = "http"\nname = "web"\nlisten = "127.0.0.1:{self._port}"\n',
            f'[[sinks]]\nkind = "folder"\nname = "pacs"\npath = "{self.sink}"\n',
            '[[senders]]\nname = "hospital-front"\n'
            f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]',
            medium=medium,
            state=state,
            nursery=nursery,
        )
        self.agents.write()
        self.agents.start()
        self.sender = ObjectSender(self._port)

    def resume(self, before_s: float) -> None:
        """A new sender goes on from what was acknowledged before a time."""
        kept = tuple(at_s for at_s in self.sender.acknowledged_at_s if at_s < before_s)
        self.sender = ObjectSender(self._port, kept)

    def wait_for_more(self, number: int, timeout_s: float = 30) -> None:
        wanted = self.sender.acknowledged + number
        wait_until(lambda: self.sender.acknowledged >= wanted, timeout_s, self.agents.tail)

    def arrived(self) -> list[str]:
        files = sorted(path for path in self.sink.iterdir() if path.name[0] != ".")
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]

    def judge(self) -> None:
        """Every acknowledged object has arrived, in order and once; at most one more has."""
        self.sender.stop()
        wanted = self.sender.acknowledged
        wait_until(
            lambda: len(list(self.sink.glob("[!.]*"))) >= wanted,
            60,
            lambda: f"lost: {wanted} acknowledged, {len(self.arrived())} arrived",
        )
        time.sleep(0.5)
        arrived = self.arrived()
        assert arrived == [made(number).sha256() for number in range(len(arrived))]
        assert wanted <= len(arrived) <= wanted + 1

    def close(self) -> None:
        self.sender.stop()
        for name in list(self.agents.processes):
            self.agents.kill(name)


def test_objects_survive_random_kills(nursery: Nursery, folder: Path) -> None:
    images, chance = Images(folder, nursery), random.Random(SEED)
    try:
        for number in range(KILLS):
            time.sleep(chance.uniform(0, 0.15))
            name = chance.choice(["outer", "verifier", "replayer"])
            images.agents.processes[name].kill()
            images.agents.processes[name].wait(10)
            images.agents.restart(name)
            if number % 4 == 3:
                images.wait_for_more(2)
        images.judge()
        print(f"{KILLS} kills: {images.sender.acknowledged} objects, {images.sender.tries} tries")
        assert images.sender.tries > images.sender.acknowledged, "no kill met an object on its way"
        assert images.sender.acknowledged > KILLS // 4
    finally:
        images.close()


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="loop-mounted filesystems need root")
def test_objects_survive_power_cuts(nursery: Nursery, folder: Path) -> None:
    disks = [Disk(folder / "medium-disk"), Disk(folder / "state-disk")]
    medium, state = (disk.place / "files" for disk in disks)
    medium.mkdir()
    images, chance = Images(folder / "pair", nursery, medium, state), random.Random(SEED)
    try:
        for _ in range(CUTS):
            images.wait_for_more(2)
            time.sleep(chance.uniform(0, 0.15))
            cut_the_power(images, disks)
        images.judge()
        print(f"{CUTS} power cuts: {images.sender.acknowledged} objects")
    finally:
        images.close()
        for disk in disks:
            disk.unmount()


def cut_the_power(images: Images, disks: list[Disk]) -> None:
    """Everything ends at one instant; a later answer never left the machine."""
    cut_at_s = time.monotonic()
    for disk in disks:
        disk.cut()
    for name in list(images.agents.processes):
        images.agents.kill(name)
    images.sender.stop()
    for disk in disks:
        disk.unmount()
        disk.mount()
    images.agents.start_inner()
    images.agents.start_outer()
    images.resume(cut_at_s)
