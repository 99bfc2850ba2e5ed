"""Messages as files that other programs drop into a folder, one message a file.

A file is taken when it has settled: its size and time did not change for a while, and nobody has it
open for writing where that can be told. It then moves to `done/`; a refused one to `refused/`, with
NAME.reason.txt beside it that says why and what to do. A file that can't be taken now stays where
it is and is tried again.

A file that is an HL7 v2 batch, where its channel splits those, is done when all of its messages
were taken, and refused if one was; its note then names those that were not taken.

Settled files are taken in the order of their names, many at a time so that they share commits. From
the first that can't be taken now, all later ones wait with it.

A crash between custody and move leaves the file in place: it is submitted again with the same name
and bytes, known as a repetition, and moved. File names may tell of patients: they go no further
than this folder, into no log and no audit record; the outcome of a file stands in its new place.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.medium.watch import Watch
from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.logs import event
from outer_agent.admission import ObjectSubmission, Receipt, Submission
from outer_agent.batches import BatchOutcome
from outer_agent.commit import Outcome
from outer_agent.config import FolderSource
from outer_agent.sources.base import Surroundings
from outer_agent.sources.drop_files import (
    DropFiles,
    Identity,
    OpenFile,
    ReadFile,
    RefusedFile,
    read_exactly,
)

_LOG = logging.getLogger("ferry.outer.folder")
_FILES_AT_ONCE: Final = 256
_BYTES_AT_ONCE: Final = 16 * 1024 * 1024
_SETTLING_LOOKS: Final = 4
_PAUSE_S_MIN: Final = 0.005
_REFUSALS_TOLD_MAX: Final = 50


class DropFolder:
    """One drop folder of one channel."""

    def __init__(self, section: FolderSource, surroundings: Surroundings) -> None:
        self.name = section.name
        self._section = section
        self._surroundings = surroundings
        self._folder = Path(section.path)
        self._files = DropFiles(self._folder, section.settle_s)
        self._sender = ""
        self._watch: Watch | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin to look.

        Raises OSError if the folder or its two subfolders can't be used, Refused(SENDER_UNKNOWN) if
        no sender of the policy has this source among its listeners.
        """
        self._sender = self._surroundings.senders.identify(self.name)
        await asyncio.to_thread(self._files.prepare)
        self._watch = Watch()
        self._watch.add(self._folder)
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._on_event)
        self._task = asyncio.create_task(self._run(), name=f"folder {self.name}")

    async def stop(self) -> None:
        """Stop looking; the files that are being taken are taken to their end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        watch, self._watch = self._watch, None
        if watch is not None:
            asyncio.get_running_loop().remove_reader(watch.fileno())
            watch.close()

    def _on_event(self) -> None:
        if self._watch is not None:
            self._watch.wait(0)
            self._wake.set()

    async def _run(self) -> None:
        poll_s = self._section.poll_s
        settling_s = max(self._section.settle_s / _SETTLING_LOOKS, _PAUSE_S_MIN)
        while not self._stopping:
            self._wake.clear()
            try:
                took_all = await self._look()
            except Exception as error:  # noqa: BLE001 - the source must outlive what one look meets
                event(_LOG, "folder_unusable", level=logging.ERROR, source=self.name, error=error)
                took_all = False
            if not took_all:
                await self._pause(poll_s)  # events don't hasten a retry
                continue
            pause_s = min(poll_s, settling_s) if self._files.is_unsettled else poll_s
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause_s)

    async def _pause(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while not self._stopping and time.monotonic() < until_s:
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, until_s - time.monotonic()))

    async def _look(self) -> bool:
        """Take every settled file; False if some could not be taken now."""
        names = await asyncio.to_thread(self._files.settled, time.monotonic())
        limit = self._surroundings.intake.message_bytes_max(self._section.channel)
        if self._surroundings.intake.takes_objects(self._section.channel):
            return await self._take_objects(names, limit)
        while names and not self._stopping:
            files = await asyncio.to_thread(
                self._files.read_some,
                names,
                limit,
                files_max=_FILES_AT_ONCE,
                bytes_max=_BYTES_AT_ONCE,
            )
            if not files:
                return True
            names = names[names.index(files[-1].name) + 1 :]
            for together in self._runs(files):
                if not await self._take(together):
                    return False
        return True

    def _runs(self, files: list[ReadFile | RefusedFile]) -> Iterator[list[ReadFile | RefusedFile]]:
        """The files in order, as they are submitted together; an HL7 batch comes alone."""
        run: list[ReadFile | RefusedFile] = []
        for file in files:
            if self._is_batch(file):
                yield run
                yield [file]
                run = []
            else:
                run.append(file)
        yield run

    def _is_batch(self, file: ReadFile | RefusedFile) -> bool:
        intake = self._surroundings.intake
        return isinstance(file, ReadFile) and intake.is_batch(self._section.channel, file.content)

    async def _take(self, files: list[ReadFile | RefusedFile]) -> bool:
        """Take files to their end; False if some could not be taken now."""
        read = [file for file in files if isinstance(file, ReadFile)]
        refused = [
            (file.name, file.identity, file.failure)
            for file in files
            if isinstance(file, RefusedFile)
        ]
        for _, _, failure in refused:
            self._surroundings.intake.note_failure(self._section.channel, self._sender, failure)
        outcomes = await self._outcomes(read)
        done = []
        for file, outcome in zip(read, outcomes, strict=True):
            if outcome is None or isinstance(outcome, Receipt):
                done.append(file)
            elif isinstance(outcome, Refused):
                refused.append((file.name, file.identity, outcome))
        if done:
            await self._settle_done(*done)
        if refused:
            await self._settle_refused(*refused)
        return len(done) + len(refused) == len(files)

    async def _settle_done(self, *files: ReadFile | OpenFile) -> None:
        self._tell(await asyncio.to_thread(self._files.settle_done, files))

    async def _settle_refused(self, *files: tuple[str, Identity, FerryError]) -> None:
        self._tell(await asyncio.to_thread(self._files.settle_refused, files))

    def _tell(self, errors: list[OSError]) -> None:
        for error in errors[:1]:
            event(_LOG, "file_not_moved", level=logging.ERROR, source=self.name, error=error)

    async def _outcomes(self, files: list[ReadFile]) -> Sequence[Outcome | None]:
        """What became of files of one run; None where a batch was taken whole."""
        if not files or not self._is_batch(files[0]):
            return await self._surroundings.intake.submit_in_order(
                [self._submission(file) for file in files]
            )
        try:
            batch = await self._surroundings.intake.submit_batch(self._submission(files[0]))
        except FerryError as failure:
            return [failure]
        return [_of_batch(batch)]

    async def _take_objects(self, names: list[str], limit: int) -> bool:
        """Take files one by one, each streamed; False if one could not be taken now."""
        for name in names:
            if self._stopping:
                break
            file = await asyncio.to_thread(self._files.open, name, limit)
            if isinstance(file, RefusedFile):
                self._surroundings.intake.note_failure(
                    self._section.channel, self._sender, file.failure
                )
                await self._settle_refused((name, file.identity, file.failure))
            elif file is not None and not await self._take_object(file):
                return False
        return True

    async def _take_object(self, file: OpenFile) -> bool:
        try:
            await self._surroundings.intake.submit_object(
                ObjectSubmission(
                    self._section.channel,
                    self._sender,
                    file.identity.size,
                    None,
                    _object_key(file),
                    self._surroundings.clock_ms(),
                ),
                partial(self._read_part, file),
            )
        except Refused as failure:
            await self._settle_refused((file.name, file.identity, failure))
        except Unavailable:
            return False
        else:
            await self._settle_done(file)
        finally:
            os.close(file.number)
        return True

    async def _read_part(self, file: OpenFile, size: int) -> bytes:
        if self._stopping:
            raise Unavailable(reasons.STOPPING)
        return await asyncio.to_thread(read_exactly, file, size)

    def _submission(self, file: ReadFile) -> Submission:
        return Submission(
            self._section.channel,
            self._sender,
            file.content,
            None,
            os.fsencode(file.name),
            self._surroundings.clock_ms(),
        )


def _of_batch(batch: BatchOutcome) -> FerryError | None:
    """What becomes of a batch's file; it stays while one of its messages must come again."""
    if batch.is_taken or batch.deferred is not None:
        return batch.deferred
    refused = [
        f"message {number}: {failure.reason.code}" + (f", {failure.where}" if failure.where else "")
        for number, failure in batch.refused
    ]
    more = len(refused) - _REFUSALS_TOLD_MAX
    if more > 0:
        refused[_REFUSALS_TOLD_MAX:] = [f"and {more} more"]
    return Refused(reasons.BATCH_PARTLY_REFUSED, "; ".join(refused))


def _object_key(file: OpenFile) -> bytes:
    """What an object is known by where a crash has it taken again.

    A name that is used anew is another object; nobody could send it again under another id.
    """
    identity = file.identity
    return b"%d %d %s" % (identity.size, identity.modified_ns, os.fsencode(file.name))
