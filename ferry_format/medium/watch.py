"""A hint that something came: directory events from inotify, waited for in the caller's own loop.

Built on watchdog's `InotifyFD` without its thread: one hop less between the event and the reader.
The class is semi-private, so pyproject.toml pins watchdog's version. An event says only "look now";
filesystems that deliver none (NFS, SMB, 9p) are served by the caller's periodic look.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from ferry_format.medium import layout

_MASK = Mask(
    InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
)


_CALLBACK = CallbackId(1)
"""One callback a directory: the id need only be unique within a watch."""


class _CallersInotify(InotifyFD):
    """watchdog's inotify, read by its caller instead of a thread that is never started."""

    def __init__(self) -> None:
        super().__init__()
        os.set_inheritable(self._inotify_fd, False)  # noqa: FBT003
        os.set_blocking(self._inotify_fd, False)
        # The base class takes it that a thread reads from the start on, and leaves it to that
        # thread to close the descriptors.
        self._is_reading = False

    def fileno(self) -> int:
        """The inotify descriptor."""
        return self._inotify_fd


class _Directory:
    """watchdog's callback for one directory: notices when the watch on it ended."""

    def __init__(self, watch: Watch, path: Path, identity: tuple[int, int]) -> None:
        self.identity = identity
        self.watch_descriptor: WatchDescriptor | None = None
        self._watch = watch
        self._path = path

    def on_event(self, _event: InotifyEvent) -> None:
        """Nothing: that there was an event is all that counts."""

    def on_watch_deleted(self, _wd: WatchDescriptor) -> None:
        """The directory went away, or its filesystem was unmounted."""
        self._watch.forget(self._path, self)

    def on_queue_overflow(self) -> None:
        """Nothing: the overflow is an event, and the caller looks for everything anyway."""


# The same four for thousands of files; making the paths takes 20 µs.
@lru_cache(maxsize=8)
def _directories(root: Path, stream_id: bytes | None, shard: int) -> frozenset[Path]:
    """Where the next files of a stream appear."""
    if stream_id is None:
        return frozenset({root})
    stream = root / layout.stream_name(stream_id)
    first = shard * layout.FILES_PER_SHARD
    shards = (layout.shard_name(first), layout.shard_name(first + layout.FILES_PER_SHARD))
    return frozenset({root, stream, *(stream / name for name in shards)})


class Watch:
    """Waits for events in a few directories. Not safe for use by two threads at once."""

    def __init__(self) -> None:
        self._inotify = _CallersInotify()
        self._poll = select.poll()
        self._poll.register(self._inotify.fileno(), select.POLLIN)
        self._watched: dict[Path, _Directory] = {}

    def add(self, path: Path) -> bool:
        """Watch a directory; False if it is not there, or not one."""
        try:
            status = os.lstat(path)
            known = self._watched.get(path)
            if known is not None:
                if known.identity == (status.st_dev, status.st_ino):
                    return True
                self._remove(path)  # another directory stands there now, or a mount covers it
            directory = _Directory(self, path, (status.st_dev, status.st_ino))
            directory.watch_descriptor = self._inotify.add_callback(
                os.fsencode(path), _MASK, directory, _CALLBACK
            )
        except OSError:
            return False
        self._watched[path] = directory
        return True

    def follow(self, root: Path, stream_id: bytes | None, sequence: int) -> bool:
        """Watch where the next files of a stream appear, and no longer what was followed before.

        Watched are the root, the stream's directory, the shard of `sequence` and the one after it.
        To be called now and then, since directories come and go. True if something is watched now
        that was not: what came there before gave no event.
        """
        wanted = _directories(root, stream_id, layout.shard_number(sequence))
        before = dict(self._watched)
        for path in before.keys() - wanted:
            self._remove(path)
        for path in wanted:
            self.add(path)
        return any(before.get(path) is not now for path, now in self._watched.items())

    def forget(self, path: Path, directory: _Directory) -> None:
        """The watch on `path` ended by itself; the next `follow` renews it."""
        if self._watched.get(path) is directory:
            del self._watched[path]

    def _remove(self, path: Path) -> None:
        descriptor = self._watched.pop(path).watch_descriptor
        if descriptor is not None:
            with suppress(OSError):  # it ended by itself
                self._inotify.remove_callbacks([(descriptor, _CALLBACK)])

    def wait(self, timeout_s: float) -> bool:
        """Wait for an event; False if none came. Further events that waited are taken with it."""
        if not self._poll.poll(max(0.0, timeout_s) * 1000):
            return False
        for event in self._inotify.read_events():
            self._inotify.handle_event(event)
        return True

    def fileno(self) -> int:
        """The descriptor that becomes readable with an event."""
        return self._inotify.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()
