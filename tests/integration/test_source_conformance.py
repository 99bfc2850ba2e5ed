"""The contract of outer_agent.sources.base, which every source keeps."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from outer_agent.config import FolderSource, HttpSource, MllpSource
from outer_agent.metrics import OuterMetrics
from outer_agent.policy import SenderSection
from outer_agent.senders import SenderDirectory
from outer_agent.sources.base import Source, Surroundings
from outer_agent.sources.registry import build
from tests.simulator.clients import code_of
from tests.simulator.intake import ScriptedIntake
from tests.simulator.messages import adt

BOTH_LOOPS = True
API_KEY = "a-key"
SENDER = SenderSection(
    name="his",
    api_keys_sha256=(hashlib.sha256(API_KEY.encode()).hexdigest(),),
    listeners=("in",),
)


@dataclass
class Way:
    """One source with a sender of its kind: `send` tells "taken", "refused", "later" or "gone"."""

    kind: str
    source: Source
    intake: ScriptedIntake
    folder: Path
    number: int = 0

    async def send(self, message: bytes) -> str:
        self.number += 1
        return await getattr(self, f"_send_{self.kind}")(message)

    async def _send_http(self, message: bytes) -> str:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        url = f"http://127.0.0.1:{self.source.port}/channels/adt/messages"
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(url, data=message) as answer,
            ):
                words = {202: "taken", 503: "later", 429: "later"}
                return words.get(answer.status, "refused")
        except aiohttp.ClientError:
            return "gone"

    async def _send_mllp(self, message: bytes) -> str:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.source.port)
            writer.write(b"\x0b" + message + b"\x1c\r")
            answer = await reader.readuntil(b"\x1c\r")
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            return "gone"
        return {"AA": "taken", "AE": "later", "AR": "refused"}[code_of(answer[1:-2])]

    async def _send_folder(self, message: bytes) -> str:
        name = f"{self.number:04d}.hl7"
        (self.folder / name).write_bytes(message)
        before = len(self.intake.submissions)
        for _ in range(300):
            if (self.folder / "done" / name).exists():
                return "taken"
            if (self.folder / "refused" / name).exists():
                assert (self.folder / "refused" / f"{name}.reason.txt").exists()
                return "refused"
            if len(self.intake.submissions) > before and self.intake.gate.is_set():
                await asyncio.sleep(0.02)
                if (self.folder / name).exists():
                    (self.folder / name).unlink()
                    return "later"
            await asyncio.sleep(0.01)
        return "gone"


@pytest.fixture(params=["http", "mllp", "folder"])
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Way]:
    listen = {"name": "in", "listen": "127.0.0.1:0"}
    section = {
        "http": lambda: HttpSource(kind="http", **listen),
        "mllp": lambda: MllpSource(kind="mllp", channel="adt", **listen),
        "folder": lambda: FolderSource(
            kind="folder", name="in", path=tmp_path, channel="adt", settle_s=0.01, poll_s=0.02
        ),
    }[request.param]()
    intake = ScriptedIntake()
    metrics = OuterMetrics(CollectorRegistry())
    source = build(section, Surroundings(intake, SenderDirectory([SENDER]), metrics, lambda: 0))
    await source.start()
    yield Way(request.param, source, intake, tmp_path)
    await source.stop()


async def test_a_message_is_taken_as_it_was_sent(way: Way) -> None:
    assert await way.send(adt("1")) == "taken"
    [submission] = way.intake.submissions
    assert (submission.channel, submission.sender) == ("adt", "his")
    assert submission.payload == adt("1")


async def test_a_refusal_for_good_is_told_as_one(way: Way) -> None:
    way.intake.script.append(Refused(reasons.SEGMENT_NOT_ALLOWED, "segment 2"))
    assert await way.send(adt("1")) == "refused"


async def test_a_refusal_for_now_is_told_as_one(way: Way) -> None:
    way.intake.script.append(Unavailable(reasons.MEDIUM_FULL))
    assert await way.send(adt("1")) == "later"


async def test_a_message_over_the_limit_is_refused_without_being_submitted(way: Way) -> None:
    assert await way.send(b"MSH|^~\\&|" + b"x" * 10_000) in {"refused", "gone"}
    assert way.intake.submissions == []
    assert way.intake.failures == [("adt", way.intake.failures[0][1], "message_too_large")]


async def test_nothing_is_told_before_it_is_durable(way: Way) -> None:
    way.intake.gate.clear()
    sending = asyncio.create_task(way.send(adt("1")))
    while not way.intake.submissions:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert not sending.done()
    way.intake.gate.set()
    assert await sending == "taken"


async def test_stopping_lets_what_was_begun_end_with_its_true_answer(way: Way) -> None:
    way.intake.gate.clear()
    sending = asyncio.create_task(way.send(adt("1")))
    while not way.intake.submissions:
        await asyncio.sleep(0.005)
    stopping = asyncio.create_task(way.source.stop())
    await asyncio.sleep(0.05)
    way.intake.gate.set()
    assert await sending == "taken"
    await stopping
    assert len(way.intake.submissions) == 1


async def test_a_hundred_messages_are_taken_in_order(way: Way) -> None:
    for number in range(100 if way.kind != "folder" else 20):
        assert await way.send(adt(str(number))) == "taken"
    payloads = [submission.payload for submission in way.intake.submissions]
    assert payloads == [adt(str(number)) for number in range(len(payloads))]
