"""Sink that leaves each message as a file in a folder, for a system that collects files.

A file appears under its name whole or not at all: written aside under a dot name, synced, renamed,
folder synced; only then is it delivered. The name is POSITION-MESSAGE-ID plus suffix, with
the journal's position padded to 20 digits: names sort in the order in which a channel is delivered,
over all its streams, and a repeat of the same message replaces the same name instead of adding a
second file. A collector that removes files may, after
a crash of ours, see a name again that it has already taken: the message id in the name tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import SINK_UNREACHABLE, FerryError
from inner_agent.sinks.base import Delivered, Failed, object_s, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ferry_format.reasons import Reason
    from inner_agent import config
    from inner_agent.journal import JournaledMessage
    from inner_agent.sinks.base import SinkResult

FILE_MODE: Final = 0o640
"""The collecting system reads by group; patient data is for nobody else."""


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """`path`: an existing folder on one filesystem. `suffix`: ".hl7", ".json"; no slash.

    `timeout_s` bounds the wait for a hanging filesystem (NFS); the write itself cannot be ended.
    """

    name: str
    path: Path
    suffix: str = ".hl7"
    timeout_s: float = 30.0


def settings_of(section: config.FolderSink) -> FolderSettings:
    """Return a configuration section's settings."""
    return FolderSettings(section.name, section.path, section.suffix)


class FolderSink:
    """One folder; the blocking calls run on a thread of its own."""

    def __init__(self, settings: FolderSettings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="folder")

    @property
    def name(self) -> str:
        """The sink's name."""
        return self._settings.name

    async def deliver(self, message: JournaledMessage) -> SinkResult:
        """Write one file durably."""
        name = f"{message.position:020d}-{message.message_id.hex()}{self._settings.suffix}"
        try:
            failure = await self._on_thread(name, message.pieces(), object_s(message))
        except FerryError as fault:
            return unreadable(fault)
        return Delivered() if failure is None else Failed(SINK_UNREACHABLE, detail=failure)

    async def probe(self) -> Reason | None:
        """Tell whether a file could be written."""
        failure = await self._on_thread(None, ())
        return None if failure is None else SINK_UNREACHABLE

    async def close(self) -> None:
        """End the thread; a write that hangs is left to itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _on_thread(
        self, name: str | None, pieces: Iterable[bytes], more_s: float = 0.0
    ) -> str | None:
        job = asyncio.get_running_loop().run_in_executor(
            self._thread, _write, self._settings.path, name, pieces
        )
        try:
            await asyncio.wait_for(asyncio.shield(job), self._settings.timeout_s + more_s)
        except TimeoutError:
            job.cancel()
            return "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "EIO")
        return None


def _write(folder: Path, name: str | None, pieces: Iterable[bytes]) -> None:
    """Write all `pieces` under `name` durably; without a name, only see whether one could."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if name is None:
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=directory):
                raise PermissionError(errno.EACCES, "not writable")
            return
        aside = f".{name}.tmp"
        # What a crash left aside is removed, not opened: it may have become anything.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=directory)
        file = os.open(
            aside,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW,
            FILE_MODE,
            dir_fd=directory,
        )
        try:
            for piece in pieces:
                remaining = memoryview(piece)
                while remaining:
                    remaining = remaining[os.write(file, remaining) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    finally:
        os.close(directory)
