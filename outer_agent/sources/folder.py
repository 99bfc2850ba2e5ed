"""Messages as files that other programs drop into a folder, one message a file.

A file is taken when it has settled: its size and time did not change for a while. It then moves to
`done/`; a refused one to `refused/`, with NAME.reason.txt beside it that says why and what to do. A
file that cannot be taken now stays where it is. File names may tell of patients: they go no further
than this folder.

A crash between custody and move leaves the file in place: it is submitted again with the same name
and bytes, known as a repetition, and moved.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.medium.watch import Watch
from ferry_format.reasons import FerryError, Refused
from ferry_runtime.logs import event
from ferry_runtime.whole_file import create_file, sync_folder
from outer_agent.admission import Receipt, Submission
from outer_agent.config import FolderSource
from outer_agent.sources.base import UNIDENTIFIED, Surroundings

_LOG = logging.getLogger("ferry.outer.folder")
_DONE: Final = "done"
_REFUSED: Final = "refused"
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload")
_AT_ONCE: Final = 256
_FILES_PER_LOOK: Final = 4096


@dataclass(frozen=True, slots=True)
class _Sighting:
    """How a file looked, and since when it has looked so (monotonic seconds)."""

    size: int
    modified_ns: int
    since_s: float


class DropFolder:
    """One drop folder of one channel."""

    def __init__(self, section: FolderSource, surroundings: Surroundings) -> None:
        self.name = section.name
        self._section = section
        self._surroundings = surroundings
        self._folder = Path(section.path)
        self._sightings: dict[str, _Sighting] = {}
        self._watch = Watch()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Begin to look. Raises OSError if the folder or its two subfolders cannot be used."""
        for name in (_DONE, _REFUSED):
            (self._folder / name).mkdir(mode=0o750, exist_ok=True)
        self._watch.add(self._folder)
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._on_event)
        self._task = asyncio.create_task(self._run(), name=f"folder {self.name}")

    async def stop(self) -> None:
        """Stop looking; the files that are being taken are taken to their end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        asyncio.get_running_loop().remove_reader(self._watch.fileno())
        self._watch.close()

    def _on_event(self) -> None:
        self._watch.wait(0)
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause_s = self._section.poll_s
            try:
                names = self._settled(time.monotonic())
                if names:
                    await self._take_all(names)
                if self._sightings:
                    pause_s = min(pause_s, max(self._section.settle_s / 4, 0.005))
            except OSError as error:
                event(_LOG, "folder_unusable", level=logging.ERROR, source=self.name, error=error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause_s)

    def _settled(self, now_s: float) -> list[str]:
        """The names, in order, of files that have not changed for long enough."""
        sightings: dict[str, _Sighting] = {}
        settled = []
        for name, status in self._files():
            before = self._sightings.get(name)
            seen = _Sighting(status.st_size, status.st_mtime_ns, now_s)
            if before is not None and (before.size, before.modified_ns) == (
                seen.size,
                seen.modified_ns,
            ):
                seen = before
            sightings[name] = seen
            if now_s - seen.since_s >= self._section.settle_s:
                settled.append(name)
        self._sightings = sightings
        return sorted(settled)[:_FILES_PER_LOOK]

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        yield entry.name, status

    async def _take_all(self, names: list[str]) -> None:
        """Take files in the order of their names, many at a time so that commits are shared."""
        for start in range(0, len(names), _AT_ONCE):
            if self._stopping or not await self._take_some(names[start : start + _AT_ONCE]):
                return

    async def _take_some(self, names: list[str]) -> bool:
        """Take files to their end; False if the source should pause before it takes more."""
        submissions: dict[str, Submission] = {}
        for name in names:
            try:
                submissions[name] = self._submission(name)
            except FileNotFoundError:
                self._sightings.pop(name, None)
            except Refused as failure:
                self._surroundings.intake.note_failure(self._section.channel, UNIDENTIFIED, failure)
                self._put_aside(name, failure)
        outcomes = await self._surroundings.intake.submit_in_order(list(submissions.values()))
        go_on = True
        for name, outcome in zip(submissions, outcomes, strict=True):
            if isinstance(outcome, Receipt):
                (self._folder / name).replace(self._free_name(_DONE, name))
                self._sightings.pop(name, None)
            elif isinstance(outcome, Refused):
                self._put_aside(name, outcome)
            else:
                go_on = False
        for folder in (self._folder, self._folder / _DONE):
            sync_folder(folder)
        return go_on

    def _submission(self, name: str) -> Submission:
        return Submission(
            self._section.channel,
            self._surroundings.senders.identify(self._section.name),
            self._read(self._folder / name),
            None,
            os.fsencode(name),
            self._surroundings.clock_ms(),
        )

    def _read(self, path: Path) -> bytes:
        """The file's bytes, opened without following a link or waiting for a pipe."""
        limit = self._surroundings.intake.message_bytes_max(self._section.channel)
        try:
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError:
            raise Refused(reasons.NOT_A_REGULAR_FILE) from None
        with open(number, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise Refused(reasons.NOT_A_REGULAR_FILE)
            if status.st_nlink != 1:
                raise Refused(reasons.HARD_LINKED)
            if status.st_size > limit:
                raise Refused(reasons.MESSAGE_TOO_LARGE, f"channel {self._section.channel}")
            return file.read(limit + 1)

    def _put_aside(self, name: str, failure: FerryError) -> None:
        target = self._free_name(_REFUSED, name)
        note = (
            f"reason: {failure.reason.code}\n"
            f"meaning: {failure.reason.meaning}\n"
            f"place: {failure.where}\n"
            f"what to do: {failure.reason.action}\n"
        )
        create_file(target.with_name(target.name + ".reason.txt"), note.encode(), 0o640)
        (self._folder / name).replace(target)
        self._sightings.pop(name, None)

    def _free_name(self, folder: str, name: str) -> Path:
        """A name in a subfolder that nothing has yet: NAME, else NAME.1, NAME.2 and so on."""
        target = self._folder / folder / name
        number = 0
        while os.path.lexists(target) or os.path.lexists(f"{target}.reason.txt"):
            number += 1
            target = self._folder / folder / f"{name}.{number}"
        return target
