"""What is replaced under a key: stable pseudonyms, and the days by which a patient's dates move.

Everything comes from HMAC-SHA256 under a subkey of its own purpose (HKDF-Expand, RFC 5869 2.3; the
secret is uniformly random, so its extract step is left out). Who has no key can neither find the
value behind a pseudonym by trying all identity numbers, nor link two data sets made with two keys.
"""

from __future__ import annotations

import base64
import hmac
from typing import Final
from uuid import UUID

from validators.deidentify.identity_numbers import canonical, looks_personal

SECRET_BYTES: Final = 32
SHIFT_DAYS_MAX: Final = 365
_LABEL: Final = b"ferry-deidentification-1 "
_PSEUDONYM_BYTES: Final = 10  # 80 bits: among 10^8 numbers, two meet with a chance of 4 in 10^9
_UUID_BYTES: Final = 16
_DIGITS_MAX: Final = 64


class Keyed:
    """Replacements under one secret of SECRET_BYTES bytes. Same value, same replacement."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError("a de-identification key has 32 bytes")
        self._number = _subkey(secret, b"number")
        self._digits = _subkey(secret, b"digits")
        self._uid = _subkey(secret, b"uid")
        self._shift = _subkey(secret, b"shift")

    def pseudonym(self, number: str) -> str:
        """16 letters A-Z and digits 2-7 for an identity, insurance or internal number.

        One number has one pseudonym, wherever it stands: in another field, family or channel.
        """
        digest = _digest(self._number, canonical(number).encode())
        return base64.b32encode(digest[:_PSEUDONYM_BYTES]).decode()

    def digits(self, number: str) -> str:
        """As many digits as the number has characters, at most 64, for places that take no letter.

        Never a valid identity number and never a mobile number. Short ones can meet: among
        a million numbers of 12 digits, two do under every second key.
        """
        text = canonical(number)
        for counter in range(256):
            digest = _digest(self._digits, bytes([counter]) + text.encode())
            found = _decimal(digest, min(max(len(text), 1), _DIGITS_MAX))
            if not looks_personal(found):
                return found
        raise AssertionError("256 digests in a row looked like personal numbers")

    def uid(self, uid: str) -> str:
        """A DICOM UID under 2.25 (PS3.5, B.2), of at most 44 characters."""
        return f"2.25.{self._uuid(uid).int}"

    def uuid(self, value: str) -> str:
        """A UUID (version 8, RFC 9562), as FHIR's urn:uuid references need."""
        return str(self._uuid(value))

    def shift_days(self, patient: str) -> int:
        """The days by which all dates of a patient move: -365 to 365, never 0."""
        drawn = int.from_bytes(_digest(self._shift, canonical(patient).encode())[:8], "big")
        days = drawn % (2 * SHIFT_DAYS_MAX) - SHIFT_DAYS_MAX
        return days if days < 0 else days + 1

    def _uuid(self, value: str) -> UUID:
        data = bytearray(_digest(self._uid, value.strip().encode())[:_UUID_BYTES])
        data[6] = data[6] & 0x0F | 0x80
        data[8] = data[8] & 0x3F | 0x80
        return UUID(bytes=bytes(data))


def _subkey(secret: bytes, purpose: bytes) -> bytes:
    return _digest(secret, _LABEL + purpose + b"\x01")


def _digest(key: bytes, value: bytes) -> bytes:
    return hmac.digest(key, value, "sha256")


def _decimal(digest: bytes, length: int) -> str:
    """So many digits, the first of them not 0: they may stand as a number."""
    most = 9 * 10 ** (length - 1)
    blocks = digest
    while len(blocks) * 2 < length + 16:
        blocks += _digest(digest, blocks)
    return str(10 ** (length - 1) + int.from_bytes(blocks, "big") % most)
