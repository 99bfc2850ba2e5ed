"""Suite 1: Ed25519 over SHA-256, HPKE with ML-KEM-768/X25519, AES-256-GCM.

SPEC.md, chapter 5. The hybrid KEM keeps patient data secret even if one of its two halves falls:
X25519 to a quantum computer, ML-KEM to a flaw found later. HPKE (RFC 9180, base mode) carries one
random epoch secret; every file's key is derived from it with the file's own place in the stream.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NUMBER: Final = 1
DIGEST_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
VERIFY_KEY_BYTES: Final = 32
MLKEM_PUBLIC_BYTES: Final = 1184
MLKEM_SEED_BYTES: Final = 64
X25519_BYTES: Final = 32
RECEIVE_PUBLIC_BYTES: Final = MLKEM_PUBLIC_BYTES + X25519_BYTES
RECEIVE_PRIVATE_BYTES: Final = MLKEM_SEED_BYTES + X25519_BYTES
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
EPOCH_SECRET_BYTES: Final = 32
KEM_CIPHERTEXT_BYTES: Final = 1120
ENCAPSULATION_BYTES: Final = KEM_CIPHERTEXT_BYTES + EPOCH_SECRET_BYTES + TAG_BYTES

_SIGNATURE_CONTEXT: Final = b"ferry-file-1\x00"
_EPOCH_CONTEXT: Final = b"ferry-epoch-1\x00"
_FILE_KEY_CONTEXT: Final = b"ferry-file-key-1\x00"

_FIELD: Final = 2**255 - 19
_SIGN_BIT: Final = 2**255

_HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def digest(signed_part: bytes | memoryview) -> bytes:
    """A file's digest: SHA-256 of all its bytes before the signature."""
    return hashlib.sha256(signed_part).digest()


def sign(key: Ed25519PrivateKey, file_digest: bytes) -> bytes:
    """Sign a file's digest, in the format's own context."""
    return key.sign(_SIGNATURE_CONTEXT + file_digest)


def signature_holds(key: Ed25519PublicKey, file_digest: bytes, signature: bytes) -> bool:
    """Whether `signature` is this key's over this file's digest."""
    try:
        key.verify(signature, _SIGNATURE_CONTEXT + file_digest)
    except InvalidSignature:
        return False
    return True


def verify_key(raw: bytes) -> Ed25519PublicKey:
    """The key that verifies, from its 32 bytes.

    Raises ValueError if the bytes are no such key, or one of small order: under such a key
    signatures hold that nobody made.
    """
    y = int.from_bytes(raw, "little") & (_SIGN_BIT - 1)
    # y = 1 is the neutral element, which has no counterpart on X25519's curve.
    if y >= _FIELD or y == 1:
        raise ValueError("no Ed25519 key, or one of small order")
    counterpart = (1 + y) * pow(1 - y, -1, _FIELD) % _FIELD
    _refuse_small_order(X25519PublicKey.from_public_bytes(counterpart.to_bytes(32, "little")))
    return Ed25519PublicKey.from_public_bytes(raw)


def _refuse_small_order(key: X25519PublicKey) -> None:
    """Raise ValueError if every secret shared with this key is zero (RFC 7748, section 6.1)."""
    X25519PrivateKey.from_private_bytes(b"\1" * X25519_BYTES).exchange(key)


def receive_public_key(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    """The hybrid public key from its 1,216 bytes: ML-KEM-768, then X25519.

    Raises ValueError if the bytes are no such key, or its X25519 part is of small order.
    """
    if len(raw) != RECEIVE_PUBLIC_BYTES:
        raise ValueError("a receiving key has 1,216 public bytes")
    share = X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC_BYTES:])
    _refuse_small_order(share)
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC_BYTES]), share
    )


def receive_private_key(raw: bytes) -> tuple[hpke.MLKEM768X25519PrivateKey, bytes]:
    """The hybrid private key from its 96 bytes (ML-KEM seed, then X25519), and its public bytes.

    Raises ValueError if the bytes are no such key.
    """
    if len(raw) != RECEIVE_PRIVATE_BYTES:
        raise ValueError("a receiving key has 96 private bytes")
    mlkem = MLKEM768PrivateKey.from_seed_bytes(raw[:MLKEM_SEED_BYTES])
    x25519 = X25519PrivateKey.from_private_bytes(raw[MLKEM_SEED_BYTES:])
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return hpke.MLKEM768X25519PrivateKey(mlkem, x25519), public


def encapsulate(receiver: hpke.MLKEM768X25519PublicKey, context: bytes) -> tuple[bytes, bytes]:
    """A new epoch: its 32-byte secret, and the 1,168 bytes that carry it to `receiver`.

    `context` binds the epoch to lane, keys and stream (SPEC.md 5.1).
    """
    secret = os.urandom(EPOCH_SECRET_BYTES)
    return secret, _HPKE.encrypt(secret, receiver, _EPOCH_CONTEXT + context)


def decapsulate(
    encapsulation: bytes, receiver: hpke.MLKEM768X25519PrivateKey, context: bytes
) -> bytes | None:
    """The epoch secret, or None if the encapsulation does not open with this key and context."""
    try:
        secret = _HPKE.decrypt(encapsulation, receiver, _EPOCH_CONTEXT + context)
    except (InvalidTag, ValueError):
        return None
    return secret if len(secret) == EPOCH_SECRET_BYTES else None


def encrypt(epoch_secret: bytes, place: bytes, header: bytes, plaintext: bytes) -> bytes:
    """Nonce, ciphertext and tag of one file's content.

    `place` is stream id and sequence; `header` every byte of the frame before the ciphertext.
    The nonce is random although the key serves one file only: should a sequence number ever be
    sealed twice in one epoch, nothing is revealed.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_file_key(epoch_secret, place)).encrypt(nonce, plaintext, header)


def decrypt(epoch_secret: bytes, place: bytes, header: bytes, ciphertext: bytes) -> bytes | None:
    """What `encrypt` took, or None if the bytes were not made by it with the same arguments."""
    nonce, sealed = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
    try:
        return AESGCM(_file_key(epoch_secret, place)).decrypt(nonce, sealed, header)
    except InvalidTag:
        return None


def _file_key(epoch_secret: bytes, place: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=_FILE_KEY_CONTEXT + place).derive(epoch_secret)
