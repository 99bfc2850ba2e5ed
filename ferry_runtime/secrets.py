"""Secrets from files: read only where nobody else could have read or written them.

A secret's file is regular, no link, belongs to this process's user or to root, and no one else has
any right on it. systemd credentials (files under $CREDENTIALS_DIRECTORY) are root's or ours too;
systemd may show their ACL as group read, which is let pass there and only there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from ferry_format import keys, reasons
from ferry_format.keys import KeyFile, KeyKind, PublicKey
from ferry_format.reasons import Refused
from ferry_runtime.regular_file import StatusCheck, read_regular

SECRET_BYTES_MAX: Final = 64 * 1024

_OTHERS: Final = 0o077
_OTHERS_CREDENTIAL: Final = 0o037


def read_secret(path: Path) -> bytes:
    """The bytes of a secret file.

    Raises Refused(KEY_FILE_EXPOSED) if others may read or write it or it belongs to another user,
    Refused(BAD_KEY_FILE) if it is missing, unreadable, no regular file, a link, or too large.
    """
    forbidden = _OTHERS_CREDENTIAL if is_credential(path) else _OTHERS

    def check(status: os.stat_result) -> None:
        if status.st_uid not in (0, os.geteuid()):
            raise Refused(reasons.KEY_FILE_EXPOSED, f"{path}: belongs to uid {status.st_uid}")
        if status.st_mode & forbidden:
            mode = stat.S_IMODE(status.st_mode)
            raise Refused(reasons.KEY_FILE_EXPOSED, f"{path}: mode {mode:04o}")

    return _read(path, check)


def read_key(path: Path, kind: KeyKind) -> KeyFile:
    """The private key in a key file. Raises Refused as read_secret, or if it is not of `kind`."""
    key = _parsed(read_secret(path), path)
    if key.kind is not kind or key.private is None:
        part = "private" if key.private is not None else "public"
        raise Refused(
            reasons.BAD_KEY_FILE, f"{path}: holds a {part} {key.kind} key, not a private {kind} key"
        )
    return key


def read_public_key(path: Path, kind: KeyKind) -> PublicKey:
    """The public key in a public key's file (any mode). Raises Refused(BAD_KEY_FILE)."""
    key = _parsed(_read(path), path)
    if key.private is not None:
        raise Refused(
            reasons.BAD_KEY_FILE, f"{path}: holds a private key where a public key is wanted"
        )
    if key.kind is not kind or key.public is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{path}: holds a {key.kind} key, not a {kind} key")
    return key.public


def is_credential(path: Path) -> bool:
    """Whether `path` lies directly in the folder of this service's systemd credentials."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return folder is not None and Path(folder).is_absolute() and path.parent == Path(folder)


def _parsed(data: bytes, path: Path) -> KeyFile:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise Refused(reasons.BAD_KEY_FILE, f"{path}: not a key file") from None
    return keys.parse_key_file(text, str(path))


def _read(path: Path, check: StatusCheck | None = None) -> bytes:
    try:
        return read_regular(path, SECRET_BYTES_MAX, check)
    except OSError as error:
        raise Refused(reasons.BAD_KEY_FILE, f"{path}: {error.strerror}") from None
