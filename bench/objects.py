"""Objects of 100 MB and 1 GB through both agents, beside a bare sequential write with fsync."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.large_objects import LargeObject, StreamingReceiver, post

MB = 1_000_000
API_KEY = "of-the-bench"
PIECE_BYTES = 4 * 1024 * 1024


COPIES = 3
"""Medium, spool and the inner's store: here on one disk, in a hospital on three."""


def sequential_write(folder: Path, size: int, copies: int = 1) -> float:
    """Bytes a second that one file, or several at once, take; each 4 MiB synchronised as a part."""
    began_s = time.perf_counter()
    with ThreadPoolExecutor(copies) as writers:
        for _ in writers.map(partial(_write, size=size), [folder / str(n) for n in range(copies)]):
            pass
    return size / (time.perf_counter() - began_s)


def _write(path: Path, size: int) -> None:
    data = os.urandom(PIECE_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    left = size
    while left:
        left -= os.write(descriptor, data[: min(left, PIECE_BYTES)])
        os.fsync(descriptor)
    os.close(descriptor)
    path.unlink()


def measure(where: Path, sizes_mb: dict[str, int], runs: int) -> dict[str, dict[str, object]]:
    """Megabytes a second from the sender's first byte to the sink's last, by name of size."""
    folder = Path(tempfile.mkdtemp(prefix="ferry-bench-", dir=where))
    http_port = free_port()
    with StreamingReceiver() as images:
        pair = FerryPair(
            folder,
            [
                Channel(
                    "image",
                    '[channels.content.object]\ntype = "application/dicom"',
                    "pacs",
                )
            ],
            f'[[sources]]\nkind = "http"\nname = "web"\nlisten = "127.0.0.1:{http_port}"',
            f'[[sinks]]\nkind = "http"\nname = "pacs"\nurl = "{images.url}"',
            '[[senders]]\nname = "hospital-front"\n'
            f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]',
        )
        pair.write()
        pair.start()
        crossings = _Crossings(pair, images, http_port)
        crossings.cross(16 * MB)
        results = {
            name: _figures([crossings.cross(mb * MB) for _ in range(runs)], folder, mb * MB)
            for name, mb in sizes_mb.items()
        }
        pair.stop()
    shutil.rmtree(folder)
    return results


class _Crossings:
    def __init__(self, pair: FerryPair, images: StreamingReceiver, port: int) -> None:
        self._pair = pair
        self._images = images
        self._port = port
        self._sent = 0

    def cross(self, size: int) -> tuple[float, float]:
        """Bytes a second until acknowledged, and until the sink had the last byte."""
        self._sent += 1
        made = LargeObject(self._sent, size)
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/dicom"}
        began_s = time.monotonic()
        status, answer = post(self._port, "image", made.blocks(), size, headers)
        acknowledged_s = time.monotonic()
        if status != 202:
            raise SystemExit(f"the object was not taken: {answer!r}")
        while len(self._images.received) < self._sent:
            self._pair.check_alive()
            time.sleep(0.005)
        ended_s = time.monotonic()
        return size / (acknowledged_s - began_s), size / (ended_s - began_s)


def _figures(runs: list[tuple[float, float]], folder: Path, size: int) -> dict[str, object]:
    floor = sequential_write(folder, size) / MB
    copies = sequential_write(folder, size, COPIES) / MB
    rates = [at_the_sink / MB for _, at_the_sink in runs]
    what = "one sequential write, each 4 MiB synchronised"
    return {
        "MB_per_s": round(statistics.median(rates), 1),
        "acknowledged_MB_per_s": round(statistics.median(one[0] for one in runs) / MB, 1),
        "spread": {"MB_per_s": [round(min(rates), 1), round(max(rates), 1)]},
        "floor": {
            "what": what,
            "MB_per_s": round(floor, 1),
            "three_copies_MB_per_s": round(copies, 1),
        },
        "ratio": round(statistics.median(rates) / floor, 2),
    }
