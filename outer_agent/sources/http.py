"""Messages by HTTP(S): POST /channels/NAME/messages.

202 with the message id means: custody taken, durable. Refusals are application/problem+json
(RFC 9457); 429 and 503 carry Retry-After. An `Idempotency-Key` header makes a repeated request
known: it gets the first one's receipt and crosses once. An HL7 v2 batch, where its channel splits
those, is answered with what became of each of its messages. A SOAP call, where its channel says so,
is answered by a SOAP response.

DICOM instances also come by STOW-RS: POST /channels/NAME/studies (see stow.py).

On a channel for objects the body is read part by part, one ahead of what is durable; its length
must be told in advance (Content-Length).
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.addresses import parse_listen
from ferry_runtime.logs import event
from outer_agent.admission import ObjectSubmission, Receipt, Submission
from outer_agent.batches import BatchOutcome
from outer_agent.config import HttpSource
from outer_agent.outcomes import UNIDENTIFIED
from outer_agent.policy import SoapReplySection
from outer_agent.sources import problem, soap_reply
from outer_agent.sources.base import Surroundings
from outer_agent.sources.stow import StudyStore
from outer_agent.sources.tls import HANDSHAKE_S, certificate_names, server_context

_LOG = logging.getLogger("ferry.outer.http")
_BODY_S: Final = 30.0
_BODY_BYTES_PER_S_MIN: Final = 100_000
_CONNECTIONS_MAX: Final = 500
_BACKLOG: Final = 256
_SHUTDOWN_S: Final = 10.0
_LINGER_S: Final = 2.0
# aiohttp gives a request's head as long as an idle connection.
_IDLE_S: Final = 75.0
_HEADER_BYTES_MAX: Final = 8190
_HEADERS_MAX: Final = 64
_CALL: Final = web.RequestKey("ferry.call", soap_reply.CallIds)
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class HttpListener:
    """One HTTP listener for all channels; the path names the channel."""

    def __init__(
        self,
        section: HttpSource,
        surroundings: Surroundings,
        *,
        idle_s: float = _IDLE_S,
        body_s: float = _BODY_S,
        connections_max: int = _CONNECTIONS_MAX,
    ) -> None:
        """`body_s`: seconds that a body may take, beyond what its size allows for."""
        self.name = section.name
        self._section = section
        self._surroundings = surroundings
        self._idle_s = idle_s
        self._body_s = body_s
        self._connections_max = connections_max
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._reading: set[asyncio.Timeout] = set()
        self._stopping = False
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises OSError if the address is taken, Refused if TLS files are unusable."""
        listen = parse_listen(self._section.listen)
        context = server_context(self._section)
        application = web.Application(middlewares=[_tell_as_problem])
        application.router.add_post("/channels/{channel}/messages", self._post)
        application.router.add_post("/channels/{channel}/studies", self._post_study)
        application.on_response_prepare.append(_say_no_version)
        runner = web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=self._idle_s,
            lingering_time=_LINGER_S,
            shutdown_timeout=_SHUTDOWN_S,
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            max_headers=_HEADERS_MAX,
            handle_signals=False,
        )
        await runner.setup()
        self._runner = runner
        self._surroundings.metrics.connections.labels(self.name).set_function(self._connections)
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            listen.host,
            listen.port,
            ssl=context,
            ssl_handshake_timeout=None if context is None else HANDSHAKE_S,
            backlog=_BACKLOG,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener; requests whose body has come get their true answer."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        now_s = asyncio.get_running_loop().time()
        for reading in self._reading:
            reading.reschedule(now_s)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _connections(self) -> int:
        server = None if self._runner is None else self._runner.server
        return 0 if server is None else len(server.connections)

    def _connection(self) -> asyncio.BaseProtocol:
        server = None if self._runner is None else self._runner.server
        if server is None or self._connections() >= self._connections_max:
            event(_LOG, "connection_refused", level=logging.WARNING, source=self.name)
            return _TurnedAway()
        return server()

    async def _post(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        reply = self._surroundings.intake.soap_reply(channel)
        try:
            taken = await self._take(request, channel)
        except FerryError as failure:
            if reply is not None:
                return self._in_soap(request, reply, failure)
            return _response(problem.problem(failure))
        if reply is not None and isinstance(taken, Receipt):
            return self._in_soap(request, reply, taken)
        if isinstance(taken, BatchOutcome) and not taken.is_taken:
            return _response(problem.of_batch(taken))
        return web.Response(status=202, body=_told(taken), content_type="application/json")

    async def _post_study(self, request: web.Request) -> web.Response:
        intake, sender = self._surroundings.intake, UNIDENTIFIED
        channel = request.match_info["channel"]
        try:
            sender = self._identify(request)
            return await StudyStore(self._surroundings, self._in_time).take(
                request, channel, sender
            )
        except FerryError as failure:
            intake.note_failure(channel, sender, failure)
            return _response(problem.problem(failure))

    def _in_soap(
        self, request: web.Request, reply: SoapReplySection, outcome: Receipt | FerryError
    ) -> web.Response:
        ids = request.get(_CALL, soap_reply.read_ids(b""))
        now_ms = self._surroundings.clock_ms()
        return _response(soap_reply.answer(reply, ids, outcome, now_ms, request.content_type))

    async def _take(self, request: web.Request, channel: str) -> Receipt | BatchOutcome:
        intake, sender = self._surroundings.intake, UNIDENTIFIED
        taking: Awaitable[Receipt | BatchOutcome]
        try:
            sender = self._identify(request)
            if intake.takes_objects(channel):
                announced = self._announced(request, channel, sender)
                taking = intake.submit_object(announced, partial(self._read_part, request))
            else:
                submission = await self._read(request, channel, sender)
                is_batch = intake.is_batch(channel, submission.payload)
                taking = (intake.submit_batch if is_batch else intake.submit)(submission)
        except FerryError as failure:
            intake.note_failure(channel, sender, failure)
            raise
        return await taking  # the intake notes its own refusals

    def _identify(self, request: web.Request) -> str:
        session = request.get_extra_info("ssl_object")
        certificate = session.getpeercert() if isinstance(session, ssl.SSLObject) else None
        return self._surroundings.senders.identify(
            self.name, api_key=_api_key(request), tls_names=certificate_names(certificate)
        )

    async def _read(self, request: web.Request, channel: str, sender: str) -> Submission:
        limit = self._surroundings.intake.message_bytes_max(channel)
        if limit == 0:
            raise Refused(reasons.CHANNEL_UNKNOWN)
        declared, duplicate_key = _declared_type(request), _duplicate_key(request)
        payload = await self._read_body(request, limit)
        if self._surroundings.intake.soap_reply(channel) is not None:
            request[_CALL] = ids = soap_reply.read_ids(payload)
            duplicate_key = duplicate_key or ids.duplicate_key
        return Submission(
            channel, sender, payload, declared, duplicate_key, self._surroundings.clock_ms()
        )

    def _announced(self, request: web.Request, channel: str, sender: str) -> ObjectSubmission:
        if request.content_length is None:
            raise Refused(reasons.LENGTH_REQUIRED)
        return ObjectSubmission(
            channel,
            sender,
            request.content_length,
            _declared_type(request),
            _duplicate_key(request),
            self._surroundings.clock_ms(),
        )

    async def _read_part(self, request: web.Request, size: int) -> bytes:
        """Exactly so many of the body's next bytes; slow senders are cut off."""
        async with self._in_time(size):
            return await request.content.readexactly(size)

    async def _read_body(self, request: web.Request, limit: int) -> bytes:
        """The body, never holding more than `limit` bytes of it; slow senders are cut off."""
        if (request.content_length or 0) > limit:
            raise Refused(reasons.MESSAGE_TOO_LARGE)
        body = bytearray()
        async with self._in_time(limit):
            async for part in request.content.iter_any():
                if len(body) + len(part) > limit:
                    raise Refused(reasons.MESSAGE_TOO_LARGE)
                body += part
        return bytes(body)

    @asynccontextmanager
    async def _in_time(self, size: int) -> AsyncIterator[None]:
        """Read so many bytes of a body. Raises Refused or Unavailable where that fails."""
        if self._stopping:
            raise Unavailable(reasons.STOPPING)
        reading = asyncio.timeout(self._body_s + size / _BODY_BYTES_PER_S_MIN)
        try:
            async with reading:
                self._reading.add(reading)
                yield
        except TimeoutError:
            if self._stopping:
                raise Unavailable(reasons.STOPPING) from None
            event(_LOG, "body_too_slow", level=logging.WARNING, source=self.name)
            raise Unavailable(reasons.OVERLOADED, "the body did not come in time") from None
        except (web.RequestPayloadError, ConnectionError, asyncio.IncompleteReadError):
            raise Refused(reasons.NOT_WELL_FORMED, "HTTP body") from None
        finally:
            self._reading.discard(reading)


class _TurnedAway(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()


@web.middleware
async def _tell_as_problem(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What aiohttp refuses by itself (404, 405), in the same form as what we refuse."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return _response(problem.plain(refusal.status, refusal.reason, dict(refusal.headers)))


async def _say_no_version(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "ferry"


def _api_key(request: web.Request) -> str | None:
    authorization = _header(request, "Authorization")
    if authorization is None:
        return _header(request, "X-API-Key")
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(reasons.SENDER_UNKNOWN, "Authorization")
    return key.strip()


def _declared_type(request: web.Request) -> str | None:
    if _header(request, "Content-Encoding") not in {None, "identity"}:
        raise Refused(reasons.CONTENT_TYPE_NOT_ALLOWED, "Content-Encoding")
    return _header(request, "Content-Type")


def _duplicate_key(request: web.Request) -> bytes | None:
    key = _header(request, "Idempotency-Key")
    if key is None:
        return None
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise Refused(reasons.NOT_WELL_FORMED, "Idempotency-Key")
    return key.encode("ascii")


def _header(request: web.Request, name: str) -> str | None:
    """A header that may stand once: of two, a proxy before us might have believed the other."""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise Refused(reasons.NOT_WELL_FORMED, name)
    return values[0] if values else None


def _told(taken: Receipt | BatchOutcome) -> bytes:
    """Receipts as JSON."""
    if isinstance(taken, Receipt):
        return json.dumps(problem.receipt(taken)).encode()
    receipts = [problem.receipt(each) for each in taken.outcomes if isinstance(each, Receipt)]
    return json.dumps({"messages": receipts}).encode()


def _response(answer: problem.Problem) -> web.Response:
    return web.Response(
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        content_type=answer.content_type,
    )
