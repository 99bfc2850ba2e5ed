"""A backup of an agent's state, taken while it runs, and put back on a host that has none.

A database is copied as it stood at one moment. The files beside it are copied before that moment
and again after it: none of them changes once a row names it, so every one that the database names
is there. What no row names is an orphan, which an agent removes at its start. The manifest is
written last: a backup without one broke off.

The manifest tells a damaged or incomplete backup, not a forged one: whoever can write a backup can
write its manifest. No key is ever part of a backup, so that one alone gives no payload away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ferry_format import reasons
from ferry_format.reasons import Refused, StorageFault
from ferry_runtime.problem_words import Mistake
from ferry_runtime.regular_file import read_regular
from ferry_runtime.whole_file import create_file, sync_folder

MANIFEST_NAME: Final = "manifest.json"
_MANIFEST_BYTES_MAX: Final = 256 * 1024 * 1024
_FOLDER_MODE: Final = 0o700
_MANIFEST_MODE: Final = 0o600
_BUSY_TIMEOUT_S: Final = 5.0
_PIECE_BYTES: Final = 1024 * 1024
_NOT_FOLLOWED: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GROUP_READS, _GROUP_ENTERS = 0o040, 0o050

Side = Literal["outer", "inner"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BackupFile(_Value):
    """One file of a backup: its place in it, its size, its SHA-256 and the mode it had."""

    path: str
    bytes: int
    sha256: str
    mode: int


class Manifest(_Value):
    """What belongs to a backup. `made` is the moment before the first copy, ISO 8601."""

    format: Literal["ferry-backup-1"]
    side: Side
    agent: str
    made: str
    files: tuple[BackupFile, ...]


@contextmanager
def new_backup(
    folder: Path, side: Side, agent: str, now: datetime, databases: Iterable[Path]
) -> Iterator[None]:
    """Make the folder; once the block has filled it, write the manifest.

    Raises Mistake if there is something in the folder or no database yet, OSError.
    """
    for path in databases:
        if not path.exists():
            raise Mistake(
                f"{path} is not there: there is nothing to back up",
                "Start the agent first, or name the configuration of one that ran by --config",
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Mistake(f"{folder} is not empty", "Give each backup a new folder")
    folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    folder.chmod(_FOLDER_MODE)
    yield
    files = tuple(_described(folder, path) for path in _files_below(folder))
    for parent in {(folder / one.path).parent for one in files}:
        sync_folder(parent)
    made = now.isoformat(timespec="seconds")
    manifest = Manifest(format="ferry-backup-1", side=side, agent=agent, made=made, files=files)
    text = manifest.model_dump_json(indent=1)
    create_file(folder / MANIFEST_NAME, text.encode(), _MANIFEST_MODE)


@contextmanager
def moment_of(database: Path) -> Iterator[sqlite3.Connection]:
    """The database as it is now, read-only, whatever others commit until the block is left.

    Raises StorageFault, and OSError if it is not there.
    """
    _check_own(database, database.lstat(), database.parent.stat().st_uid)
    with _faults(database):
        uri = f"{database.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False
        )
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            yield connection
        finally:
            connection.close()


def copy_database(moment: sqlite3.Connection, source: Path, target: Path) -> None:
    """Write the database, as `moment` sees it, as one file, and look it over.

    Raises StorageFault if there is no room or the copy is damaged.
    """
    with _faults(target):
        copy = sqlite3.connect(target, isolation_level=None)
        try:
            moment.backup(copy)
            [found] = copy.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            copy.close()
    if found != "ok":
        raise StorageFault(reasons.BACKUP_FAILED, f"{source} is damaged")
    as_one_file(target)
    shutil.copymode(source, target)


def as_one_file(database: Path) -> None:
    """Leave a copied database without a log beside it, so that it opens on a read-only disk."""
    with _faults(database):
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        connection.close()


def copy_files(source: Path, target: Path) -> None:
    """Copy every file below `source` that `target` has not, or has of another size.

    Dot names, which are being written, are left out, and so is what goes away meanwhile. To be
    called before and after the database's moment. Raises StorageFault for what is not the agent's
    own file, and OSError.
    """
    target.mkdir(_FOLDER_MODE, exist_ok=True)
    owner_uid = source.parent.stat().st_uid
    for path in _files_below(source):
        copied = target / path.relative_to(source)
        with suppress(FileNotFoundError):
            if not copied.exists() or copied.stat().st_size != path.stat().st_size:
                copied.parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
                _copy_own(path, copied, owner_uid)


def verified(folder: Path, side: Side) -> Manifest:
    """The manifest of a backup that is whole. Raises Refused(BAD_BACKUP)."""
    try:
        data = read_regular(folder / MANIFEST_NAME, _MANIFEST_BYTES_MAX)
    except OSError as error:
        raise _bad(f"{folder / MANIFEST_NAME}: {error.strerror}") from None
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError:
        raise _bad(f"{folder / MANIFEST_NAME} is not a backup's manifest") from None
    if manifest.side != side:
        raise _bad(f"it is of the {manifest.side}, and this is the {side}")
    for file in manifest.files:
        _check(folder, file)
    return manifest


def owner_of(state_dir: Path) -> os.stat_result:
    """Whose what is restored into a state folder will be. Raises Mistake if there is none."""
    try:
        return state_dir.stat()
    except FileNotFoundError:
        raise Mistake(
            f"{state_dir} is not there",
            "Install the package, or mount or make that folder, and give it to the agent's user",
        ) from None


def put_back(folder: Path, file: BackupFile, target: Path, owner: os.stat_result) -> None:
    """Copy one file of a verified backup to `target`, durably, for `owner`, with its old mode.

    The folders between are made. Raises FileExistsError if something is there, and OSError.
    """
    for parent in reversed([one for one in target.parents if not one.exists()]):
        parent.mkdir()
        parent.chmod(_FOLDER_MODE | (_GROUP_ENTERS if file.mode & _GROUP_READS else 0))
        _give(parent, owner)
        sync_folder(parent.parent)
    with (folder / file.path).open("rb") as source, target.open("xb") as copy:
        _give(target, owner)
        os.fchmod(copy.fileno(), file.mode)
        shutil.copyfileobj(source, copy, _PIECE_BYTES)
        copy.flush()
        os.fsync(copy.fileno())
    sync_folder(target.parent)


def _copy_own(path: Path, copied: Path, owner_uid: int) -> None:
    """Copy a file, if it is an ordinary one of the agent's.

    Root takes backups, and the agent's user may be in other hands: a link that it planted would
    bring what it may not read into the backup, and back into its own folder by a restore.
    """
    with os.fdopen(os.open(path, _NOT_FOLLOWED), "rb") as source:
        status = os.fstat(source.fileno())
        _check_own(path, status, owner_uid)
        with copied.open("wb") as copy:
            shutil.copyfileobj(source, copy, _PIECE_BYTES)
            os.fchmod(copy.fileno(), status.st_mode & 0o777)


def _check_own(path: Path, status: os.stat_result, owner_uid: int) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != owner_uid:
        raise StorageFault(reasons.BACKUP_FAILED, f"{path} is not an ordinary file of the agent's")


def _give(path: Path, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _check(folder: Path, file: BackupFile) -> None:
    parts = PurePosixPath(file.path).parts
    if not parts or file.path.startswith("/") or ".." in parts:
        raise _bad(f"{file.path} leads out of it")
    path = folder / file.path
    try:
        same = path.is_symlink() is False and _described(folder, path).sha256 == file.sha256
    except OSError as error:
        raise _bad(f"{path}: {error.strerror}") from None
    if not same:
        raise _bad(f"{path} is not as it was when the backup was taken")


def _described(folder: Path, path: Path) -> BackupFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        status = os.fstat(file.fileno())
        os.fsync(file.fileno())
    return BackupFile(
        path=path.relative_to(folder).as_posix(),
        bytes=status.st_size,
        sha256=digest,
        mode=status.st_mode & 0o777,
    )


def _files_below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names) if not name.startswith("."))


def _bad(where: str) -> Refused:
    return Refused(reasons.BAD_BACKUP, where)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StorageFault(reasons.BACKUP_FAILED, f"{path}: {name}") from error
