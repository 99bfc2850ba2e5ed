"""Publishing on the medium: stage, rename, synchronise; resend; clean.

The outer's side alone. A published name never changes its bytes.

The medium holds no lock file: locks are what network filesystems keep worst, and a lock that a
stranger can hold would stop the ferry. That one outer writes is seen to by the lock on its spool,
on its own host; should two write all the same (a cloned machine), staging names are random, and a
name that already holds other bytes stops the second.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.limits import FILE_BYTES_MAX
from ferry_format.medium import cleaning, durable, layout
from ferry_format.reasons import StorageFault

_CLEANED_PER_CALL: Final = 2000
_STAGING_KEEP_MS: Final = 3_600_000
_NONCE_BYTES: Final = 8


IsOurs = Callable[[bytes, int, bytes], bool]
"""Whether a stream's file of a sequence, by its bytes, was sealed by this outer."""


@dataclass(frozen=True, slots=True)
class Aside:
    """A file written aside, whose `descriptor` is still to be synchronised and closed."""

    stream_id: bytes
    sequence: int
    path: str
    data: bytes
    descriptor: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A file written aside and synchronised, not yet visible."""

    stream_id: bytes
    sequence: int
    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """What lies on the medium, as this writer counts it, and what room its filesystem has left.

    Files that another process puts there (a resend) are counted from the next start on.
    """

    files: int
    bytes: int
    free_bytes: int
    free_inodes: int | None
    """None where the filesystem has no fixed number of them."""


class MediumWriter:
    """Writes one medium. Not safe for use by two threads at once.

    Every method raises Unavailable(MEDIUM_FULL or MEDIUM_UNAVAILABLE) if it may work later, and
    StorageFault if the disk failed. The root is never created, and the staging directory only once
    in a writer's life: a medium that was unmounted under it is then found out, rather than files
    published into the empty mount point.
    """

    def __init__(self, root: Path, is_ours: IsOurs | None = None) -> None:
        """`is_ours` tells a file that this outer once sealed for a place; None: any may be one."""
        self._root = os.fspath(root)
        self._is_ours = is_ours
        self.replaced = 0
        """Files of strangers, or damaged ones, that stood under a name of ours."""
        self._stage = f"{self._root}/{layout.STAGE}"
        self._stage_known = False
        self._shards: set[str] = set()
        self._counted: tuple[int, int] | None = None

    def stage(self, stream_id: bytes, sequence: int, data: bytes) -> Staged:
        """Write a file aside, durably."""
        return self.sync(self.write_aside(stream_id, sequence, data))

    def write_aside(self, stream_id: bytes, sequence: int, data: bytes) -> Aside:
        """Write a file aside; a full medium is met here, before anything was promised.

        `sync` is to follow, whatever else fails.
        """
        path = f"{self._stage}/{layout.staging_name(sequence, os.urandom(_NONCE_BYTES))}"
        with durable.told_apart("medium"):
            if not self._stage_known:
                durable.make_directory(self._root, layout.STAGE)
                self._stage_known = True
            descriptor = durable.create(path, data)
            try:
                self._make_shards(stream_id, sequence)
            except OSError:
                os.close(descriptor)
                os.unlink(path)
                raise
        return Aside(stream_id, sequence, path, data, descriptor)

    def sync(self, aside: Aside) -> Staged:
        """Make what was written aside durable; nothing is left of it if that fails.

        The one method that may run in another thread beside this writer's own.
        """
        with durable.told_apart("medium"):
            durable.sync_new(aside.path, aside.descriptor)
        return Staged(aside.stream_id, aside.sequence, aside.path, aside.data)

    def publish(self, staged: Staged) -> None:
        """Make a staged file visible and durable under its name.

        May be called again after it failed, wherever it did. A name that already holds the same
        bytes is replaced by the staged file, so that what this call synchronises is its own work.
        So is a file that this outer never sealed: the inner could not take it, and it must not
        keep the outer from going on. Raises StorageFault(NAME_TAKEN) if the name holds another file
        that this outer did seal, or what is no file: then it is not the only writer, or was
        restored from an old backup.
        """
        target = self._path(staged.stream_id, staged.sequence)
        with durable.told_apart("medium"):
            try:
                self._bring_in(staged, target)
            except FileNotFoundError:
                self._restore(staged)
                self._bring_in(staged, target)
            durable.sync_directory(os.path.dirname(target))

    def discard(self, staged: Staged) -> None:
        """Remove a staged file; one that cannot be removed is cleaned away later."""
        with suppress(OSError):
            os.unlink(staged.path)

    def is_visible(self, stream_id: bytes, sequence: int) -> bool:
        """Whether a name is there. Raises Unavailable if that cannot be known."""
        with durable.told_apart("medium"):
            os.stat(self._stage if self._stage_known else self._root)
            try:
                os.lstat(self._path(stream_id, sequence))
            except FileNotFoundError:
                return False
            return True

    def publish_again(self, stream_id: bytes, sequence: int, data: bytes) -> None:
        """Put a file (back) in its place, byte for byte, whatever file stands there now."""
        staged = self.stage(stream_id, sequence, data)
        target = self._path(stream_id, sequence)
        try:
            with durable.told_apart("medium"):
                try:
                    self._replace(staged, target)
                except FileNotFoundError:
                    self._restore(staged)
                    self._replace(staged, target)
                durable.sync_directory(os.path.dirname(target))
        finally:
            self.discard(staged)

    def clean(
        self,
        stream_id: bytes,
        older_than_ms: int,
        *,
        never_from_sequence: int,
        bytes_max: int | None = None,
    ) -> int:
        """Delete a stream's files by age, and by size if `bytes_max` is given; returns how many.

        Lowest sequences first; by age as long as they were last published before `older_than_ms`,
        by size until the medium holds no more than `bytes_max`. Never at or above
        `never_from_sequence`: the caller passes the first one that may still be needed. A resent
        file is young again and holds those after it until it is old. Also removes leftovers of
        crashes that are over an hour old, and shards that have become empty. Bounded work a call.
        """
        removed = 0
        with durable.told_apart("medium"):
            _, size = self._count()
            for file in cleaning.oldest_first(self._stream(stream_id)):
                too_much = bytes_max is not None and size > bytes_max
                keep = file.modified_at_ms >= older_than_ms and not too_much
                if keep or file.sequence >= never_from_sequence or removed >= _CLEANED_PER_CALL:
                    break
                os.unlink(file.path)
                removed += 1
                size -= file.size_bytes
                self._counts(-1, -file.size_bytes)
            below_shard = layout.shard_number(never_from_sequence)
            self._shards.difference_update(
                cleaning.remove_empty_shards(self._stream(stream_id), below_shard)
            )
            stale_ms = time.time_ns() // 1_000_000 - _STAGING_KEEP_MS
            cleaning.remove_stale_staging(self._stage, stale_ms)
        return removed

    def usage(self) -> Usage:
        """What lies on the medium; counted by a walk once, and kept up to date from then on."""
        with durable.told_apart("medium"):
            files, size = self._count()
            room = os.statvfs(self._root)
        free_inodes = room.f_favail if room.f_files else None
        return Usage(files, size, room.f_bavail * room.f_frsize, free_inodes)

    def _stream(self, stream_id: bytes) -> str:
        return f"{self._root}/{layout.stream_name(stream_id)}"

    def _path(self, stream_id: bytes, sequence: int) -> str:
        return f"{self._root}/{layout.file_path(stream_id, sequence)}"

    def _make_shards(self, stream_id: bytes, sequence: int) -> None:
        """The shard of `sequence`, and the one after it, so that a reader can watch it in time."""
        stream = self._stream(stream_id)
        for near in (sequence, sequence + layout.FILES_PER_SHARD):
            shard = layout.shard_name(near)
            if f"{stream}/{shard}" not in self._shards:
                durable.make_directory(self._root, layout.stream_name(stream_id))
                durable.make_directory(stream, shard)
                self._shards.add(f"{stream}/{shard}")

    def _bring_in(self, staged: Staged, target: str) -> None:
        try:
            durable.rename_new(staged.path, target)
        except FileExistsError:
            standing = durable.read_regular(target, FILE_BYTES_MAX + 1)
            if standing != staged.data:
                if standing is None or self._may_be_ours(staged, standing):
                    self.discard(staged)
                    raise StorageFault(reasons.NAME_TAKEN, target) from None
                self.replaced += 1
            self._replace(staged, target)
        else:
            self._counts(1, len(staged.data))

    def _may_be_ours(self, staged: Staged, data: bytes) -> bool:
        return self._is_ours is None or self._is_ours(staged.stream_id, staged.sequence, data)

    def _replace(self, staged: Staged, target: str) -> None:
        try:
            before: os.stat_result | None = os.lstat(target)
        except FileNotFoundError:
            before = None
        os.replace(staged.path, target)
        if before is None:
            self._counts(1, len(staged.data))
        else:
            self._counts(0, len(staged.data) - before.st_size)

    def _restore(self, staged: Staged) -> None:
        """Bring back what a publication needs: its shard was removed, or its file already moved."""
        self._shards.clear()
        if not os.path.exists(self._stage):
            raise OSError(errno.ENODEV, "the staging directory is gone: is the medium mounted?")
        self._make_shards(staged.stream_id, staged.sequence)
        if not os.path.lexists(staged.path):
            durable.write_new(staged.path, staged.data)

    def _count(self) -> tuple[int, int]:
        if self._counted is None:
            self._counted = cleaning.count_files(self._root)
        return self._counted

    def _counts(self, files: int, size: int) -> None:
        if self._counted is not None:
            self._counted = (max(0, self._counted[0] + files), max(0, self._counted[1] + size))
