"""An MLLP receiver in a process of its own; writes when each message's first byte arrived.

`python -m bench.sink PORT RECORD [WATCH_PORT]`. It answers AA to everything. The record is written
when it is told to end. Whoever connects to the second port gets a byte for each message that
arrives.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

_END = b"\x1c\r"


class Receiver(asyncio.Protocol):
    """One connection: remembers when the first byte of each frame came."""

    arrived: list[tuple[str, float]]

    def __init__(
        self, arrived: list[tuple[str, float]], watchers: set[asyncio.WriteTransport]
    ) -> None:
        self.arrived = arrived
        self._watchers = watchers
        self._buffer = bytearray()
        self._first_byte_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        if not self._buffer:
            self._first_byte_s = now_s
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            fields = bytes(self._buffer[1 : min(end, 400)]).split(b"|", 10)
            control_id = fields[9]
            self.arrived.append((control_id.decode(), self._first_byte_s))
            self._transport.write(
                b"\x0bMSH|^~\\&|HIS|WARD|LIS|LAB|20261123083000||ACK^R01^ACK|A"
                + control_id
                + b"|P|2.5.1\rMSA|AA|"
                + control_id
                + b"\r\x1c\r"
            )
            for watcher in self._watchers:
                watcher.write(b".")
            del self._buffer[: end + len(_END)]
            self._first_byte_s = now_s


class Watcher(asyncio.Protocol):
    """One connection of who wants to hear of arrivals."""

    def __init__(self, watchers: set[asyncio.WriteTransport]) -> None:
        self._watchers = watchers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._watchers.add(self._transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._watchers.discard(self._transport)


async def serve(port: int, watch_port: int, arrived: list[tuple[str, float]]) -> None:
    """Receive until SIGTERM."""
    loop = asyncio.get_running_loop()
    watchers: set[asyncio.WriteTransport] = set()
    server = await loop.create_server(lambda: Receiver(arrived, watchers), "127.0.0.1", port)
    watching = await loop.create_server(lambda: Watcher(watchers), "127.0.0.1", watch_port)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    async with server, watching:
        await ended.wait()


def main() -> None:
    """Receive, then write the record."""
    arrived: list[tuple[str, float]] = []
    port, out, *watch_port = sys.argv[1:]
    uvloop.run(serve(int(port), int(watch_port[0]) if watch_port else 0, arrived))
    Path(out).write_text(json.dumps(arrived))


if __name__ == "__main__":
    main()
