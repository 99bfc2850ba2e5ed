"""Suite 1 without its cost: the bytes have their places and sizes, and nothing is secret."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ferry_format.suites import ed25519_hybrid as suite_1

_TAIL = bytes(suite_1.NONCE_BYTES + suite_1.TAG_BYTES)
_SECRET = bytes(suite_1.EPOCH_SECRET_BYTES)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what takes time; who changes a bit of a file is still found out."""
    for name in ("sign", "signature_holds", "encapsulate", "decapsulate", "encrypt", "decrypt"):
        monkeypatch.setattr(suite_1, name, globals()[f"_{name}"])


def _sign(_key: Any, file_digest: bytes) -> bytes:
    return hashlib.sha512(file_digest).digest()


def _signature_holds(_key: Any, file_digest: bytes, signature: bytes) -> bool:
    return bytes(signature) == _sign(None, file_digest)


def _encapsulate(_receiver: Any, _context: bytes) -> tuple[bytes, bytes]:
    return _SECRET, bytes(suite_1.ENCAPSULATION_BYTES)


def _decapsulate(_encapsulation: bytes, _receiver: Any, _context: bytes) -> bytes:
    return _SECRET


def _encrypt(_secret: bytes, _place: bytes, _header: bytes, plaintext: bytes) -> bytes:
    return plaintext + _TAIL


def _decrypt(_secret: bytes, _place: bytes, _header: bytes, ciphertext: bytes) -> bytes:
    return bytes(ciphertext[: -len(_TAIL)])
