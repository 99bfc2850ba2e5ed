"""An object that the inner's own disk no longer gives: no sink gets half, none waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ferry_format import limits, reasons
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal import JournaledMessage, StoredObject
from inner_agent.object_store import ObjectStore
from inner_agent.sinks.base import Delivered, Failed
from inner_agent.sinks.folder import FolderSettings, FolderSink
from inner_agent.sinks.http import HttpSettings, HttpSink
from tests.simulator.large_objects import StreamingReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inner_agent.sinks.base import Sink

MESSAGE_ID = b"m" * 16


class Far:
    """A sink, and how much its far side took."""

    def __init__(self, sink: Sink, folder: Path, receiver: StreamingReceiver) -> None:
        self.sink = sink
        self._folder = folder
        self._receiver = receiver

    @property
    def taken(self) -> int:
        return len(self._receiver.received) + len(list(self._folder.glob("[!.]*")))


@pytest.fixture(params=["http", "folder"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Far]:
    folder = tmp_path / "sink"
    folder.mkdir()
    with StreamingReceiver() as receiver:
        sink: Sink = (
            HttpSink(HttpSettings("pacs", receiver.url))
            if request.param == "http"
            else FolderSink(FolderSettings("archive", folder))
        )
        yield Far(sink, folder, receiver)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """Three parts of four bytes."""
    monkeypatch.setattr(limits, "PART_BYTES", 4)
    store = ObjectStore(tmp_path / "objects", PayloadCipher(bytes(32)))
    store.prepare(kept=[])
    for number in (1, 2, 3):
        store.put(MESSAGE_ID, number, b"DICM")
    return store


def message(store: ObjectStore) -> JournaledMessage:
    return JournaledMessage(
        1, MESSAGE_ID, "image", 1, 0, 0, "application/dicom", "dicom", None, late=False,
        payload=b"", order_key=None, large=StoredObject(MESSAGE_ID, 12, store),
    )  # fmt: skip


def part_two(tmp_path: Path) -> Path:
    return sorted((tmp_path / "objects" / MESSAGE_ID.hex()).iterdir())[1]


async def delivered(far: Far, store: ObjectStore) -> Delivered | Failed:
    try:
        return await far.sink.deliver(message(store))
    finally:
        await far.sink.close()


async def test_a_whole_object_is_taken(far: Far, store: ObjectStore) -> None:
    assert await delivered(far, store) == Delivered()
    assert far.taken == 1


@pytest.mark.parametrize("damage", ["gone", "cut", "changed", "empty"])
async def test_a_damaged_one_fails_for_good(
    far: Far, store: ObjectStore, tmp_path: Path, damage: str
) -> None:
    part = part_two(tmp_path)
    sealed = part.read_bytes()
    part.unlink()
    if damage != "gone":
        part.write_bytes({"cut": sealed[:-1], "changed": sealed[:-1] + b"?", "empty": b""}[damage])
    assert await delivered(far, store) == Failed(reasons.NOT_DELIVERABLE, permanent=True)
    assert far.taken == 0


async def test_a_disk_that_cannot_be_read_is_tried_again(
    far: Far, store: ObjectStore, tmp_path: Path
) -> None:
    part = part_two(tmp_path)
    part.unlink()
    part.mkdir()
    result = await delivered(far, store)
    assert isinstance(result, Failed)
    assert (result.reason, result.permanent) == (reasons.DELIVERY_FAULT, False)
    assert far.taken == 0
