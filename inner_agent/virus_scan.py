"""The verifier's own virus scan: messages through the scanner's socket, one after another.

Where a channel asks for it, no message is journaled that it did not call clean; while it is away,
the stream waits where it is.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from ferry_runtime.scanner import dialect
from ferry_runtime.scanner.pieces import pieces
from ferry_runtime.sections import ScannerSection
from inner_agent.workplace import Validators
from validators.verdict import Accepted, Rejected, Verdict


class ScannedValidators:
    """The validators' verdicts, and of what they accept on these channels, the scanner's.

    `on_progress` is called after each scan: many in a row must not look like a verifier that hangs.
    """

    def __init__(
        self,
        validators: Validators,
        section: ScannerSection,
        channels: Collection[str],
        on_progress: Callable[[], object],
    ) -> None:
        self._validators = validators
        self._dialect = dialect.of(section)
        self._timeout_s = section.timeout_s
        self._channels = frozenset(channels)
        self._on_progress = on_progress

    def validate_many(self, items: Sequence[tuple[str, bytes]]) -> list[Verdict]:
        """The verdicts on (channel, payload) pairs, in their order. Raises Unavailable."""
        verdicts = self._validators.validate_many(items)
        return [
            self._scanned(verdict) if channel in self._channels else verdict
            for (channel, _), verdict in zip(items, verdicts, strict=True)
        ]

    def _scanned(self, verdict: Verdict) -> Verdict:
        if not isinstance(verdict, Accepted):
            return verdict
        try:
            for piece in pieces(verdict.payload):
                self._dialect.check(self._reply(piece))
                self._on_progress()
        except Refused as refused:
            return Rejected(refused.reason, refused.where)
        return verdict

    def _reply(self, data: bytes) -> bytes:
        try:
            with socket.socket(self._dialect.family, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout_s)
                connection.connect(self._dialect.address)
                # Of what is too long it says so before it closes.
                with suppress(ConnectionError):
                    connection.sendall(self._dialect.begin)
                    for chunk in self._dialect.chunks(data):
                        connection.sendall(chunk)
                    connection.sendall(self._dialect.end)
                return self._read(connection)
        except OSError as error:
            raise Unavailable(reasons.SCANNER_UNAVAILABLE, "the scanner's socket") from error

    def _read(self, connection: socket.socket) -> bytes:
        most = self._dialect.reply_bytes_max
        reply = b""
        while not self._dialect.is_whole(reply):
            piece = connection.recv(most - len(reply))
            if not piece:
                break
            reply += piece
        return reply
