"""The contract of outer_agent.sources.base, which every source keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ferry_format import reasons
from tests.simulator.messages import adt
from tests.simulator.outer_inside import OuterInside, channel, unavailable
from tests.simulator.source_ways import KINDS, OF_HL7, Certificates, FolderWay, Messages, Way, a_way

BOTH_LOOPS = True
# pynetdicom leaves sockets that could not connect to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
OF_BYTES = pytest.mark.parametrize(
    "running", [kind for kind in KINDS if KINDS[kind] is OF_HL7], indirect=True
)
"""For sources whose senders write each byte of a message themselves."""


@dataclass
class Running:
    way: Way
    inside: OuterInside
    messages: Messages

    async def send(self, message: bytes) -> str:
        async with asyncio.timeout(10):
            return await self.way.send(message)

    def message(self, number: str) -> bytes:
        return self.messages.message(number)

    def took(self, *sent: bytes) -> bool:
        """Whether these, in this order, were published and nothing else."""
        return self.inside.publisher.payloads == [self.messages.crosses(each) for each in sent]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=KINDS)
async def running(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates
) -> AsyncIterator[Running]:
    messages = KINDS[request.param]
    inside = OuterInside([channel("adt", messages.content)], state_dir=tmp_path)
    async with a_way(request.param, inside, tmp_path, certificates) as way:
        yield Running(way, inside, messages)


async def committing(running: Running) -> None:
    async with asyncio.timeout(10):
        await running.inside.publisher.called.wait()


async def test_a_message_is_taken_as_it_was_sent(running: Running) -> None:
    assert await running.send(running.message("1")) == "taken"
    assert running.took(running.message("1"))
    (_, record) = running.inside.audit.records[-1]
    assert (record["channel"], record["sender"]) == ("adt", "his-front")


async def test_nothing_is_told_before_it_is_durable(running: Running) -> None:
    running.inside.publisher.may_commit.clear()
    sending = asyncio.create_task(running.send(running.message("1")))
    await committing(running)
    await asyncio.sleep(0.05)
    assert not sending.done()
    running.inside.publisher.may_commit.set()
    assert await sending == "taken"


async def test_a_refusal_is_told_as_for_good(running: Running) -> None:
    assert await running.send(running.messages.refused("1")) == "refused"
    assert await running.send(running.message("2")) == "taken"
    assert running.inside.count("refused", running.messages.reason) == 1


async def test_a_full_medium_is_told_as_for_now_and_the_message_passes_later(
    running: Running,
) -> None:
    running.inside.fill()
    assert await running.send(running.message("1")) == "later"
    assert running.inside.publisher.payloads == []
    running.inside.drain()
    assert await running.send(running.message("1")) == "taken"


async def test_a_failed_commit_is_told_as_for_now(running: Running) -> None:
    running.inside.publisher.failing = [unavailable() for _ in range(2)]
    assert await running.send(running.message("1")) == "later"
    assert await running.send(running.message("1")) in {"later", "taken"}


async def test_a_message_over_the_limit_is_refused_unread(running: Running) -> None:
    assert await running.send(running.messages.oversized) == "refused"
    assert running.inside.pool.seen == []
    assert running.inside.count("refused", reasons.MESSAGE_TOO_LARGE) == 1


@OF_BYTES
async def test_a_message_of_exactly_the_limit_is_taken(running: Running) -> None:
    message = adt("1", "x" * (100_000 - len(adt("1", ""))))
    assert len(message) == 100_000
    running.inside.pool.prefix = b""  # what grows beyond the limit is refused
    assert await running.send(message) == "taken"


@OF_BYTES
async def test_an_empty_message_is_refused(running: Running) -> None:
    assert await running.send(b"") == "refused"


async def test_a_repetition_is_taken_and_crosses_once(running: Running) -> None:
    assert [await running.send(running.message("1")) for _ in range(3)] == ["taken"] * 3
    assert running.took(running.message("1"))


async def test_a_defect_of_ours_is_told_as_for_now_and_nothing_is_lost(running: Running) -> None:
    running.inside.pool.failing = ZeroDivisionError()
    assert await running.send(running.message("1")) == "later"
    running.inside.pool.failing = None
    assert await running.send(running.message("1")) == "taken"
    assert running.took(running.message("1"))


async def test_stopping_lets_what_was_begun_end_with_its_true_answer(running: Running) -> None:
    running.inside.publisher.may_commit.clear()
    sending = asyncio.create_task(running.send(running.message("1")))
    await committing(running)
    stopping = asyncio.create_task(running.way.source.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    running.inside.publisher.may_commit.set()
    assert await sending == "taken"
    async with asyncio.timeout(5):
        await stopping


async def test_nothing_is_taken_after_stopping(running: Running) -> None:
    assert await running.send(running.message("1")) == "taken"
    await running.way.source.stop()
    if isinstance(running.way, FolderWay):
        running.way.drop(running.message("2"))
        await asyncio.sleep(0.1)
    else:
        assert await running.send(running.message("2")) == "gone"
    assert running.took(running.message("1"))


async def test_stopping_twice_is_harmless(running: Running) -> None:
    await running.way.source.stop()
    await running.way.source.stop()


async def test_messages_are_taken_in_order(running: Running) -> None:
    sent = [running.message(str(number)) for number in range(1, 26)]
    for message in sent:
        assert await running.send(message) == "taken"
    assert running.took(*sent)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_sender_that_is_not_on_the_channel_is_refused(
    kind: str, tmp_path: Path, certificates: Certificates
) -> None:
    messages = KINDS[kind]
    inside = OuterInside([channel("adt", messages.content, senders=("pacs",))], state_dir=tmp_path)
    async with a_way(kind, inside, tmp_path, certificates) as way, asyncio.timeout(10):
        assert await way.send(messages.message("1")) == "refused"
    assert inside.count("refused", reasons.SENDER_NOT_ALLOWED) == 1
    assert inside.pool.seen == []
