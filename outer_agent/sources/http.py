"""Messages by HTTP(S): POST /channels/NAME/messages.

202 with the message id means: custody taken, durable. Refusals are application/problem+json
(RFC 9457); 429 and 503 carry Retry-After. An `Idempotency-Key` header makes a repeated request
known: it gets the first one's receipt and crosses once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from typing import Final

from aiohttp import web

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.addresses import parse_listen
from ferry_runtime.logs import event
from outer_agent.admission import Submission
from outer_agent.config import HttpSource
from outer_agent.senders import certificate_names
from outer_agent.sources import problem
from outer_agent.sources.base import UNIDENTIFIED, Surroundings
from outer_agent.sources.tls import server_context

_LOG = logging.getLogger("ferry.outer.http")
_BODY_S: Final = 30.0
_SHUTDOWN_S: Final = 10.0
_KEEPALIVE_S: Final = 75.0
_HEADER_BYTES_MAX: Final = 8190
_BEARER: Final = "Bearer "
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class HttpListener:
    """One HTTP listener for all channels; the path names the channel."""

    def __init__(self, section: HttpSource, surroundings: Surroundings) -> None:
        self.name = section.name
        self._section = section
        self._surroundings = surroundings
        self._runner: web.AppRunner | None = None
        self._stopping = False
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises OSError if the address is taken, Refused if TLS files are unusable."""
        listen = parse_listen(self._section.listen)
        application = web.Application()
        application.router.add_post("/channels/{channel}/messages", self._post)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_S,
            shutdown_timeout=_SHUTDOWN_S,
            max_line_size=_HEADER_BYTES_MAX,
            max_field_size=_HEADER_BYTES_MAX,
            handle_signals=False,
        )
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, listen.host, listen.port, ssl_context=server_context(self._section)
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the listener; requests that were begun get their true answer."""
        self._stopping = True
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        sender = UNIDENTIFIED
        try:
            try:
                sender = self._identify(request)
                submission = await self._read(request, channel, sender)
            except FerryError as failure:
                self._surroundings.intake.note_failure(channel, sender, failure)
                raise
            receipt = await self._surroundings.intake.submit(submission)
        except FerryError as failure:
            return _refusal(failure)
        body = {"message_id": receipt.message_id.hex(), "duplicate": receipt.duplicate}
        return web.Response(
            status=202, body=json.dumps(body).encode(), content_type="application/json"
        )

    def _identify(self, request: web.Request) -> str:
        session = request.get_extra_info("ssl_object")
        certificate = session.getpeercert() if isinstance(session, ssl.SSLObject) else None
        return self._surroundings.senders.identify(
            self._section.name, api_key=_api_key(request), tls_names=certificate_names(certificate)
        )

    async def _read(self, request: web.Request, channel: str, sender: str) -> Submission:
        if self._stopping:
            raise Unavailable(reasons.STOPPING)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused(reasons.CONTENT_TYPE_NOT_ALLOWED, "Content-Encoding")
        limit = self._surroundings.intake.message_bytes_max(channel)
        if limit == 0:
            raise Refused(reasons.CHANNEL_UNKNOWN)
        payload = await _read_body(request, limit)
        declared = request.headers.get("Content-Type")
        return Submission(
            channel,
            sender,
            payload,
            declared,
            _duplicate_key(request),
            self._surroundings.clock_ms(),
        )


async def _read_body(request: web.Request, limit: int) -> bytes:
    """The body, never holding more than `limit` bytes of it; slow senders are cut off."""
    if (request.content_length or 0) > limit:
        raise Refused(reasons.MESSAGE_TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.content.iter_any():
                body += part
                if len(body) > limit:
                    raise Refused(reasons.MESSAGE_TOO_LARGE)
    except TimeoutError:
        event(_LOG, "body_too_slow", level=logging.WARNING)
        raise Unavailable(reasons.OVERLOADED, "the body did not come in time") from None
    return bytes(body)


def _api_key(request: web.Request) -> str | None:
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        return authorization.removeprefix(_BEARER)
    return request.headers.get("X-API-Key")


def _duplicate_key(request: web.Request) -> bytes | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise Refused(reasons.NOT_WELL_FORMED, "Idempotency-Key")
    return key.encode("ascii")


def _refusal(failure: FerryError) -> web.Response:
    answer = problem.problem(failure)
    return web.Response(
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        content_type=problem.CONTENT_TYPE,
    )
