"""A hint that something came: directory events from inotify, waited for in the caller's own loop.

Built on watchdog's `InotifyFD` without its thread: one hop less between the event and the reader.
The class is semi-private, so pyproject.toml pins watchdog's version. An event says only "look now";
filesystems that deliver none (NFS, SMB, 9p) are served by the caller's periodic look.
"""

from __future__ import annotations

import os
import select
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


class _Directory:
    """watchdog's callback for one directory: notices when the watch on it ended."""

    def __init__(self, watch: Watch, path: Path) -> None:
        self._watch = watch
        self._path = path

    def on_event(self, _event: InotifyEvent) -> None:
        """Nothing: that there was an event is all that counts."""

    def on_watch_deleted(self, _wd: WatchDescriptor) -> None:
        """The directory went away, or its filesystem was unmounted."""
        self._watch.forget(self._path)

    def on_queue_overflow(self) -> None:
        """Nothing: the overflow is an event, and the caller looks for everything anyway."""


class Watch:
    """Waits for events in a few directories. Not safe for use by two threads at once."""

    def __init__(self) -> None:
        self._inotify = InotifyFD()
        self._poll = select.poll()
        self._poll.register(self._inotify._inotify_fd, select.POLLIN)  # noqa: SLF001
        self._watched: dict[Path, WatchDescriptor] = {}

    def add(self, path: Path) -> bool:
        """Watch a directory; False if it is not there, or not one."""
        if path in self._watched:
            return True
        try:
            self._watched[path] = self._inotify.add_callback(
                os.fsencode(path), _MASK, _Directory(self, path), _CALLBACK
            )
        except OSError:
            return False
        return True

    def follow(self, root: Path, stream_id: bytes | None, sequence: int) -> None:
        """Watch where the next files of a stream appear: its shard and the one after it."""
        wanted = {root}
        if stream_id is not None:
            stream = root / layout.stream_name(stream_id)
            wanted |= {
                stream,
                stream / layout.shard_name(sequence),
                stream / layout.shard_name(sequence + layout.FILES_PER_SHARD),
            }
        for path in self._watched.keys() - wanted:
            self._inotify.remove_callbacks([(self._watched.pop(path), _CALLBACK)])
        for path in wanted:
            self.add(path)

    def forget(self, path: Path) -> None:
        """The watch on `path` ended by itself; the next `follow` renews it."""
        self._watched.pop(path, None)

    def wait(self, timeout_s: float) -> bool:
        """Wait for an event; False if none came. Further events that waited are taken with it."""
        if not self._poll.poll(max(0.0, timeout_s) * 1000):
            return False
        for event in self._inotify.read_events():
            self._inotify.handle_event(event)
        return True

    def fileno(self) -> int:
        """The descriptor that becomes readable with an event."""
        descriptor: int = self._inotify._inotify_fd  # noqa: SLF001
        return descriptor

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()
