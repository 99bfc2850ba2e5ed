"""The security administrator's policy: verified before it is parsed.

The signature stands beside the policy in POLICY.sig, ASCII, three lines:

    ferry-policy-signature-1
    key HEX                     the 32 bytes of the signer's key id
    ed25519 BASE64              the signature's 64 bytes

It covers the prefix ``ferry-policy-1``, a zero byte, and the policy's exact bytes. The key id only
serves to tell "signed by somebody else" from "changed after signing"; trust comes from the public
key that the agent was given. Files that the policy names (JSON Schemas) are covered by their
SHA-256 in the policy.

An older policy of the same administrator carries a valid signature too: who may write the file can
bring it back. Agents write the SHA-256 of the policy in force (`origin.sha256`) to the audit trail.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from cryptography.exceptions import InvalidSignature

from ferry_format import reasons
from ferry_format.keys import KeyFile, KeyKind, PublicKey
from ferry_format.reasons import Refused
from ferry_runtime import secrets
from ferry_runtime.configuration import DOCUMENT_BYTES_MAX, Document, parse
from ferry_runtime.regular_file import read_regular
from ferry_runtime.whole_file import replace_file
from validators.policy import SchemaFile

SCHEMA_BYTES_MAX: Final = 4 * 1024 * 1024
SIGNATURE_FILE_BYTES_MAX: Final = 1024

_FORMAT: Final = "ferry-policy-signature-1"
_PREFIX: Final = b"ferry-policy-1\x00"
_SIGNATURE = re.compile(
    rf"{_FORMAT}\nkey ([0-9a-f]{{64}})\ned25519 ([A-Za-z0-9+/]{{86}}==)\n", re.ASCII
)
_SIGNATURE_MODE: Final = 0o644

M = TypeVar("M", bound=Document)


def load_signed(model: type[M], path: Path, security_admin_public: Path) -> M:
    """The policy at `path`, whose signature in `path`.sig holds.

    Raises Refused(POLICY_NOT_SIGNED), Refused(BAD_KEY_FILE) if the administrator's public key
    cannot be used, or ConfigurationError if what was signed is no valid policy.
    """
    data = _read(path, DOCUMENT_BYTES_MAX)
    signature = _read(signature_path(path), SIGNATURE_FILE_BYTES_MAX)
    key = secrets.read_public_key(security_admin_public, KeyKind.SECURITY_ADMIN)
    verify(data, signature, key, str(path))
    return parse(model, data, path)


def verify(data: bytes, signature_file: bytes, key: PublicKey, where: str) -> None:
    """Return if `signature_file` is `key`'s signature of `data`; Refused(POLICY_NOT_SIGNED) if not.

    `where` names the policy in the error.
    """
    found = _SIGNATURE.fullmatch(signature_file.decode("ascii", "replace"))
    if found is None:
        raise Refused(reasons.POLICY_NOT_SIGNED, f"{where}.sig is not a policy signature")
    if found[1] != key.key_id.hex():
        raise Refused(reasons.POLICY_NOT_SIGNED, f"{where} was signed with another key")
    try:
        key.ed25519().verify(_decoded(found[2], where), _PREFIX + data)
    except InvalidSignature:
        raise Refused(
            reasons.POLICY_NOT_SIGNED, f"{where} was changed after it was signed"
        ) from None


def sign(path: Path, key: KeyFile) -> Path:
    """Sign the policy at `path` with the security administrator's key; the signature's path.

    Raises Refused(BAD_KEY_FILE) if `key` is another kind of key, OSError from reading or writing.
    """
    if key.kind is not KeyKind.SECURITY_ADMIN or key.public is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{key.name} is a {key.kind} key")
    data = read_regular(path, DOCUMENT_BYTES_MAX)
    signature = base64.b64encode(key.signing_key().sign(_PREFIX + data)).decode()
    text = f"{_FORMAT}\nkey {key.public.key_id.hex()}\ned25519 {signature}\n"
    target = signature_path(path)
    replace_file(target, text.encode(), _SIGNATURE_MODE)
    return target


def signature_path(path: Path) -> Path:
    """Where the detached signature of the policy at `path` stands."""
    return path.with_name(path.name + ".sig")


def read_schema(folder: Path, name: str, sha256: str) -> bytes:
    """The file `name` under the policy's `folder`, if it is the one that the policy means.

    Raises Refused(POLICY_NOT_SIGNED) with a `where` for people if the name leaves the folder, the
    file cannot be read, is a link or too large, or its SHA-256 is another.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise Refused(reasons.POLICY_NOT_SIGNED, f"{name}: not a name inside the policy's folder")
    try:
        for count in range(1, len(parts)):
            if folder.joinpath(*parts[:count]).is_symlink():
                raise Refused(reasons.POLICY_NOT_SIGNED, f"{name}: passes a symbolic link")
        data = read_regular(folder / name, SCHEMA_BYTES_MAX)
    except OSError as error:
        raise Refused(reasons.POLICY_NOT_SIGNED, f"{name}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Refused(
            reasons.POLICY_NOT_SIGNED, f"{name}: is not the file that was signed (its SHA-256)"
        )
    return data


def read_schemas(folder: Path, wanted: Iterable[SchemaFile]) -> dict[str, bytes]:
    """Every wanted schema, by file name. Raises Refused as read_schema does."""
    return {one.file: read_schema(folder, one.file, one.sha256) for one in wanted}


def _decoded(text: str, where: str) -> bytes:
    data = base64.b64decode(text)
    # Two bits of the last digit carry nothing; only one spelling of a signature is taken.
    if base64.b64encode(data).decode() != text:
        raise Refused(reasons.POLICY_NOT_SIGNED, f"{where}.sig is not base64")
    return data


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        return read_regular(path, bytes_max)
    except FileNotFoundError:
        where = f"{path} is not there; init --signed puts it there once it came back signed"
        raise Refused(reasons.POLICY_NOT_SIGNED, where) from None
    except OSError as error:
        raise Refused(reasons.POLICY_NOT_SIGNED, f"{path}: {error.strerror}") from None
