"""Find the end of a trail that another run wrote, and mend it where a crash tore it.

A record counts once its whole line, with its line end, is in the file. Whatever follows the last
such record (half a line, zeros) is moved to `FILE.torn-N` beside the file, never destroyed, and
the caller records that this happened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import StorageFault
from ferry_runtime.audit_format import (
    LINE_BYTES_MAX,
    NO_RECORD,
    day_in_name,
    line_digest,
    parse_line,
)
from ferry_runtime.whole_file import create_file, sync_folder

TAIL_BYTES_MAX: Final = 4 * 1024 * 1024
TORN_FILES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class TrailEnd:
    """Where a trail goes on.

    `unsigned` counts the records behind the last checkpoint (those in its last file, at most).
    `cut` names what was torn off: (file, bytes, SHA-256), oldest last.
    """

    day: str | None
    last_n: int
    last_digest: str
    unsigned: int
    cut: tuple[tuple[str, int, str], ...]


def trail_files(folder: Path) -> list[Path]:
    """The trail's files in the order of their days. Raises OSError."""
    return sorted(path for path in folder.iterdir() if day_in_name(path.name) is not None)


def mend_end(folder: Path) -> TrailEnd:
    """The end of the trail in `folder`, after cutting what a crash tore.

    Raises StorageFault if more than TAIL_BYTES_MAX would have to be cut: that was no crash.
    """
    cut: list[tuple[str, int, str]] = []
    files = trail_files(folder)
    newest = day_in_name(files[-1].name) if files else None
    for path in reversed(files):
        tail, starts_at = _tail(path)
        line, kept = _last_record(tail)
        if line is None and starts_at > 0:
            raise StorageFault(
                reasons.STORAGE_FAILED,
                f"{path}: no audit record in its last {TAIL_BYTES_MAX} bytes; move the file away",
            )
        if kept < len(tail):
            cut.append(_cut(path, starts_at + kept, tail[kept:]))
        if line is not None:
            record = parse_line(line)
            return TrailEnd(newest, record.n, record.digest, _unsigned(tail[:kept]), tuple(cut))
    return TrailEnd(newest, 0, NO_RECORD, 0, tuple(cut))


def _tail(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        starts_at = max(0, size - TAIL_BYTES_MAX)
        file.seek(starts_at)
        return file.read(), starts_at


def _last_record(tail: bytes) -> tuple[bytes | None, int]:
    """The last whole record's line, and the number of bytes of `tail` up to its line end."""
    end = tail.rfind(b"\n") + 1
    while end > 0:
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        line = tail[begin : end - 1]
        if len(line) <= LINE_BYTES_MAX:
            try:
                parse_line(line)
            except ValueError:
                pass
            else:
                return line, end
        end = begin
    return None, 0


def _unsigned(tail: bytes) -> int:
    count = 0
    for line in reversed(tail.removesuffix(b"\n").split(b"\n")):
        try:
            if parse_line(line).is_checkpoint:
                break
        except ValueError:
            break
        count += 1
    return count


def _cut(path: Path, size: int, torn: bytes) -> tuple[str, int, str]:
    for number in range(1, TORN_FILES_MAX + 1):
        try:
            create_file(path.with_name(f"{path.name}.torn-{number}"), torn, 0o640)
        except FileExistsError:
            continue
        os.truncate(path, size)
        sync_folder(path.parent)
        return path.name, len(torn), line_digest(torn)
    raise StorageFault(
        reasons.STORAGE_FAILED, f"{path}: torn {TORN_FILES_MAX} times; move its .torn files away"
    )
