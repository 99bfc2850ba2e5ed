"""The audit trail: who did what and what crossed, in a chain that cannot be changed unseen.

Append-only files by UTC day (`audit-2026-11-23.jsonl`, mode 0640); the record is defined in
audit_format.py. Records are collected and written together: `record()` costs microseconds, and the
agent calls `flush()` where it commits. What a power cut can take is what was recorded since the
last flush or, unless flushed durably, since the last sync; the next start notes a torn end.

A checkpoint (signed) is written every `checkpoint_records` records, at each new day's file, and on
close. Its number and hash also go to the log (event `audit_checkpoint`), so that a copy stands
outside this folder: against it, even a trail cut off exactly behind an older checkpoint is seen.

Limits, plainly: who can read the agent's audit key can write another trail. Records after the last
checkpoint are chained but not yet signed.

One process writes a trail (the folder is locked). Not to be shared between processes; threads may.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.keys import KeyFile, KeyKind
from ferry_format.reasons import FerryError, Refused, StorageFault, Unavailable
from ferry_runtime import audit_format, logs
from ferry_runtime.audit_end import TrailEnd, mend_end, trail_files
from ferry_runtime.whole_file import sync_folder

FILE_MODE: Final = 0o640
KEEP_DAYS_MIN: Final = 180
CHECKPOINT_RECORDS: Final = 1000
WAITING_BYTES_MAX: Final = 4 * 1024 * 1024

_LOG = logging.getLogger("ferry.audit")
_DAY_MS: Final = 86_400_000


class AuditTrail:
    """The writer of one trail.

    `folder` is made if missing (mode 0750). `keep_days` None keeps everything; else files whose day
    is older are deleted when a new day begins, and that is recorded; less than 180 is a ValueError.
    The newest `keep_days` files stay in any case, so that a clock that jumps ahead deletes nothing
    that it should not.
    Raises StorageFault if the folder cannot be used or another process has it open.
    """

    def __init__(
        self,
        folder: Path,
        agent: str,
        key: KeyFile,
        *,
        checkpoint_records: int = CHECKPOINT_RECORDS,
        keep_days: int | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        if keep_days is not None and keep_days < KEEP_DAYS_MIN:
            raise ValueError(f"keep_days must be {KEEP_DAYS_MIN} or more")
        if key.kind is not KeyKind.AUDIT or key.public is None:
            raise Refused(reasons.BAD_KEY_FILE, f"{key.name} is a {key.kind} key")
        self._folder, self._agent = folder, agent
        self._signing, self._key_id = key.signing_key(), key.public.key_id
        self._checkpoint_records, self._keep_days = checkpoint_records, keep_days
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._unsigned = 0
        self._file = self._locked_folder = -1
        self._closed = False
        try:
            self._open()
        except OSError as error:
            self._release()
            raise self._fault(error) from error
        except BaseException:
            self._release()
            raise

    def record(self, event: str, /, *, durable: bool = False, **fields: object) -> None:
        """Add a record. With `durable`, return only when it is on the disk.

        Field values are plain as in logs (ids as bytes become hex), and never message content.
        Raises Unavailable(AUDIT_FULL) if there is no room, StorageFault if a write fails. The
        record then waits for the next write, unless so much waits already (2 * WAITING_BYTES_MAX)
        that it was not taken.
        """
        with self._lock:
            self._check_open()
            self._rotate()
            self._add(event, {name: logs.plain_value(value) for name, value in fields.items()})
            if self._unsigned >= self._checkpoint_records:
                self._checkpoint()
            if durable:
                self._write(durable=True)
            elif self._waiting_bytes > WAITING_BYTES_MAX:
                self._write(durable=False)

    def flush(self, *, durable: bool = False) -> None:
        """Write what was recorded; with `durable`, to the disk. Raises as `record`."""
        with self._lock:
            self._check_open()
            self._write(durable=durable)

    def close(self) -> None:
        """Record the end, sign, write durably. Raises as `record`. A second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._add(audit_format.CLOSED, {})
                self._checkpoint()
                self._write(durable=True)
            finally:
                self._release()

    # --- everything below runs with the lock held, or before anybody has the object -----------

    def _open(self) -> None:
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._locked_folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._locked_folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageFault(
                reasons.STORAGE_FAILED, f"{self._folder}: another process writes this audit trail"
            ) from None
        end = mend_end(self._folder)
        self._n, self._previous = end.last_n, end.last_digest
        # A clock that was set back must not send records to an earlier file.
        self._day = max(end.day or "", audit_format.day_of(self._now_ms()))
        self._open_file()
        self._begin(end)

    def _begin(self, end: TrailEnd) -> None:
        for file, size, digest in end.cut:
            self._add(audit_format.CUT, {"file": file, "bytes": size, "sha256": digest})
            logs.event(_LOG, "audit_torn_end_cut", level=logging.WARNING, file=file, bytes=size)
        # Whoever could write here while no agent ran could have added records to the unsigned end.
        self._add(audit_format.OPENED, {"continues_n": end.last_n, "unsigned_before": end.unsigned})
        self._expire()
        self._checkpoint()
        self._write(durable=True)

    def _open_file(self) -> None:
        path = self._folder / audit_format.file_name(self._day)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, FILE_MODE)
        os.fchmod(self._file, FILE_MODE)
        sync_folder(self._folder)

    def _add(self, event: str, fields: dict[str, object]) -> None:
        if self._waiting_bytes > 2 * WAITING_BYTES_MAX:
            self._write(durable=False)  # raises: too much waits already to keep this record too
        line = audit_format.plain_line(
            n=self._n + 1,
            at_ms=self._now_ms(),
            agent=self._agent,
            event=event,
            prev=self._previous,
            fields=fields,
        )
        self._append(line)
        self._unsigned += 1

    def _checkpoint(self) -> None:
        line = audit_format.checkpoint_line(
            n=self._n + 1,
            at_ms=self._now_ms(),
            agent=self._agent,
            prev=self._previous,
            key=self._signing,
            key_id=self._key_id,
        )
        self._append(line)
        self._unsigned = 0
        logs.event(_LOG, "audit_checkpoint", n=self._n, digest=self._previous)

    def _append(self, line: bytes) -> None:
        if len(line) > audit_format.LINE_BYTES_MAX:
            raise ValueError("an audit record is too long")
        self._waiting.append(line + b"\n")
        self._waiting_bytes += len(line) + 1
        self._n += 1
        self._previous = audit_format.line_digest(line)

    def _rotate(self) -> None:
        today = audit_format.day_of(self._now_ms())
        if today <= self._day:
            return
        try:
            self._checkpoint()
            self._write(durable=True)
            os.close(self._file)
            self._file = -1
            self._day = today
            self._open_file()
            self._expire()
        except OSError as error:
            raise self._fault(error) from error

    def _expire(self) -> None:
        """Delete what is older than asked for, after recording which and where the rest begins."""
        if self._keep_days is None:
            return
        oldest = audit_format.day_of(self._now_ms() - self._keep_days * _DAY_MS)
        expired = [
            path
            for path in trail_files(self._folder)[: -self._keep_days]
            if (audit_format.day_in_name(path.name) or oldest) < min(oldest, self._day)
        ]
        if not expired:
            return
        last = _last_line(expired[-1])
        if last is None:
            return
        self._add(
            audit_format.EXPIRED,
            {
                "first_file": expired[0].name,
                "last_file": expired[-1].name,
                "last_n": last.n,
                "last_digest": last.digest,
            },
        )
        self._checkpoint()
        self._write(durable=True)
        for path in expired:
            path.unlink()

    def _write(self, *, durable: bool) -> None:
        """Append what waits, all or nothing: a half-written line is taken back and kept waiting."""
        try:
            if self._waiting:
                data = b"".join(self._waiting)
                size = os.fstat(self._file).st_size
                try:
                    _write_all(self._file, data)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(self._file, size)
                    raise
                self._waiting.clear()
                self._waiting_bytes = 0
            if durable:
                os.fdatasync(self._file)
        except OSError as error:
            raise self._fault(error) from error

    def _check_open(self) -> None:
        if self._closed:
            raise StorageFault(reasons.STORAGE_FAILED, f"{self._folder}: audit trail is closed")

    def _release(self) -> None:
        for number in (self._file, self._locked_folder):
            if number >= 0:
                os.close(number)
        self._file = self._locked_folder = -1

    def _fault(self, error: OSError) -> FerryError:
        where = f"{self._folder}: {error.strerror}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return Unavailable(reasons.AUDIT_FULL, where)
        return StorageFault(reasons.STORAGE_FAILED, where)


def _write_all(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


def _last_line(path: Path) -> audit_format.Record | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2 * audit_format.LINE_BYTES_MAX))
        lines = file.read().split(b"\n")
    with suppress(ValueError, IndexError):
        return audit_format.parse_line(lines[-2])
    return None
