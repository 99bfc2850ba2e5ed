"""What the outer deletes from its medium: published files that had their time, and leftovers.

Every function does a bounded amount of work and raises OSError if the medium does not let it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from ferry_format.medium import layout
from ferry_format.medium.listing import numbered_names

_MS: int = 1_000_000


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published file as its directory shows it."""

    sequence: int
    path: str
    modified_at_ms: int
    size_bytes: int


def oldest_first(stream: str) -> Iterator[PublishedFile]:
    """The regular files of a stream's directory by sequence; one shard is listed at a time."""
    for number, shard in numbered_names(stream, layout.parse_shard):
        parse = partial(layout.parse_file, number)
        for sequence, name in numbered_names(f"{stream}/{shard}", parse):
            path = f"{stream}/{shard}/{name}"
            with suppress(FileNotFoundError):  # somebody else removed it
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode):
                    yield PublishedFile(sequence, path, status.st_mtime_ns // _MS, status.st_size)


def remove_empty_shards(stream: str, below_shard: int) -> list[str]:
    """Remove a stream's empty shards below a number; returns their paths."""
    removed = []
    for number, shard in numbered_names(stream, layout.parse_shard):
        if number >= below_shard:
            break
        path = f"{stream}/{shard}"
        with suppress(OSError):  # it is not empty
            os.rmdir(path)
            removed.append(path)
    return removed


def remove_stale_staging(stage: str, older_than_ms: int) -> None:
    """Remove what a crash left in the staging directory; names that are not ours stay."""
    with suppress(FileNotFoundError), os.scandir(stage) as entries:
        for entry in entries:
            if not layout.is_staging_name(entry.name):
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_mtime_ns // _MS < older_than_ms:
                os.unlink(entry.path)


def count_files(root: str) -> tuple[int, int]:
    """How many files lie beneath `root`, and their bytes; staging files are not counted."""
    os.stat(root)  # os.walk would call a missing medium an empty one
    files = size = 0
    for folder, subfolders, names in os.walk(root):
        if folder == root and layout.STAGE in subfolders:
            subfolders.remove(layout.STAGE)
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(f"{folder}/{name}").st_size
                files += 1
    return files, size
