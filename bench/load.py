"""An MLLP sender in a process of its own; writes when each message's last byte was sent.

Times are CLOCK_MONOTONIC, which all processes of one machine share. `single` sends a message when
the one before has arrived and was acknowledged. `paced` and `open` are open loops: each message has
its moment, whether or not earlier ones were answered, and is counted from it (no coordinated
omission).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from pathlib import Path

import uvloop

_START, _END = b"\x0b", b"\x1c\r"
_SEGMENT = "OBX|{n}|NM|GLU{n}^Glucose sample {n}^LOCAL||{n}.5|mmol/L|3.9-6.1|N|||F\r"


def message(control_id: str, size: int = 2000) -> bytes:
    """An ORU^R01 of about `size` bytes."""
    text = (
        f"MSH|^~\\&|LIS|LAB|HIS|WARD|20261123083000||ORU^R01^ORU_R01|{control_id}|P|2.5.1"
        "|||||CHN|UNICODE UTF-8\rPID|1||P0001||演示^患者||19800101|F\r"
        "OBR|1|O1|L1|PANEL^Panel^LOCAL|||20261123083000\r"
    )
    number = 1
    while len(text.encode()) < size - 60:
        text += _SEGMENT.format(n=number)
        number += 1
    return _START + text.encode() + _END


def single(port: int, watch_port: int, count: int, prefix: str) -> dict[str, list[object]]:
    """One message at a time: the next one is sent once this one is acknowledged and at the sink."""
    sent: list[object] = []
    acknowledged: list[object] = []
    with (
        socket.create_connection(("127.0.0.1", watch_port)) as watch,
        socket.create_connection(("127.0.0.1", port)) as peer,
    ):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(count):
            control_id = f"{prefix}{number:07d}"
            data = message(control_id)
            peer.sendall(data[:-1])
            sent.append([control_id, time.monotonic()])
            peer.sendall(data[-1:])
            answer = b""
            while not answer.endswith(_END):
                answer += peer.recv(65536)
            acknowledged.append([control_id, time.monotonic(), b"|AA|" in answer])
            watch.recv(1)
    return {"sent": sent, "acknowledged": acknowledged}


def paced(port: int, count: int, interval_s: float, prefix: str) -> dict[str, list[object]]:
    """One connection, one message at each tick; the acknowledgement is read before the next."""
    sent: list[object] = []
    acknowledged: list[object] = []
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tick_s = time.monotonic()
        for number in range(count):
            control_id = f"{prefix}{number:07d}"
            data = message(control_id)
            tick_s += interval_s
            time.sleep(max(0.0, tick_s - time.monotonic()))
            peer.sendall(data[:-1])
            due_s = max(tick_s, 0.0) if time.monotonic() - tick_s > interval_s else time.monotonic()
            peer.sendall(data[-1:])
            sent.append([control_id, due_s])
            answer = b""
            while not answer.endswith(_END):
                answer += peer.recv(65536)
            acknowledged.append([control_id, time.monotonic(), b"|AA|" in answer])
    return {"sent": sent, "acknowledged": acknowledged}


async def open_loop(
    port: int, count: int, interval_s: float, connections: int, prefix: str
) -> dict[str, list[object]]:
    """A message at each tick, over whichever connection waits for none; from its tick on."""
    sent: list[object] = []
    acknowledged: list[object] = []
    numbers = iter(range(count))
    began_s = time.monotonic() + 0.2

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            control_id = f"{prefix}{number:07d}"
            data = message(control_id)
            due_s = began_s + number * interval_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            sent.append([control_id, due_s])
            writer.write(data)
            answer = await reader.readuntil(_END)
            acknowledged.append([control_id, time.monotonic(), b"|AA|" in answer])
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return {"sent": sent, "acknowledged": acknowledged}


async def saturate(port: int, count: int, connections: int, prefix: str) -> dict[str, list[object]]:
    """Each connection sends its next message as soon as the last was acknowledged."""
    sent: list[object] = []
    acknowledged: list[object] = []

    async def one(connection: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(count // connections):
            control_id = f"{prefix}{connection:02d}{number:07d}"
            data = message(control_id)
            sent.append([control_id, time.monotonic()])
            writer.write(data)
            answer = await reader.readuntil(_END)
            acknowledged.append([control_id, time.monotonic(), b"|AA|" in answer])
        writer.close()

    await asyncio.gather(*(one(connection) for connection in range(connections)))
    return {"sent": sent, "acknowledged": acknowledged}


def main() -> None:
    """Run one load and write its record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["single", "paced", "open", "saturate"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--watch-port", type=int, required=True, help="the sink's second one")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--interval-s", type=float, default=0.005)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.kind == "single":
        record = single(options.port, options.watch_port, options.count, options.prefix)
    elif options.kind == "paced":
        record = paced(options.port, options.count, options.interval_s, options.prefix)
    elif options.kind == "open":
        record = uvloop.run(
            open_loop(
                options.port,
                options.count,
                options.interval_s,
                options.connections,
                options.prefix,
            )
        )
    else:
        record = uvloop.run(
            saturate(options.port, options.count, options.connections, options.prefix)
        )
    options.out.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
