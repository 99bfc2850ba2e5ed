"""Keys as files and as text: make, write, read, name by fingerprint, and trust.

A key file is TOML with four keys (kind, name, created, and `private` or `public`); a public key in
a policy is one token, ``PREFIX:BASE64URL``, whose last four bytes are a checksum, so that a
mistyped key is told from a strange one. SPEC.md, chapter 3.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ferry_format import reasons
from ferry_format.identifiers import is_name
from ferry_format.reasons import Refused
from ferry_format.suites import ed25519_hybrid

_CHECKSUM_BYTES: Final = 4
_FINGERPRINT_CHARS: Final = 32


class KeyKind(StrEnum):
    """What a key is for; a key of one kind is never taken for another."""

    SIGN = "ferry-sign-1"
    RECEIVE = "ferry-receive-1"
    SECURITY_ADMIN = "ferry-security-admin-1"
    AUDIT = "ferry-audit-1"
    JOURNAL = "ferry-journal-1"
    DEIDENTIFICATION = "ferry-deidentification-1"


SIGNATURE_KINDS: Final = frozenset({KeyKind.SIGN, KeyKind.SECURITY_ADMIN, KeyKind.AUDIT})
SECRET_ONLY_KINDS: Final = frozenset({KeyKind.JOURNAL, KeyKind.DEIDENTIFICATION})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its kind and raw bytes."""

    kind: KeyKind
    raw: bytes

    @property
    def key_id(self) -> bytes:
        """The 32 bytes that name this key in a frame. A hint only: trust is decided elsewhere."""
        return hashlib.sha256(b"ferry-key-1\x00" + self.kind.encode() + b"\x00" + self.raw).digest()

    @property
    def fingerprint(self) -> str:
        """The first 16 bytes of the key id in groups of four hex digits, to be compared by eye."""
        text = self.key_id.hex()[:_FINGERPRINT_CHARS]
        return " ".join(text[i : i + 4] for i in range(0, len(text), 4))

    @property
    def token(self) -> str:
        """The key as one word for a policy file."""
        check = hashlib.sha256(self.kind.encode() + self.raw).digest()[:_CHECKSUM_BYTES]
        return f"{self.kind}:{base64.urlsafe_b64encode(self.raw + check).decode().rstrip('=')}"

    def ed25519(self) -> Ed25519PublicKey:
        """The key for verifying; only for the kinds that sign."""
        if self.kind not in SIGNATURE_KINDS:
            raise Refused(reasons.BAD_KEY_FILE, f"{self.kind} is no signature key")
        return _ed25519(self.raw)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key as read from its file; `private` is None in a public key's file."""

    kind: KeyKind
    name: str
    created: datetime
    public: PublicKey | None
    private: bytes | None

    def __repr__(self) -> str:
        """Without the private bytes, so that no log line can hold them."""
        return (
            f"KeyFile(kind={self.kind!s}, name={self.name!r}, private={self.private is not None})"
        )

    def signing_key(self) -> Ed25519PrivateKey:
        """The private key for signing. Raises Refused if this is not one."""
        if self.kind not in SIGNATURE_KINDS or self.private is None:
            raise Refused(reasons.BAD_KEY_FILE, f"{self.name} is no private signature key")
        return Ed25519PrivateKey.from_private_bytes(self.private)


def generate(kind: KeyKind, name: str, now: datetime) -> KeyFile:
    """A new key. Raises Refused if `name` is no name."""
    if not is_name(name):
        raise Refused(reasons.BAD_KEY_FILE, "a key's name is lower-case letters, digits, . _ -")
    size = ed25519_hybrid.RECEIVE_PRIVATE_BYTES if kind is KeyKind.RECEIVE else 32
    private = os.urandom(size)
    return KeyFile(
        kind, name, now.astimezone(UTC).replace(microsecond=0), _public(kind, private), private
    )


def private_text(key: KeyFile) -> str:
    """The private key file's text; write it with mode 0600."""
    if key.private is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{key.name} has no private part")
    encoded = base64.b64encode(key.private).decode()
    return _text(
        key, "SECRET. Whoever can read this file can act as this agent.", "private", encoded
    )


def public_text(key: KeyFile) -> str:
    """The public key file's text, for the other side."""
    if key.public is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{key.name} has no public part")
    return _text(key, f"Fingerprint: {key.public.fingerprint}", "public", key.public.token)


def _text(key: KeyFile, comment: str, part: str, value: str) -> str:
    created = key.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"# {comment}\n"
        f'kind = "{key.kind}"\nname = "{key.name}"\ncreated = {created}\n{part} = "{value}"\n'
    )


def parse_key_file(text: str, where: str) -> KeyFile:
    """Read a key file's text; `where` names the file in errors. Raises Refused(BAD_KEY_FILE)."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # The parser's message may quote the line, and the line may hold the key.
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: not a key file") from None
    part = "private" if "private" in table else "public"
    if table.keys() != {"kind", "name", "created", part}:
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: not the four keys of a key file")
    kind, name, created, value = (table[key] for key in ("kind", "name", "created", part))
    if kind not in list(KeyKind) or not isinstance(created, datetime):
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: kind or created")
    if not isinstance(name, str) or not is_name(name) or not isinstance(value, str):
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: name or {part}")
    if part == "public":
        public = parse_token(value, KeyKind(kind), where)
        return KeyFile(KeyKind(kind), name, created, public, None)
    private = _base64(value, where)
    try:
        return KeyFile(KeyKind(kind), name, created, _public(KeyKind(kind), private), private)
    except ValueError:
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: private") from None


def parse_token(token: str, kind: KeyKind, where: str) -> PublicKey:
    """Read a public key's token. Raises Refused(BAD_KEY_FILE) if it is not one of `kind`."""
    prefix, separator, text = token.partition(":")
    if not separator or prefix != kind:
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: not a {kind} key")
    if re.fullmatch(r"[A-Za-z0-9_-]+", text) is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: not base64url")
    data = _base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), where)
    key = PublicKey(kind, data[:-_CHECKSUM_BYTES])
    if key.token != token:
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: mistyped (the checksum does not hold)")
    try:
        _check_public(key)
    except ValueError:
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: not a {kind} key") from None
    return key


def _base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(reasons.BAD_KEY_FILE, f"{where}: not base64") from None


# A receiver asks for the same few with each file: 12 µs.
@lru_cache(maxsize=64)
def _ed25519(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)


def _public(kind: KeyKind, private: bytes) -> PublicKey | None:
    if kind is KeyKind.RECEIVE:
        return PublicKey(kind, ed25519_hybrid.receive_private_key(private)[1])
    if kind in SIGNATURE_KINDS:
        raw = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
        return PublicKey(kind, raw)
    if len(private) != ed25519_hybrid.EPOCH_SECRET_BYTES:
        raise ValueError("a secret key has 32 bytes")
    return None


def _check_public(key: PublicKey) -> None:
    if key.kind is KeyKind.RECEIVE:
        ed25519_hybrid.receive_public_key(key.raw)
    elif key.kind in SIGNATURE_KINDS:
        ed25519_hybrid.verify_key(key.raw)
    else:
        raise ValueError("this kind has no public part")


@dataclass(frozen=True, slots=True)
class TrustedSender:
    """A sender whose files are accepted: its key, and what the policy lets it do.

    `not_before_ms` and `not_after_ms` are unix milliseconds, inclusive; None is no bound.
    """

    name: str
    key: PublicKey
    suites: frozenset[int]
    channels: frozenset[str]
    not_before_ms: int | None = None
    not_after_ms: int | None = None
    revoked: bool = False


class TrustStore:
    """The trusted senders by key id. Raises Refused if two have the same key."""

    def __init__(self, senders: Iterable[TrustedSender]) -> None:
        self._by_key_id: dict[bytes, TrustedSender] = {}
        for sender in senders:
            if sender.key.kind is not KeyKind.SIGN:
                raise Refused(reasons.BAD_KEY_FILE, f"sender {sender.name}: not a signing key")
            if sender.key.key_id in self._by_key_id:
                raise Refused(reasons.BAD_KEY_FILE, f"sender {sender.name}: key stands twice")
            self._by_key_id[sender.key.key_id] = sender

    def find(self, key_id: bytes) -> TrustedSender | None:
        """The sender whose key has this id."""
        return self._by_key_id.get(key_id)
