"""Reading a medium that nobody trusts: the next name, and lists only to find what is missing.

The inner's side alone: it writes nothing, works on a read-only mount, and goes on by itself when
the medium was unmounted and mounted again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.medium import layout, safe_open
from ferry_format.medium.listing import all_names, numbered_names
from ferry_format.medium.safe_open import Identity
from ferry_format.reasons import Unavailable

_LISTED_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class UntrustedFile:
    """A file's bytes as they were read, once, under the name that its sequence gives."""

    data: bytes
    name: str
    identity: Identity


class MediumReader:
    """Reads one medium. Not safe for use by two threads at once.

    Methods raise Unavailable(MEDIUM_UNREADABLE) while the medium cannot be read.
    """

    def __init__(self, root: Path, owner_uid: int | None) -> None:
        """`owner_uid` is whose files are taken; None: the owner of the medium's root directory."""
        self._root = root
        self._owner_uid = owner_uid

    @property
    def root(self) -> Path:
        """Where the medium is mounted."""
        return self._root

    def read(self, stream_id: bytes, sequence: int) -> UntrustedFile | None:
        """The file of a sequence, or None if it is not there.

        Raises safe_open.HostileFile (a Refused) for a name that must not be read.
        """
        path = layout.file_path(stream_id, sequence)
        with self._readable() as root:
            owner_uid = self._owner(root)
            try:
                data, identity = safe_open.read_once(root, path, owner_uid)
            except FileNotFoundError:
                return None
        return UntrustedFile(data, path, identity)

    def streams(self) -> list[bytes]:
        """The streams that have a directory."""
        with self._readable() as root:
            names = (layout.parse_stream(name) for name in all_names(root))
            return sorted(stream for stream in names if stream is not None)

    def available(self, stream_id: bytes, from_sequence: int) -> Iterator[int]:
        """The sequences from `from_sequence` on whose names are there, ascending.

        Only names are looked at. Listing ends after 100,000 of them.
        """
        stream = layout.stream_name(stream_id)
        first_shard = from_sequence // layout.FILES_PER_SHARD
        listed = 0
        for number, shard in self._names(stream, layout.parse_shard):
            if number < first_shard or listed > _LISTED_MAX:
                continue
            names = self._names(f"{stream}/{shard}", partial(layout.parse_file, number))
            listed += len(names)
            yield from (sequence for sequence, _ in names if sequence >= from_sequence)

    def foreign_names(self) -> Counter[str]:
        """How many names the layout does not know, by reason code; bounded as `available` is."""
        count = 0
        with self._readable() as root:
            for name in all_names(root):
                known = name in layout.NOT_FOREIGN or layout.parse_stream(name) is not None
                count += 0 if known else 1
        for stream in self.streams():
            count += self._foreign_in(layout.stream_name(stream))
        return Counter({reasons.FOREIGN_NAME.code: count}) if count else Counter()

    def _foreign_in(self, stream: str) -> int:
        count = 0
        shards = self._names(stream, layout.parse_shard)
        count += self._entries(stream) - len(shards)
        for number, shard in shards[-2:]:
            path = f"{stream}/{shard}"
            names = self._names(path, partial(layout.parse_file, number))
            count += self._entries(path) - len(names)
        return max(count, 0)

    def _entries(self, path: str) -> int:
        with self._directory(path) as directory:
            return 0 if directory is None else len(all_names(directory))

    def _names(self, path: str, parse: Callable[[str], int | None]) -> list[tuple[int, str]]:
        with self._directory(path) as directory:
            return [] if directory is None else numbered_names(directory, parse)

    @contextmanager
    def _directory(self, path: str) -> Iterator[int | None]:
        """A directory beneath the root, opened as safely as files are; None if it is not there."""
        with self._readable() as root:
            descriptor = safe_open.open_directory(root, path)
            try:
                yield descriptor
            finally:
                if descriptor is not None:
                    os.close(descriptor)

    def _owner(self, root: int) -> int:
        return os.fstat(root).st_uid if self._owner_uid is None else self._owner_uid

    @contextmanager
    def _readable(self) -> Iterator[int]:
        """The root, opened for this access alone, so that the medium can be unmounted between.

        What goes wrong with it is the medium's state, and passes.
        """
        root: int | None = None
        try:
            root = safe_open.open_root(self._root)
            yield root
        except OSError as error:
            where = f"{self._root}: {error.strerror}"
            raise Unavailable(reasons.MEDIUM_UNREADABLE, where) from error
        finally:
            if root is not None:
                os.close(root)
