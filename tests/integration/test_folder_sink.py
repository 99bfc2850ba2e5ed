"""What only a folder can do wrong: half a file, a file lost with the power, a full disk."""

# ruff: noqa: ASYNC240  (the far side is a folder: these tests look into it)

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ferry_format import reasons
from inner_agent.sinks.base import Delivered, Failed
from inner_agent.sinks.folder import FolderSettings, FolderSink
from tests.simulator.journal import message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = message(7, b"MSH|one")
NAME = f"{7:020d}-{7:032x}.hl7"


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[FolderSink]:
    sink = FolderSink(FolderSettings("his", tmp_path, timeout_s=2))
    yield sink
    await sink.close()


async def test_a_file_is_durable_before_it_has_its_name_and_its_name_before_it_counts(
    sink: FolderSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def seen_fsync(descriptor: int) -> None:
        calls.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def seen_rename(source: str, target: str, **folders: Any) -> None:
        calls.append(f"rename {source} {target}")
        rename(source, target, **folders)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    assert await sink.deliver(ONE) == Delivered()
    aside = f".{NAME}.tmp"
    assert calls == [f"sync {aside}", f"rename {aside} {NAME}", f"sync {tmp_path.name}"]


async def test_names_sort_in_channel_order_and_others_may_not_read(
    sink: FolderSink, tmp_path: Path
) -> None:
    for number in (1, 2, 10, 100):
        await sink.deliver(message(number, b"MSH|%d" % number))
    files = sorted(tmp_path.iterdir())
    assert [file.read_bytes() for file in files] == [b"MSH|1", b"MSH|2", b"MSH|10", b"MSH|100"]
    assert all(file.stat().st_mode & 0o007 == 0 for file in files)


async def test_a_repeat_replaces_the_same_name(sink: FolderSink, tmp_path: Path) -> None:
    for _ in range(3):
        assert await sink.deliver(ONE) == Delivered()
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


async def test_what_a_crash_left_aside_is_neither_used_nor_followed(
    sink: FolderSink, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (tmp_path / f".{NAME}.tmp").symlink_to(victim)
    assert await sink.deliver(ONE) == Delivered()
    assert victim.read_bytes() == b"untouched"
    assert (tmp_path / NAME).read_bytes() == ONE.payload
    assert not (tmp_path / NAME).is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == [NAME, "victim"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
async def test_a_failing_disk_is_retried_and_leaves_no_named_file(
    sink: FolderSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        failed = await sink.deliver(ONE)
    assert failed == Failed(reasons.SINK_UNREACHABLE, detail="ENOSPC")
    assert not (tmp_path / NAME).exists()
    assert await sink.deliver(ONE) == Delivered()
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


async def test_a_short_write_goes_on(
    sink: FolderSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def short(descriptor: int, data: Any) -> int:
        return write(descriptor, bytes(data[:3]))

    monkeypatch.setattr("inner_agent.sinks.folder.os.write", short)
    assert await sink.deliver(ONE) == Delivered()
    monkeypatch.undo()
    assert (tmp_path / NAME).read_bytes() == ONE.payload
