"""The spool's table of fingerprints: by them a repeated message is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from outer_agent.admission import Fingerprint

_FOUND_AT_ONCE: Final = 64
"""As many statements are kept prepared at most."""

_DIGEST_BYTES: Final = 16
"""Of each fingerprint digest, kept in the index: 128 bits are plenty against accident, and the
digests are keyed, so nobody can aim."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A fingerprint to be remembered with the message it stands for."""

    fingerprint: Fingerprint
    message_id: bytes
    accepted_at_ms: int


class KnownFingerprints:
    """Changes belong inside transactions of the spool; what SQLite raises is its matter too."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def find_all(self, fingerprints: Sequence[Fingerprint]) -> dict[Fingerprint, bytes]:
        """The ids of the messages that some of these fingerprints were remembered with.

        One question for many: of 32, each takes 2 instead of 13 µs.
        """
        known: dict[Fingerprint, bytes] = {}
        for first in range(0, len(fingerprints), _FOUND_AT_ONCE):
            some = fingerprints[first : first + _FOUND_AT_ONCE]
            digests = [digest for each in some for digest in _index_key(each)]
            rows = self._database.execute(_find_statement(len(some)), digests)
            known |= {some[place]: message_id for place, message_id in rows}
        return known

    def knows_key(self, key_digest: bytes) -> bool:
        """Whether a message with the same key was remembered, whatever its bytes."""
        row = self._database.execute(
            "SELECT 1 FROM fingerprints WHERE key_digest = ? LIMIT 1",
            (key_digest[:_DIGEST_BYTES],),
        ).fetchone()
        return row is not None

    def remember(self, rows: Iterable[Remembered]) -> None:
        """Add what is not there yet."""
        self._database.executemany(
            "INSERT OR IGNORE INTO fingerprints VALUES (?, ?, ?, ?)",
            [(*_index_key(row.fingerprint), row.message_id, row.accepted_at_ms) for row in rows],
        )

    def forget(self, fingerprints: Iterable[Fingerprint]) -> None:
        """Remove what was remembered of messages that are withdrawn."""
        self._database.executemany(
            "DELETE FROM fingerprints WHERE key_digest = ? AND body_digest = ?",
            [_index_key(fingerprint) for fingerprint in fingerprints],
        )

    def forget_before(self, at_ms: int, at_most: int) -> int:
        """Remove the oldest of those accepted before then (unix milliseconds); how many."""
        return self._database.execute(
            "DELETE FROM fingerprints WHERE (key_digest, body_digest) IN "
            "(SELECT key_digest, body_digest FROM fingerprints WHERE accepted_at_ms < ? "
            "ORDER BY accepted_at_ms LIMIT ?)",
            (at_ms, at_most),
        ).rowcount


@lru_cache(maxsize=_FOUND_AT_ONCE)
def _find_statement(count: int) -> str:
    """Asks for so many fingerprints: which of them, by number, are known, and with which id.

    CROSS JOIN has each searched for by the table's key; the table is never read through.
    """
    asked = ", ".join(f"({number}, ?, ?)" for number in range(count))
    return (
        f"SELECT column1, message_id FROM (VALUES {asked}) CROSS JOIN fingerprints "  # noqa: S608 - numbers of our own
        "ON key_digest = column2 AND body_digest = column3"
    )


def _index_key(fingerprint: Fingerprint) -> tuple[bytes, bytes]:
    return fingerprint.key_digest[:_DIGEST_BYTES], fingerprint.body_digest[:_DIGEST_BYTES]
