"""How the spool's database is laid out, made and opened, and what its faults are."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.container import GENESIS_DIGEST
from ferry_format.identifiers import new_stream_id
from ferry_format.reasons import FerryError, StorageFault, Unavailable

SCHEMA_VERSION: Final = 1
_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_ERRORS: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})

_SCHEMA: Final = """
CREATE TABLE stream (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  stream_id BLOB NOT NULL,
  created_at_ms INTEGER NOT NULL,
  last_sequence INTEGER NOT NULL,
  last_digest BLOB NOT NULL,
  retention_at_ms INTEGER
);
CREATE TABLE channels (
  channel TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE files (
  sequence INTEGER PRIMARY KEY,
  digest BLOB NOT NULL,
  sealed_at_ms INTEGER NOT NULL,
  entries INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  published INTEGER NOT NULL,
  data BLOB NOT NULL
);
CREATE INDEX files_unpublished ON files (sequence) WHERE published = 0;
CREATE INDEX files_by_time ON files (sealed_at_ms, bytes);
CREATE TABLE fingerprints (
  key_digest BLOB NOT NULL,
  body_digest BLOB NOT NULL,
  message_id BLOB NOT NULL,
  accepted_at_ms INTEGER NOT NULL,
  PRIMARY KEY (key_digest, body_digest)
) WITHOUT ROWID;
CREATE INDEX fingerprints_by_time ON fingerprints (accepted_at_ms);
CREATE TABLE open_objects (
  message_id BLOB PRIMARY KEY,
  channel TEXT NOT NULL
) WITHOUT ROWID;
"""


def open_for_writing(path: Path, now_ms: int) -> sqlite3.Connection:
    """Open the spool, or make an empty one with a new stream. Raises StorageFault, Unavailable."""
    with spool_faults(path):
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA wal_autocheckpoint = 4000")
        if _version(database) == 0:
            _create(database, now_ms)
        _check_version(database, path)
        # After a sync that failed, the WAL may hold a commit in the page cache alone: it is
        # written anew into the database before anything is built on it.
        database.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    path.chmod(0o600)
    return database


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing spool beside a running agent. Raises StorageFault."""
    with spool_faults(path):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            _check_version(database, path)
            database.execute("SELECT 1 FROM stream").fetchone()
        except BaseException:
            database.close()
            raise
    return database


@contextmanager
def spool_faults(path: Path) -> Iterator[None]:
    """Tell a full disk, which passes, from a disk that failed, which does not."""
    try:
        yield
    except FerryError:
        raise
    except OSError as error:
        if error.errno in _FULL_ERRNOS:
            raise Unavailable(reasons.MEDIUM_FULL, f"spool {path}") from error
        where = f"spool {path}: {error.strerror}"
        raise StorageFault(reasons.STORAGE_FAILED, where) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL_ERRORS:
            raise Unavailable(reasons.MEDIUM_FULL, f"spool {path}") from error
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StorageFault(reasons.STORAGE_FAILED, f"spool {path}: {name}") from error


def _create(database: sqlite3.Connection, now_ms: int) -> None:
    database.executescript(
        f"PRAGMA auto_vacuum = INCREMENTAL; BEGIN IMMEDIATE; {_SCHEMA}"
        f"PRAGMA user_version = {SCHEMA_VERSION};"
    )
    database.execute(
        "INSERT INTO stream VALUES (1, ?, ?, 0, ?, NULL)",
        (new_stream_id(), now_ms, GENESIS_DIGEST),
    )
    database.execute("COMMIT")


def _check_version(database: sqlite3.Connection, path: Path) -> None:
    version = _version(database)
    if version != SCHEMA_VERSION:
        other = "newer than" if version > SCHEMA_VERSION else "not that of"
        where = f"{path}: schema {version} is {other} this program, which reads {SCHEMA_VERSION}"
        raise StorageFault(reasons.STORAGE_FAILED, where)


def _version(database: sqlite3.Connection) -> int:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version
