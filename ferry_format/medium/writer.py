"""Publishing on the medium: stage, rename, synchronise; resend; clean.

The outer's side alone. A published name never changes its bytes. The medium holds no lock file:
that one outer writes is seen to by the lock on its spool, on its own host.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.medium import durable, layout
from ferry_format.medium.listing import numbered_names
from ferry_format.reasons import StorageFault

_CLEANED_PER_CALL: Final = 2000


@dataclass(frozen=True, slots=True)
class Staged:
    """A file written aside and synchronised, not yet visible."""

    stream_id: bytes
    sequence: int
    path: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """What lies on the medium: files and their bytes, as this writer counts them."""

    files: int
    bytes: int


class MediumWriter:
    """Writes one medium. Not safe for use by two threads at once.

    Every method raises Unavailable(MEDIUM_FULL or MEDIUM_UNAVAILABLE) if it may work later, and
    StorageFault if the disk failed.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._stage = f"{self._root}/{layout.STAGE}"
        self._shards: set[str] = set()
        self._staged = 0
        self._usage: Usage | None = None

    def stage(self, stream_id: bytes, sequence: int, data: bytes) -> Staged:
        """Write a file aside, durably; a full medium is met here, before anything was promised."""
        with durable.told_apart("medium"):
            if not os.path.isdir(self._root):
                raise FileNotFoundError(2, "no such directory", self._root)
            os.makedirs(self._stage, durable.DIRECTORY_MODE, exist_ok=True)
            self._make_shards(stream_id, sequence)
            self._staged += 1
            path = f"{self._stage}/{os.getpid()}-{self._staged}-{layout.file_name(sequence)}"
            with suppress(FileNotFoundError):
                os.unlink(path)
            durable.write_new(path, data)
        return Staged(stream_id, sequence, path, hashlib.sha256(data).digest())

    def publish(self, staged: Staged) -> None:
        """Make a staged file visible and durable under its name.

        A name that already holds the same bytes counts as done. Raises StorageFault if it holds
        others: then this outer is not the only writer, or was restored from an old backup.
        """
        target = self._path(staged.stream_id, staged.sequence)
        with durable.told_apart("medium"):
            try:
                durable.rename_new(staged.path, target)
            except FileExistsError:
                if _digest(target) != staged.digest:
                    raise StorageFault(
                        reasons.STORAGE_FAILED,
                        f"medium: sequence {staged.sequence} is there with other content",
                    ) from None
                os.unlink(staged.path)
            durable.sync_directory(os.path.dirname(target))
            self._count(target)

    def discard(self, staged: Staged) -> None:
        """Remove a staged file; one that cannot be removed is cleaned away later."""
        with suppress(OSError):
            os.unlink(staged.path)

    def is_visible(self, stream_id: bytes, sequence: int) -> bool:
        """Whether a name is there. Raises Unavailable if that cannot be known."""
        with durable.told_apart("medium"):
            os.stat(self._root)
            return os.path.lexists(self._path(stream_id, sequence))

    def publish_again(self, stream_id: bytes, sequence: int, data: bytes) -> None:
        """Put a file (back) in its place, byte for byte, whatever stands there now."""
        staged = self.stage(stream_id, sequence, data)
        target = self._path(stream_id, sequence)
        with durable.told_apart("medium"):
            os.replace(staged.path, target)
            durable.sync_directory(os.path.dirname(target))
        self._usage = None

    def clean(self, stream_id: bytes, older_than_ms: int, *, never_from_sequence: int) -> int:
        """Delete files by age (their own modification time), oldest first; returns how many.

        Never at or above `never_from_sequence`, which holds the newest file in its place. Also
        clears away staging files as old, and shards that have become empty. Bounded work a call.
        """
        removed = 0
        with durable.told_apart("medium"):
            self._clear_stage(older_than_ms)
            for sequence, path in self._published(stream_id):
                status = os.stat(path, follow_symlinks=False)
                young = status.st_mtime_ns // 1_000_000 >= older_than_ms
                if young or sequence >= never_from_sequence or removed >= _CLEANED_PER_CALL:
                    break
                os.unlink(path)
                removed += 1
                if self._usage is not None:
                    self._usage = Usage(self._usage.files - 1, self._usage.bytes - status.st_size)
            self._clear_shards(stream_id, never_from_sequence)
        return removed

    def usage(self) -> Usage:
        """What lies on the medium; counted by a walk once, and kept up to date from then on."""
        if self._usage is None:
            with durable.told_apart("medium"):
                self._usage = self._walk()
        return self._usage

    def _path(self, stream_id: bytes, sequence: int) -> str:
        return f"{self._root}/{layout.file_path(stream_id, sequence)}"

    def _make_shards(self, stream_id: bytes, sequence: int) -> None:
        """The shard of `sequence`, and the one after it, so that a reader can watch it in time."""
        stream = f"{self._root}/{layout.stream_name(stream_id)}"
        for near in (sequence, sequence + layout.FILES_PER_SHARD):
            shard = f"{stream}/{layout.shard_name(near)}"
            if shard not in self._shards:
                os.makedirs(shard, durable.DIRECTORY_MODE, exist_ok=True)
                durable.sync_directory(stream)
                durable.sync_directory(self._root)
                self._shards.add(shard)

    def _published(self, stream_id: bytes) -> Iterator[tuple[int, str]]:
        stream = f"{self._root}/{layout.stream_name(stream_id)}"
        for number, shard in numbered_names(stream, layout.parse_shard):
            parse = partial(layout.parse_file, number)
            for sequence, name in numbered_names(f"{stream}/{shard}", parse):
                yield sequence, f"{stream}/{shard}/{name}"

    def _clear_stage(self, older_than_ms: int) -> None:
        with suppress(FileNotFoundError):
            for entry in os.scandir(self._stage):
                if entry.stat(follow_symlinks=False).st_mtime_ns // 1_000_000 < older_than_ms:
                    os.unlink(entry.path)

    def _clear_shards(self, stream_id: bytes, never_from_sequence: int) -> None:
        stream = f"{self._root}/{layout.stream_name(stream_id)}"
        current = never_from_sequence // layout.FILES_PER_SHARD
        for number, shard in numbered_names(stream, layout.parse_shard):
            if number >= current:
                break
            with suppress(OSError):  # not empty
                os.rmdir(f"{stream}/{shard}")
                self._shards.discard(f"{stream}/{shard}")

    def _walk(self) -> Usage:
        files = size = 0
        for folder, _, names in os.walk(self._root):
            for name in names:
                with suppress(FileNotFoundError):
                    size += os.stat(f"{folder}/{name}", follow_symlinks=False).st_size
                    files += 1
        return Usage(files, size)

    def _count(self, target: str) -> None:
        if self._usage is not None:
            size = os.stat(target, follow_symlinks=False).st_size
            self._usage = Usage(self._usage.files + 1, self._usage.bytes + size)


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
