"""HL7 v2 over MLLP(S), acknowledged in original or enhanced mode (HL7 v2.5.1, chapter 2.9).

AA (or CA in enhanced mode) means: custody taken, durable. AR (CR): refused for good, do not send
again. AE (CE): not now, send again. One connection's messages are answered, and cross, in the order
in which they came: the next one is looked at when the last one was answered.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from typing import Final, cast

from ferry_format import reasons
from ferry_format.identifiers import new_message_id
from ferry_format.reasons import FerryError, Reason, Refused, Unavailable
from ferry_runtime.addresses import parse_listen
from ferry_runtime.logs import event
from outer_agent.admission import Submission
from outer_agent.config import MllpSource
from outer_agent.senders import certificate_names
from outer_agent.sources.base import UNIDENTIFIED, Surroundings
from outer_agent.sources.mllp_framing import Frame, Framed, Framer, TooLarge, frame
from outer_agent.sources.tls import server_context
from validators.hl7v2.acknowledgement import AckCode, build_ack, refusal_code
from validators.hl7v2.header import MessageHeader, read_header

_LOG = logging.getLogger("ferry.outer.mllp")
_PENDING_MAX: Final = 16
_DRAIN_S: Final = 10.0
_CONTROL_ID_CHARS: Final = 20  # MSH-10 up to HL7 v2.6

_BLANK_HEADER: Final = read_header(b"MSH|^~\\&|\r")
assert _BLANK_HEADER is not None


class MllpListener:
    """One MLLP listener of one channel."""

    def __init__(self, section: MllpSource, surroundings: Surroundings) -> None:
        self.name = section.name
        self.section = section
        self.surroundings = surroundings
        self.connections: set[_Connection] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError if the address is taken, Refused if TLS files are unusable."""
        listen = parse_listen(self.section.listen)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self),
            listen.host,
            listen.port,
            ssl=server_context(self.section),
            backlog=256,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener; each connection answers what it has begun, then closes."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.finish()
        ends = [connection.closed for connection in self.connections]
        if ends:
            await asyncio.wait(ends, timeout=_DRAIN_S)
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One sender's connection."""

    def __init__(self, listener: MllpListener) -> None:
        self._listener = listener
        self._section = listener.section
        self._surroundings = listener.surroundings
        limit = self._surroundings.intake.message_bytes_max(self._section.channel)
        self._framer = Framer(limit)
        self._pending: deque[Framed] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._sender: str | None = None
        self._finishing = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Identify the sender, or turn the connection away."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is not one
        if len(self._listener.connections) >= self._section.connections_max:
            event(_LOG, "connection_refused", level=logging.WARNING, source=self._section.name)
            self._transport.abort()
            return
        self._listener.connections.add(self)
        self._count_connections()
        session = transport.get_extra_info("ssl_object")
        certificate = session.getpeercert() if isinstance(session, _TLS_SESSIONS) else None
        try:
            self._sender = self._surroundings.senders.identify(
                self._section.name, tls_names=certificate_names(certificate)
            )
        except Refused:
            self._sender = None  # told to the sender with its first message
        self._await_more()

    def data_received(self, data: bytes) -> None:
        """Cut frames out of what came; stop reading while too many wait."""
        if self._finishing:
            return
        self._pending.extend(self._framer.feed(data))
        if len(self._pending) > _PENDING_MAX:
            self._transport.pause_reading()
        if self._pending and self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer_all())
        self._await_more()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection; what is being committed goes on, unanswered."""
        self._listener.connections.discard(self)
        self._count_connections()
        self._pending.clear()
        if not self.closed.done():
            self.closed.set_result(None)
        if self._idle is not None:
            self._idle.cancel()

    def finish(self) -> None:
        """Take no more bytes; close when what was begun is answered."""
        self._finishing = True
        if self._answering is None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    async def _answer_all(self) -> None:
        try:
            while self._pending and not self._transport.is_closing():
                framed = self._pending.popleft()
                answer = await self._answer(framed)
                self._transport.write(frame(answer))
                if not isinstance(framed, Frame):
                    self._transport.close()
                    return
                if len(self._pending) <= _PENDING_MAX // 2:
                    self._transport.resume_reading()
            if self._finishing:
                self._transport.close()
        finally:
            self._answering = None

    async def _answer(self, framed: Framed) -> bytes:
        content = framed.content if isinstance(framed, Frame) else framed.beginning
        header = read_header(content) or _BLANK_HEADER
        assert header is not None
        sender = self._sender or UNIDENTIFIED
        try:
            return await self._take(framed, sender, header)
        except FerryError as failure:
            return self._acknowledge(header, failure.reason, failure.where)

    async def _take(self, framed: Framed, sender: str, header: MessageHeader) -> bytes:
        channel = self._section.channel
        failure = self._own_refusal(framed)
        if failure is not None:
            self._surroundings.intake.note_failure(channel, sender, failure)
            raise failure
        assert isinstance(framed, Frame)
        submission = Submission(
            channel, sender, framed.content, None, None, self._surroundings.clock_ms()
        )
        receipt = await self._surroundings.intake.submit(submission)
        return self._acknowledge(header, None, "", receipt.message_id)

    def _own_refusal(self, framed: Framed) -> FerryError | None:
        if self._sender is None:
            return Refused(reasons.SENDER_UNKNOWN)
        if isinstance(framed, TooLarge):
            return Refused(reasons.MESSAGE_TOO_LARGE, f"channel {self._section.channel}")
        if not isinstance(framed, Frame):
            return Refused(reasons.NOT_WELL_FORMED, "MLLP frame")
        return Unavailable(reasons.STOPPING) if self._finishing else None

    def _acknowledge(
        self, header: MessageHeader, reason: Reason | None, place: str, message_id: bytes = b""
    ) -> bytes:
        now_ms = self._surroundings.clock_ms()
        mode = self._section.acknowledgement
        enhanced = header.enhanced if mode == "auto" else mode == "enhanced"
        taken: AckCode = "CA" if enhanced else "AA"
        code = taken if reason is None else refusal_code(reason, enhanced=enhanced)
        control_id = (message_id or new_message_id(now_ms)).hex()[:_CONTROL_ID_CHARS]
        return build_ack(header, code, reason, control_id, now_ms, place=place)

    def _await_more(self) -> None:
        """Close the connection when nothing comes for a while, unless an answer is owed."""
        if self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(self._section.idle_s, self._on_idle)
            self._heard = False
        else:
            self._heard = True

    def _on_idle(self) -> None:
        self._idle = None
        if self._heard or self._answering is not None:
            self._await_more()
        else:
            self._transport.close()

    def _count_connections(self) -> None:
        self._surroundings.metrics.connections.labels(self._section.name).set(
            len(self._listener.connections)
        )


_TLS_SESSIONS = (ssl.SSLObject, ssl.SSLSocket)
