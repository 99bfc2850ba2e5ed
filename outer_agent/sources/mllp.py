"""HL7 v2 over MLLP(S).

One connection's messages are answered, and cross, in the order in which they came. What a sender
pipelines while earlier messages are being made durable is submitted together, so that it shares
their next commit. An HL7 batch in a frame is taken apart and answered by a batch, where the channel
splits those.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from typing import Final, cast

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.addresses import parse_listen
from ferry_runtime.logs import event
from outer_agent.admission import Submission
from outer_agent.commit import Outcome
from outer_agent.config import MllpSource
from outer_agent.outcomes import UNIDENTIFIED
from outer_agent.sources import mllp_answer
from outer_agent.sources.base import Surroundings
from outer_agent.sources.mllp_framing import Frame, Framed, Framer, TooLarge, frame
from outer_agent.sources.tls import HANDSHAKE_S, certificate_names, server_context

_LOG = logging.getLogger("ferry.outer.mllp")
_BATCH_MAX: Final = 64
_WAITING_BYTES_MAX: Final = 1024 * 1024
_FRAME_S: Final = 60.0
_LINGER_S: Final = 1.0
_DRAIN_S: Final = 10.0
_BACKLOG: Final = 256


class MllpListener:
    """One MLLP listener of one channel."""

    def __init__(
        self, section: MllpSource, surroundings: Surroundings, *, frame_s: float = _FRAME_S
    ) -> None:
        """`frame_s`: seconds that a frame may take to come, and an answer to be read."""
        self.name = section.name
        self.section = section
        self.surroundings = surroundings
        self.frame_s = frame_s
        self.connections: set[_Connection] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError if the address is taken, Refused if TLS files are unusable."""
        listen = parse_listen(self.section.listen)
        context = server_context(self.section)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self),
            listen.host,
            listen.port,
            ssl=context,
            ssl_handshake_timeout=None if context is None else HANDSHAKE_S,
            backlog=_BACKLOG,
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
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._listener = listener
        self._section = listener.section
        self._surroundings = listener.surroundings
        limit = self._surroundings.intake.message_bytes_max(self._section.channel)
        self._framer = Framer(limit)
        content = self._surroundings.intake.content_of(self._section.channel)
        hl7v2 = None if content is None else content.hl7v2
        self._charset = "UTF-8" if hl7v2 is None else hl7v2.default_charset
        self._waiting: deque[Framed] = deque()
        self._waiting_bytes = 0
        self._answering: asyncio.Task[None] | None = None
        self._sender: str | None = None
        self._deaf = False
        self._stopping = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._heard_at_s = self._frame_since_s = self._unread_since_s = loop.time()
        self._clock: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Identify the sender, or turn the connection away."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is not one
        if len(self._listener.connections) >= self._section.connections_max:
            event(_LOG, "connection_refused", level=logging.WARNING, source=self._section.name)
            self._deaf = True
            self._transport.abort()
            return
        self._listener.connections.add(self)
        self._count_connections()
        session = transport.get_extra_info("ssl_object")
        certificate = session.getpeercert() if isinstance(session, ssl.SSLObject) else None
        try:
            self._sender = self._surroundings.senders.identify(
                self._section.name, tls_names=certificate_names(certificate)
            )
        except Refused:
            self._sender = None  # told to the sender with its first message
        self._look_at_clock()

    def data_received(self, data: bytes) -> None:
        """Cut frames out of what came; stop reading while too much waits."""
        if self._deaf:
            return
        self._heard_at_s = self._loop.time()
        was_within_frame = self._framer.is_within_frame
        found = self._framer.feed(data)
        if found or not was_within_frame:
            self._frame_since_s = self._heard_at_s
        self._waiting.extend(found)
        self._waiting_bytes += sum(map(_size, found))
        if len(self._waiting) > _BATCH_MAX or self._waiting_bytes > _WAITING_BYTES_MAX:
            self._transport.pause_reading()
        if self._waiting and self._answering is None:
            self._answering = self._loop.create_task(self._answer_all())

    def eof_received(self) -> bool:
        """A sender that sends no more may still be owed answers."""
        self._deaf = True
        is_tls = self._transport.get_extra_info("sslcontext") is not None
        return self._answering is not None and not is_tls

    def pause_writing(self) -> None:
        """The sender does not read its answers: take no more of its messages."""
        self._writable.clear()
        self._unread_since_s = self._loop.time()

    def resume_writing(self) -> None:
        """The sender reads again."""
        self._writable.set()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection; what is being committed goes on, unanswered."""
        self._deaf = True
        self._listener.connections.discard(self)
        self._count_connections()
        self._waiting.clear()
        self._writable.set()
        if self._clock is not None:
            self._clock.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def finish(self) -> None:
        """Take no more bytes; close when what was begun is answered."""
        self._deaf = self._stopping = True
        if self._answering is None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    async def _answer_all(self) -> None:
        try:
            while self._waiting and not self._transport.is_closing():
                batch = self._next_batch()
                if not await self._answer(batch):
                    self._linger()
                    return
                await self._writable.wait()
                self._frame_since_s = self._loop.time()
                if not self._transport.is_closing():
                    self._transport.resume_reading()
            if self._deaf:
                self._transport.close()
        except Exception as error:  # noqa: BLE001 - a connection without answers must not stay open
            event(_LOG, "connection_fault", level=logging.ERROR, error=error)
            self._transport.abort()
        finally:
            self._answering = None

    def _next_batch(self) -> list[Framed]:
        """The frames that are submitted together next; one that holds an HL7 batch comes alone."""
        batch: list[Framed] = []
        while self._waiting and len(batch) < _BATCH_MAX:
            is_hl7_batch = self._is_hl7_batch(self._waiting[0])
            if is_hl7_batch and batch:
                break
            batch.append(self._waiting.popleft())
            if is_hl7_batch:
                break
        self._waiting_bytes -= sum(map(_size, batch))
        return batch

    def _is_hl7_batch(self, framed: Framed) -> bool:
        intake = self._surroundings.intake
        return isinstance(framed, Frame) and intake.is_batch(self._section.channel, framed.content)

    async def _answer(self, batch: list[Framed]) -> bool:
        """Answer frames in order; False if nothing more can be read from this sender."""
        if self._is_hl7_batch(batch[0]) and self._sender is not None and not self._stopping:
            return await self._answer_hl7_batch(_content(batch[0]), self._sender)
        headers = [mllp_answer.header_of(_content(framed), self._charset) for framed in batch]
        outcomes = await self._take(batch)
        mode, now_ms = self._section.acknowledgement, self._surroundings.clock_ms()
        answers = bytearray()
        goes_on = self._sender is not None and isinstance(batch[-1], Frame)
        for header, outcome in zip(headers, outcomes, strict=True):
            if mllp_answer.is_wanted(header, outcome, mode):
                answers += frame(mllp_answer.acknowledgement(header, outcome, mode, now_ms))
            elif mllp_answer.must_hang_up(header, outcome, mode):
                goes_on = False
                break
        if answers and not self._transport.is_closing():
            self._transport.write(bytes(answers))
        return goes_on

    async def _answer_hl7_batch(self, content: bytes, sender: str) -> bool:
        intake, now_ms = self._surroundings.intake, self._surroundings.clock_ms()
        mode, goes_on = self._section.acknowledgement, True
        try:
            taken = await intake.submit_batch(
                Submission(self._section.channel, sender, content, None, None, now_ms)
            )
        except FerryError as failure:
            header = mllp_answer.header_of(content, self._charset)
            answer = mllp_answer.acknowledgement(header, failure, mode, now_ms)
        else:
            answer, hangs_up = mllp_answer.batch_acknowledgement(taken, mode, now_ms, self._charset)
            goes_on = not hangs_up
        if not self._transport.is_closing():
            self._transport.write(frame(answer))
        return goes_on

    async def _take(self, batch: list[Framed]) -> list[Outcome]:
        intake, channel = self._surroundings.intake, self._section.channel
        if self._sender is None or self._stopping:
            return [self._turned_away(framed) for framed in batch]
        now_ms = self._surroundings.clock_ms()
        submissions = [
            Submission(channel, self._sender, framed.content, None, None, now_ms)
            for framed in batch
            if isinstance(framed, Frame)
        ]
        outcomes: list[Outcome]
        if len(submissions) == 1:
            try:
                outcomes = [await intake.submit(submissions[0])]
            except FerryError as failure:
                outcomes = [failure]
        else:
            outcomes = await intake.submit_in_order(submissions)
        return outcomes + [self._turned_away(framed) for framed in batch[len(submissions) :]]

    def _turned_away(self, framed: Framed) -> FerryError:
        """Why a frame was not even submitted."""
        failure: FerryError
        if self._sender is None:
            failure = Refused(reasons.SENDER_UNKNOWN)
        elif isinstance(framed, TooLarge):
            failure = Refused(reasons.MESSAGE_TOO_LARGE, f"channel {self._section.channel}")
        elif not isinstance(framed, Frame):
            failure = Refused(reasons.NOT_WELL_FORMED, "MLLP frame")
        else:
            failure = Unavailable(reasons.STOPPING)
        self._surroundings.intake.note_failure(
            self._section.channel, self._sender or UNIDENTIFIED, failure
        )
        return failure

    def _linger(self) -> None:
        """Close, but not before the sender could read its last answer.

        Closing with bytes unread would make the kernel throw away what the sender has not read.
        """
        self._deaf = True
        self._waiting.clear()
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(_LINGER_S, self._transport.close)

    def _look_at_clock(self) -> None:
        """Close a connection that is silent, or whose frame or reading takes too long."""
        now_s, limit_s = self._loop.time(), self._listener.frame_s
        is_unread = not self._writable.is_set() and now_s - self._unread_since_s >= limit_s
        is_idle = now_s - self._heard_at_s >= self._section.idle_s
        is_dribbling = self._framer.is_within_frame and now_s - self._frame_since_s >= limit_s
        if is_unread or (self._answering is None and (is_idle or is_dribbling)):
            if not is_idle:
                event(_LOG, "connection_too_slow", level=logging.WARNING, source=self._section.name)
            self._transport.abort()
            return
        pause_s = min(limit_s, self._section.idle_s) / 2
        self._clock = self._loop.call_later(pause_s, self._look_at_clock)

    def _count_connections(self) -> None:
        self._surroundings.metrics.connections.labels(self._section.name).set(
            len(self._listener.connections)
        )


def _content(framed: Framed) -> bytes:
    return framed.content if isinstance(framed, Frame) else framed.beginning


def _size(framed: Framed) -> int:
    return len(_content(framed))
