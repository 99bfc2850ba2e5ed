"""The files of a drop folder: which have settled, their bytes, and where they go. Synchronous.

A file that was read is known by its identity (device, inode, size, time) from then on: if another
program puts a new file in its place while the old one is being submitted, the new one is not taken
for the old one and moved away unread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.whole_file import create_file, sync_folder

DONE: Final = "done"
REFUSED: Final = "refused"
NOTE_SUFFIX: Final = ".reason.txt"

_NAME_BYTES_MAX: Final = 255  # Linux, NAME_MAX
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload")
_NOT_PLAIN: Final = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR})
_NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM})


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file it is, and as of which change."""

    device: int
    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file's bytes, and which file they are of."""

    name: str
    identity: Identity
    content: bytes


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file to be read piece by piece; `number` is its descriptor, the caller's to close."""

    name: str
    identity: Identity
    number: int


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that is none, or too large: refused before anything of it was submitted."""

    name: str
    identity: Identity
    failure: Refused


_Taken = TypeVar("_Taken", ReadFile, OpenFile)


@dataclass(frozen=True, slots=True)
class _Sighting:
    """How a file looked, and since when it has looked so (monotonic seconds)."""

    identity: Identity
    since_s: float


class DropFiles:
    """One folder, its done/ and its refused/."""

    def __init__(self, folder: Path, settle_s: float) -> None:
        self._folder = folder
        self._settle_s = settle_s
        self._sightings: dict[str, _Sighting] = {}

    def prepare(self) -> None:
        """Make the two subfolders. Raises OSError if that can't be done."""
        for name in (DONE, REFUSED):
            (self._folder / name).mkdir(mode=0o750, exist_ok=True)
        sync_folder(self._folder)

    @property
    def is_unsettled(self) -> bool:
        """Whether a file was seen at the last look that may still be growing."""
        return bool(self._sightings)

    def settled(self, now_s: float) -> list[str]:
        """The names, in order, of files that have not changed for long enough."""
        sightings: dict[str, _Sighting] = {}
        settled = []
        for name, status in self._entries():
            seen = _Sighting(_identity(status), now_s)
            before = self._sightings.get(name)
            if before is not None and before.identity == seen.identity:
                seen = before
            sightings[name] = seen
            if now_s - seen.since_s >= self._settle_s:
                settled.append(name)
        self._sightings = sightings
        return sorted(settled)

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        yield entry.name, status

    def read_some(
        self, names: Iterable[str], message_bytes_max: int, *, files_max: int, bytes_max: int
    ) -> list[ReadFile | RefusedFile]:
        """The next files in order, at most so many and of so many bytes, one at least.

        Raises OSError where the folder or its disk is to blame and not a file.
        """
        found: list[ReadFile | RefusedFile] = []
        size = 0
        for name in names:
            file = self._read(name, message_bytes_max)
            if file is None:
                continue
            found.append(file)
            size += len(file.content) if isinstance(file, ReadFile) else 0
            if len(found) >= files_max or size >= bytes_max:
                break
        return found

    def open(self, name: str, bytes_max: int) -> OpenFile | RefusedFile | None:
        """One settled file, open; None if it is gone, or still written to after all.

        Raises OSError where the folder or its disk is to blame and not the file.
        """
        return self._checked(name, lambda path, identity: self._opened(path, identity, bytes_max))

    def _opened(self, path: Path, identity: Identity, bytes_max: int) -> OpenFile | None:
        number = _open(path)
        try:
            if _is_settled(number, identity, bytes_max):
                return OpenFile(path.name, identity, number)
        except BaseException:
            os.close(number)
            raise
        os.close(number)
        return None

    def _read(self, name: str, message_bytes_max: int) -> ReadFile | RefusedFile | None:
        return self._checked(
            name, lambda path, identity: _content(path, identity, message_bytes_max)
        )

    def _checked(
        self, name: str, take: Callable[[Path, Identity], _Taken | None]
    ) -> _Taken | RefusedFile | None:
        """What `take` makes of one settled file; None if it is gone, or is written to after all."""
        path = self._folder / name
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        identity = _identity(status)
        if not stat.S_ISREG(status.st_mode):  # to open some devices is to act on them
            return RefusedFile(name, identity, Refused(reasons.FILE_NOT_PLAIN))
        try:
            taken = take(path, identity)
        except FileNotFoundError:
            return None
        except Refused as failure:
            return RefusedFile(name, identity, failure)
        if taken is None:
            self._sightings.pop(name, None)
        return taken

    def settle_done(self, files: Iterable[ReadFile | OpenFile]) -> list[OSError]:
        """Move files of which custody was taken to done/, durably.

        Returns why files could not be moved; they settle anew. Raises OSError where the folder or
        its disk is to blame and not a file.
        """
        errors: list[OSError] = []
        for file in files:
            with _kept(errors):
                self._move(file.name, file.identity, self._free_name(DONE, file.name))
        self._sync(DONE)
        return errors

    def settle_refused(self, files: Iterable[tuple[str, Identity, FerryError]]) -> list[OSError]:
        """Move refused files to refused/, each with a note beside it; as `settle_done`."""
        errors: list[OSError] = []
        for name, identity, failure in files:
            with _kept(errors):
                self._move_refused(name, identity, failure)
        self._sync(REFUSED)
        return errors

    def _move_refused(self, name: str, identity: Identity, failure: FerryError) -> None:
        target = self._free_name(REFUSED, name)
        # The note first: a refused file without its reason helps nobody after a crash.
        create_file(_note_path(target), _note(failure), 0o640)
        is_moved = False
        try:
            is_moved = self._move(name, identity, target)
        finally:
            if not is_moved:
                _note_path(target).unlink()

    def _move(self, name: str, identity: Identity, target: Path) -> bool:
        """Move the file that was read; False if it is gone or another one has its name."""
        path = self._folder / name
        self._sightings.pop(name, None)
        try:
            if _identity(os.lstat(path)) != identity:
                return False
            path.rename(target)
        except FileNotFoundError:
            return False
        if _identity(os.lstat(target)) == identity:
            return True
        target.rename(path)  # it was put there in this very moment
        return False

    def _free_name(self, folder: str, name: str) -> Path:
        """A name in a subfolder that nothing has yet: NAME, else NAME.1, NAME.2 and so on.

        Where NAME leaves no room for what follows it, its end is left out.
        """
        bytes_max = _NAME_BYTES_MAX - (len(NOTE_SUFFIX) if folder == REFUSED else 0)
        target = self._folder / folder / _within(name, "", bytes_max)
        number = 0
        while os.path.lexists(target) or os.path.lexists(_note_path(target)):
            number += 1
            target = self._folder / folder / _within(name, f".{number}", bytes_max)
        return target

    def _sync(self, subfolder: str) -> None:
        sync_folder(self._folder / subfolder)
        sync_folder(self._folder)


def read_exactly(file: OpenFile, size: int) -> bytes:
    """The next bytes of an open file. Raises Unavailable if it is not what it was.

    It is looked at after each read: what changed meanwhile is read anew once it has settled.
    """
    content = bytearray()
    while len(content) < size and (part := os.read(file.number, size - len(content))):
        content += part
    if len(content) != size or _identity(os.fstat(file.number)) != file.identity:
        raise Unavailable(reasons.FILE_UNREADABLE, "it changed while it was read")
    return bytes(content)


def _content(path: Path, identity: Identity, bytes_max: int) -> ReadFile | None:
    """The file's bytes, opened without following a link or waiting for a pipe."""
    with os.fdopen(_open(path), "rb", buffering=0) as file:
        if not _is_settled(file.fileno(), identity, bytes_max):
            return None
        content = _read_all(file.fileno(), bytes_max + 1)
        is_same = _identity(os.fstat(file.fileno())) == identity
        return ReadFile(path.name, identity, content) if is_same else None


def _is_settled(number: int, identity: Identity, bytes_max: int) -> bool:
    """Whether an open file is the one that was seen, and nobody's to write. Raises Refused."""
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise Refused(reasons.FILE_NOT_PLAIN)
    if _identity(status) != identity or has_writer(number):
        return False
    if status.st_size > bytes_max:
        raise Refused(reasons.MESSAGE_TOO_LARGE)
    return True


def has_writer(number: int) -> bool:
    """Whether another program has this open file open for writing, as far as that can be told.

    Linux grants a read lease only where nobody writes. Where it can't be asked (another owner's
    file without CAP_LEASE, a network filesystem) the answer is no, and settling alone decides.
    """
    try:
        # Breaking the lease meanwhile sends a signal, by default one that ends the process.
        fcntl.fcntl(number, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_PLAIN:
            raise Refused(reasons.FILE_NOT_PLAIN) from None
        if error.errno in _NOT_OURS:
            raise Refused(reasons.FILE_UNREADABLE) from None
        raise


def _read_all(number: int, bytes_max: int) -> bytes:
    content = bytearray()
    while part := os.read(number, bytes_max - len(content)):
        content += part
    return bytes(content)


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def _kept(errors: list[OSError]) -> Iterator[None]:
    """One file's error, kept so that the others go on."""
    try:
        yield
    except OSError as error:
        errors.append(error)


def _within(name: str, tail: str, bytes_max: int) -> str:
    """The name with its tail, cut between two of the name's characters where it is too long."""
    while len(os.fsencode(name + tail)) > bytes_max:
        name = name[:-1]
    return name + tail


def _note_path(target: Path) -> Path:
    return target.with_name(target.name + NOTE_SUFFIX)


def _note(failure: FerryError) -> bytes:
    return (
        f"reason: {failure.reason.code}\n"
        f"meaning: {failure.reason.meaning}\n"
        f"place: {failure.where}\n"
        f"what to do: {failure.reason.action}\n"
    ).encode()
