"""What the machine itself allows: the bare steps that no ferry can do without.

Both are paced like the messages that they are compared with: after a few idle milliseconds every
step of a machine takes longer than in a tight loop.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from pathlib import Path

from ferry_format.medium.watch import Watch


def publish_and_notice(
    folder: Path, count: int, interval_s: float, size: int = 3500
) -> list[float]:
    """Seconds of write + fsync + rename + directory event, one file at a time.

    The bytes are as many as a ferry file with one 2 kB message has. The event is waited for by the
    same watch that the inner uses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = os.urandom(size)
    watch = Watch()
    watch.add(folder)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    seconds = []
    for number in range(count):
        time.sleep(interval_s)
        started_s = time.perf_counter()
        aside = folder / f".{number}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        aside.rename(folder / f"{number}.ferry")
        os.fsync(directory)
        watch.wait(1.0)
        seconds.append(time.perf_counter() - started_s)
    os.close(directory)
    watch.close()
    return seconds


def loopback_round_trip(count: int, interval_s: float, size: int = 2000) -> list[float]:
    """Seconds of a bare round trip of `size` bytes to a blocking echo in another thread."""
    server = socket.create_server(("127.0.0.1", 0))

    def echo() -> None:
        peer, _ = server.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            while data := _read_exactly(peer, size):
                peer.sendall(data)

    thread = threading.Thread(target=echo)
    thread.start()
    seconds = []
    with socket.create_connection(server.getsockname()) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = os.urandom(size)
        for _ in range(count):
            time.sleep(interval_s)
            started_s = time.perf_counter()
            client.sendall(data)
            _read_exactly(client, size)
            seconds.append(time.perf_counter() - started_s)
    thread.join()
    server.close()
    return seconds


def _read_exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        select.select([peer], [], [], 5.0)
        part = peer.recv(size - len(data))
        if not part:
            return b""
        data += part
    return data
