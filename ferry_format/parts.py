"""The arithmetic of large objects: how one is cut into parts, and the digest of the whole.

SPEC.md, 6.4. Every size follows from the object's own, so that neither side can be told two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from ferry_format import limits

DIGEST_BYTES: Final = 32
_CONTEXT: Final = b"ferry-object-1\x00"


def part_count(object_bytes: int) -> int:
    """How many parts an object of so many bytes has; at least 1 byte."""
    return -(-object_bytes // limits.PART_BYTES)


def part_bytes(object_bytes: int, number: int) -> int:
    """The size of part `number`, counted from 1."""
    return min(limits.PART_BYTES, object_bytes - (number - 1) * limits.PART_BYTES)


def part_digest(payload: bytes) -> bytes:
    """SHA-256 of one part."""
    return hashlib.sha256(payload).digest()


def object_digest(part_digests: Iterable[bytes]) -> bytes:
    """The digest of an object, from those of its parts in order.

    Of digests and not of bytes, so that a receiver can take the parts in any order, and over
    restarts, and need not read them again to know that it has the whole.
    """
    whole = hashlib.sha256(_CONTEXT)
    for digest in part_digests:
        whole.update(digest)
    return whole.digest()
