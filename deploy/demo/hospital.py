"""A small hospital around the ferry: systems in front that send, systems inside that receive.

The senders are real clients: python-hl7's MLLP client, aiohttp for HTTP. Each runs in a thread with
an event loop of its own, so that it can live inside a network namespace.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from hl7.client import MLLPClient

from tests.simulator.hl7_receiver import Hl7Receiver
from tests.simulator.http_receiver import HttpReceiver

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sample:
    """One message to send: where it came from, how, and the id that it is known by."""

    name: str
    channel: str
    payload: bytes
    known_as: str
    good: bool


@dataclass(frozen=True)
class Sent:
    """One message that was sent: when its first byte left (monotonic), and what was answered."""

    sample: Sample
    at_s: float
    admitted: bool
    reason: str


class Inside:
    """The hospital's internal systems: a HIS that speaks HL7, a booking system that speaks HTTP."""

    def __init__(self, his_port: int, booking_port: int) -> None:
        self.his = Hl7Receiver(port=his_port)
        self.booking = HttpReceiver(port=booking_port)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; to be called inside the inner's namespace."""
        self._loop.run_until_complete(self.his.start())
        self._loop.run_until_complete(self.booking.start())
        self._thread = threading.Thread(target=self._loop.run_forever, name="inside")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        await self.his.stop()
        await self.booking.stop()

    def arrivals(self) -> dict[str, list[float]]:
        """When each message arrived (monotonic seconds), by the id that it is known by."""
        times: dict[str, list[float]] = {}
        for arrival in self.his.recording.received:
            times.setdefault(arrival.message_id, []).append(arrival.at_s)
        for arrival in self.booking.recording.received:
            known_as = json.loads(arrival.data)["appointment_id"]
            times.setdefault(known_as, []).append(arrival.at_s)
        return times


def read_samples(folder: Path) -> list[Sample]:
    """The bundled samples, good ones first."""
    samples = [_sample(path) for path in sorted(folder.glob("*/*"))]
    return sorted(samples, key=lambda sample: not sample.good)


def _sample(path: Path) -> Sample:
    data = path.read_bytes()
    good = path.parent.name != "bad"
    if path.suffix == ".json":
        return Sample(path.stem, "appointments", data, json.loads(data)["appointment_id"], good)
    fields = data.split(b"\n", 1)[0].split(b"|")
    channel = path.parent.name if good else "adt"
    return Sample(path.stem, channel, data.replace(b"\n", b"\r"), fields[9].decode(), good)


def variations(samples: list[Sample], count: int) -> list[Sample]:
    """`count` further messages: the good samples in turn, each with an id of its own."""
    good = [sample for sample in samples if sample.good]
    result = []
    for number in range(count):
        sample = good[number % len(good)]
        known_as = f"AP{number:010d}" if sample.channel == "appointments" else f"V{number:08d}"
        payload = sample.payload.replace(sample.known_as.encode(), known_as.encode(), 1)
        result.append(Sample(f"variation {number}", sample.channel, payload, known_as, good=True))
    return result


def send_all(
    samples: list[Sample], mllp_ports: dict[str, int], http_port: int, api_key: str
) -> list[Sent]:
    """Send each sample over its channel's protocol, one after another."""
    clients = {
        channel: MLLPClient("127.0.0.1", port) for channel, port in mllp_ports.items()
    }
    try:
        return run(
            lambda: _send_all(samples, clients, f"http://127.0.0.1:{http_port}/channels", api_key)
        )
    finally:
        for client in clients.values():
            client.close()


async def _send_all(
    samples: list[Sample], clients: dict[str, MLLPClient], url: str, api_key: str
) -> list[Sent]:
    sent = []
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for sample in samples:
            at_s = time.monotonic()
            if sample.channel in clients:
                answer = clients[sample.channel].send_message(sample.payload)
                admitted, reason = _read_acknowledgement(answer)
            else:
                address = f"{url}/{sample.channel}/messages"
                async with session.post(address, data=sample.payload) as response:
                    body = await response.json(content_type=None)
                    admitted, reason = response.status == 202, body.get("reason", "")  # noqa: PLR2004
            sent.append(Sent(sample, at_s, admitted, reason))
    return sent


def _read_acknowledgement(answer: bytes) -> tuple[bool, str]:
    """Whether an HL7 acknowledgement says AA, and the ferry's reason code from its ERR-8."""
    segments = answer.strip(b"\x0b\x1c\r").decode().split("\r")
    fields = {segment[:3]: segment.split("|") for segment in segments}
    error = fields.get("ERR", [])
    reason = error[8].split(":")[0] if len(error) > 8 else ""  # noqa: PLR2004
    return fields["MSA"][1] == "AA", reason


def run(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine in this thread."""
    return asyncio.run(work())
