"""API keys of sending systems: made once, told once; the policy has their hash alone."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`secret` is for the sending system, `sha256` (hex) for the outer's policy."""

    secret: str
    sha256: str


def new_api_key() -> ApiKey:
    """A new random key."""
    secret = secrets.token_urlsafe(_BYTES)
    return ApiKey(secret, hashlib.sha256(secret.encode()).hexdigest())
