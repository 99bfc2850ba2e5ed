"""Payloads at rest: AES-256-GCM under the journal key, bound to the message and to their purpose.

A sealed payload is `key id (1 byte) || nonce (12) || ciphertext || tag (16)`. The nonce is random:
NIST SP 800-38D, section 8.3, allows 2^32 of them under one key, which is nineteen years at 0.6
million messages a day; rotate the journal key before. Message id and purpose are authenticated, so
that no stored payload can be put in another's place.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ferry_format import reasons
from ferry_format.keys import KeyFile, KeyKind
from ferry_format.reasons import Refused, StorageFault
from ferry_runtime.secrets import read_key

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + TAG_BYTES


class Purpose(enum.Enum):
    """What sealed bytes are; a payload of one purpose never opens as one of another."""

    MESSAGE = b"ferry-journal-message-1"
    QUARANTINE = b"ferry-journal-quarantine-1"
    PART = b"ferry-journal-part-1"


class PayloadCipher:
    """Seals under the first key, unseals under any of them; safe for use by several threads."""

    def __init__(self, key: bytes, *older: bytes) -> None:
        """`key` seals; `older` keys only unseal. Each has 32 bytes, else Refused(BAD_KEY_FILE)."""
        self._ciphers: list[tuple[int, AESGCM]] = []
        self._digest_key = hashlib.sha256(b"ferry-journal-digest-key-1\x00" + key).digest()
        for raw in (key, *older):
            if len(raw) != KEY_BYTES:
                raise Refused(reasons.BAD_KEY_FILE, f"a journal key has {KEY_BYTES} bytes")
            self._ciphers.append((_key_id(raw), AESGCM(raw)))

    @classmethod
    def from_key_file(cls, path: Path, *older: Path) -> PayloadCipher:
        """Read key files of kind ferry-journal-1.

        Raises Refused: KEY_FILE_EXPOSED or BAD_KEY_FILE.
        """
        return cls(*(_secret(read_key(file, KeyKind.JOURNAL)) for file in (path, *older)))

    def keyed_digest(self, data: bytes) -> bytes:
        """16 bytes that tell equal data from other, and say nothing to who lacks the key."""
        return hmac.digest(self._digest_key, data, "sha256")[:16]

    def seal(
        self, message_id: bytes, plaintext: bytes, purpose: Purpose = Purpose.MESSAGE
    ) -> bytes:
        """Encrypt; `message_id` is what the bytes belong to, of any length."""
        key_id, cipher = self._ciphers[0]
        nonce = os.urandom(NONCE_BYTES)
        sealed = cipher.encrypt(nonce, plaintext, _associated(key_id, message_id, purpose))
        return bytes((key_id,)) + nonce + sealed

    def unseal(self, message_id: bytes, sealed: bytes, purpose: Purpose = Purpose.MESSAGE) -> bytes:
        """Decrypt what `seal` returned.

        Raises StorageFault if no key opens it: the row was changed, or the key is another one.
        """
        if len(sealed) >= OVERHEAD_BYTES:
            nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
            associated = _associated(sealed[0], message_id, purpose)
            for key_id, cipher in self._ciphers:
                if key_id != sealed[0]:
                    continue
                try:
                    return cipher.decrypt(nonce, ciphertext, associated)
                except InvalidTag:
                    continue
        raise StorageFault(
            reasons.STORAGE_FAILED,
            f"{message_id.hex()}: the stored payload does not open with the journal key",
        )


def _key_id(raw: bytes) -> int:
    return hashlib.sha256(b"ferry-journal-key-id-1\x00" + raw).digest()[0]


def _associated(key_id: int, message_id: bytes, purpose: Purpose) -> bytes:
    return purpose.value + b"\x00" + bytes((key_id,)) + message_id


def _secret(key: KeyFile) -> bytes:
    if key.private is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{key.name} has no private part")
    return key.private
