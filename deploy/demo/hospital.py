"""A small hospital around the ferry: systems in front that send, systems inside that receive.

The senders are real clients: python-hl7's MLLP client, aiohttp for HTTP.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from hl7.client import MLLPClient

from tests.simulator.ferry_pair import free_port
from tests.simulator.namespaces import Namespace

_T = TypeVar("_T")
_PAUSE_S = 0.01


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
    """The internal systems' process, in the inner's namespace if there is one."""

    def __init__(self, record: Path, namespace: Namespace | None) -> None:
        self.his_port, self.booking_port = free_port(), free_port()
        self._record = record
        command = [sys.executable, "-m", "deploy.demo.inside"]
        command += [str(self.his_port), str(self.booking_port), str(record)]
        self._command = command if namespace is None else namespace.command(command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it listens a moment later, and the ferry waits for it like for any system."""
        self._process = subprocess.Popen(self._command, cwd=Path(__file__).parents[2])

    def stop(self) -> dict[str, list[float]]:
        """End it; returns when each message arrived, by the id that it is known by."""
        if self._process is None:
            return {}
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        record: dict[str, list[float]] = json.loads(self._record.read_text())
        return record


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
    """Send each sample over its channel's protocol, one after another, as steady traffic."""
    clients = {channel: MLLPClient("127.0.0.1", port) for channel, port in mllp_ports.items()}
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
            await asyncio.sleep(_PAUSE_S)
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
