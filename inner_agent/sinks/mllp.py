"""Sink that sends HL7 v2 messages by MLLP (HL7 v2 Transport, release 1) over TCP or TLS.

One persistent connection, one message outstanding at a time. An acknowledgement counts only if its
MSA-2 is the message's MSH-10, which is never touched:

    AA, CA   delivered                 (CA: enhanced mode's commit acknowledgement)
    AE, CE   failed, retried           AR, CR   refused for good
    another MSA-2, no acknowledgement, no frame, too long, time-out, connection lost:
             the outcome is open; the connection is closed, so that what arrives late finds no
             message to be taken for; the message is retried with the same MSH-10.

MSH-10 is no key: senders leave it empty or repeat it. What keeps acknowledgements apart is that a
connection on which one is still owed is never used for another message. The one exception is
enhanced mode, where an application acknowledgement may follow the commit acknowledgement on the
same connection: that second one is dropped, and if the next message has the very same MSH-10, it
gets a new connection. Bytes that come while nothing is owed close the connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from ferry_format import reasons
from inner_agent.sinks import tls
from inner_agent.sinks.base import Delivered, Failed
from inner_agent.sinks.tls import TlsSettings, client_context
from validators.hl7v2.acknowledgement import parse_ack
from validators.hl7v2.charset import header_line
from validators.hl7v2.header import read_control_id

if TYPE_CHECKING:
    from ferry_format.reasons import Reason
    from inner_agent import config
    from inner_agent.journal import JournaledMessage
    from inner_agent.sinks.base import SinkResult

START: Final = b"\x0b"
END: Final = b"\x1c\r"
ACKNOWLEDGEMENT_BYTES_MAX: Final = 64 * 1024
"""An ACK is a few hundred bytes; some systems add the offending segment in ERR."""

TAKEN: Final = frozenset({"AA", "CA"})
TRY_AGAIN: Final = frozenset({"AE", "CE"})

_ERROR_CODE: Final = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class MllpSettings:
    """Time limits are seconds: to connect (with TLS), and from sending to the acknowledgement."""

    name: str
    host: str
    port: int
    tls: TlsSettings | None = None
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0


def settings_of(section: config.MllpSink) -> MllpSettings:
    """Return a configuration section's settings."""
    return MllpSettings(
        name=section.name,
        host=section.host,
        port=section.port,
        tls=tls.settings_of(section),
        timeout_s=section.timeout_s,
    )


class Unanswered(Exception):
    """No frame came for what was sent."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class MllpConnection(asyncio.Protocol):
    """One connection: frames out, one awaited frame in. Closes itself on anything unexpected."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._answer_due_s = 0.0
        self._look: asyncio.TimerHandle | None = None
        self.committed_id: str | None = None
        """MSH-10 of the last message that got a commit acknowledgement, of which more may come."""

    @property
    def usable(self) -> bool:
        """Tell whether a message may be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; small writes leave at once."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """Collect one frame; hand it over, or close if nobody waits for it."""
        self._received += data
        end = self._received.find(END)
        if end < 0:
            if len(self._received) > ACKNOWLEDGEMENT_BYTES_MAX:
                self._fail(reasons.SINK_BAD_ANSWER, "frame too long")
            elif not self._received.startswith(START):
                self._fail(reasons.SINK_BAD_ANSWER, "no frame")
            elif self._answer is None and self.committed_id is None:
                self._fail(reasons.SINK_BAD_ANSWER, "nothing owed")
            return
        frame = bytes(self._received[:end])
        del self._received[: end + len(END)]
        if not frame.startswith(START) or START in frame[1:]:
            self._fail(reasons.SINK_BAD_ANSWER, "no frame")
        elif self._is_second_acknowledgement(frame[1:]):
            if self._received:
                self.data_received(b"")
        elif self._answer is None or self._answer.done():
            self._fail(reasons.SINK_BAD_ANSWER, "nothing owed")
        else:
            self._answer.set_result(frame[1:])
            if self._received:
                self.abort()

    def _is_second_acknowledgement(self, payload: bytes) -> bool:
        if self.committed_id is None:
            return False
        acknowledgement = parse_ack(payload)
        return acknowledgement is not None and acknowledgement.control_id == self.committed_id

    def eof_received(self) -> None:
        """Close: a half-open MLLP connection cannot acknowledge."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's name)
        """Tell who waits."""
        if self._look is not None:
            self._look.cancel()
        self._fail(reasons.SINK_NO_ANSWER, "connection lost")

    def _fail(self, reason: Reason, detail: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unanswered(reason, detail))
        self.abort()

    def abort(self) -> None:
        """Close at once; nothing that arrives later is read."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, payload: bytes, timeout_s: float) -> bytes:
        """Send one message and return the answering frame's content.

        Raises Unanswered, after which the connection is closed; closes it when cancelled, too.
        """
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._answer_due_s = loop.time() + timeout_s
        if self._look is None:
            self._look = loop.call_at(self._answer_due_s, self._on_look)
        try:
            self._transport.write(b"".join((START, payload, END)))
            return await self._answer
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._answer = None

    def _on_look(self) -> None:
        """End an exchange whose time is over.

        One timer serves many exchanges: a timer for each takes 8 µs, `asyncio.timeout` 20.
        """
        self._look = None
        if self._answer is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._answer_due_s:
            self._look = loop.call_at(self._answer_due_s, self._on_look)
        else:
            self._fail(reasons.SINK_NO_ANSWER, "time-out")


class MllpSink:
    """One HL7 receiver."""

    def __init__(self, settings: MllpSettings) -> None:
        self._settings = settings
        self._tls = None if settings.tls is None else client_context(settings.tls)
        self._connection: MllpConnection | None = None
        self._line = asyncio.Lock()

    @property
    def name(self) -> str:
        """The sink's name."""
        return self._settings.name

    async def deliver(self, message: JournaledMessage) -> SinkResult:
        """Send one message and match its acknowledgement."""
        control_id = _control_id(message)
        if control_id is None or START in message.payload or END[:1] in message.payload:
            return Failed(reasons.NOT_DELIVERABLE, permanent=True, detail="no HL7 v2 message")
        async with self._line:
            connection = self._connection
            if connection is not None and connection.committed_id == control_id:
                connection.abort()
            if connection is None or not connection.usable:
                try:
                    connection = await self._connect()
                except (OSError, TimeoutError) as error:
                    return Failed(reasons.SINK_UNREACHABLE, detail=type(error).__name__)
            try:
                answer = await connection.exchange(message.payload, self._settings.timeout_s)
            except Unanswered as failure:
                return Failed(failure.reason, detail=failure.detail)
            return self._judge(connection, answer, control_id)

    def _judge(self, connection: MllpConnection, answer: bytes, control_id: str) -> SinkResult:
        acknowledgement = parse_ack(answer)
        if acknowledgement is None:
            connection.abort()
            return Failed(reasons.SINK_BAD_ANSWER, detail="no acknowledgement")
        if acknowledgement.control_id != control_id:
            connection.abort()
            return Failed(reasons.SINK_BAD_ANSWER, detail="another MSA-2")
        code = acknowledgement.code
        connection.committed_id = control_id if code == "CA" else None
        if code in TAKEN:
            return Delivered()
        error = acknowledgement.error_code or ""
        detail = f"MSA-1 {code}"
        if _ERROR_CODE.fullmatch(error):
            detail += f", error {error}"
        if code in TRY_AGAIN:
            return Failed(reasons.SINK_FAILED, detail=detail)
        return Failed(reasons.SINK_REFUSED, permanent=True, detail=detail)

    async def probe(self) -> Reason | None:
        """Tell whether a connection is open or can be opened; it is kept for the next message."""
        async with self._line:
            if self._connection is not None and self._connection.usable:
                return None
            try:
                await self._connect()
            except (OSError, TimeoutError):
                return reasons.SINK_UNREACHABLE
            return None

    async def _connect(self) -> MllpConnection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._settings.connect_timeout_s):
            _, connection = await loop.create_connection(
                MllpConnection, self._settings.host, self._settings.port, ssl=self._tls
            )
        self._connection = connection
        return connection

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


def _control_id(message: JournaledMessage) -> str | None:
    """MSH-10; None if this is no HL7 v2 message.

    What a header of other letters than ASCII says depends on its channel's character set: there
    it is what the validator read.
    """
    control_id = read_control_id(message.payload)
    if control_id is None or header_line(message.payload).isascii():
        return control_id
    return message.control_id or ""
