"""Messages and objects through the scanner, as many at a time as the configuration says.

Where a channel asks for it, nothing is published that it did not call clean; while it is away, its
senders are told to come again later.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from ferry_runtime.scanner import dialect
from ferry_runtime.scanner.dialect import Dialect
from ferry_runtime.scanner.pieces import pieces
from outer_agent.config import ScannerSection
from outer_agent.object_crossing import Validation
from validators.verdict import Accepted, Rejected, Verdict


class VirusScan:
    """The scanner that the configuration names."""

    def __init__(self, section: ScannerSection) -> None:
        self._dialect = dialect.of(section)
        self._timeout_s = section.timeout_s
        self._free = asyncio.Semaphore(section.connections_max)

    async def check(self, data: bytes) -> None:
        """Pass what is clean. Raises Refused(VIRUS_FOUND, LIMIT_EXCEEDED) and Unavailable."""
        async with self._free, self.stream() as stream:
            await stream.send(data)
            await stream.finish()

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Stream]:
        """A scan of something that comes piece by piece. Raises Unavailable."""
        with socket.socket(self._dialect.family, socket.SOCK_STREAM) as connection:
            connection.settimeout(0)
            stream = Stream(connection, self._dialect, self._timeout_s)
            await stream.open()
            yield stream


class Stream:
    """One scan, on a bare socket: what was said before it closed can still be read from one.

    `timeout_s` is for each step.
    """

    def __init__(self, connection: socket.socket, spoken: Dialect, timeout_s: float) -> None:
        self._connection = connection
        self._dialect = spoken
        self._timeout_s = timeout_s
        self._ended = False

    async def open(self) -> None:
        """Connect. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                loop = asyncio.get_running_loop()
                await loop.sock_connect(self._connection, self._dialect.address)
        except OSError as error:
            raise Unavailable(reasons.SCANNER_UNAVAILABLE, "no connection") from error
        await self._send([self._dialect.begin])

    async def send(self, data: bytes) -> None:
        """Give the next bytes. Raises Unavailable; an early end shows in `finish`."""
        await self._send(self._dialect.chunks(data))

    async def finish(self) -> None:
        """Pass what was sent, if it is clean. Raises as `VirusScan.check`."""
        await self._send([self._dialect.end])
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._reply()
        except OSError as error:
            raise Unavailable(reasons.SCANNER_UNAVAILABLE, "no answer") from error
        self._dialect.check(reply)

    async def _reply(self) -> bytes:
        loop, most = asyncio.get_running_loop(), self._dialect.reply_bytes_max
        reply = b""
        while not self._dialect.is_whole(reply):
            piece = await loop.sock_recv(self._connection, most - len(reply))
            if not piece:
                break
            reply += piece
        return reply

    async def _send(self, chunks: Iterable[bytes]) -> None:
        if self._ended:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                for chunk in chunks:
                    await asyncio.get_running_loop().sock_sendall(self._connection, chunk)
        except TimeoutError:
            raise Unavailable(reasons.SCANNER_UNAVAILABLE, "takes no more") from None
        except OSError:
            self._ended = True  # of what is too long it says so before it closes


class ScannedValidation:
    """The validators' verdicts, and of what they accept on these channels, the scanner's."""

    def __init__(self, validation: Validation, scan: VirusScan, channels: Collection[str]) -> None:
        self._validation = validation
        self._scan = scan
        self._channels = frozenset(channels)

    async def validate(self, channel: str, payload: bytes) -> Verdict:
        """The verdict on a message. Raises Unavailable."""
        verdict = await self._validation.validate(channel, payload)
        if channel in self._channels and isinstance(verdict, Accepted):
            try:
                for piece in pieces(verdict.payload):
                    await self._scan.check(piece)
            except Refused as refused:
                return Rejected(refused.reason, refused.where)
        return verdict
