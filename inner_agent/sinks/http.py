"""Sink that posts each message to one URL.

    POST url
    Content-Type: the message's
    Idempotency-Key: message id, 32 hex digits; the same on each repeat
    Ferry-Channel: channel
    Ferry-Channel-Sequence: number

    2xx                       delivered
    408 425 429 502 503 504   not now: retried, Retry-After honoured within the channel's bounds
    other 5xx                 failed on this message: retried, counts against attempts_max
    other 4xx                 refused for good
    1xx 3xx, no HTTP          no answer that the protocol defines for this: retried
Redirects are not followed and proxies of the environment not used: the message goes where the
configuration says. The answer's body is read to keep the connection alive, bounded, and dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import io
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused
from ferry_runtime.secrets import read_secret
from inner_agent.sinks import tls
from inner_agent.sinks.base import Delivered, Failed, object_s, unreadable
from inner_agent.sinks.tls import TlsSettings, client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ferry_format.reasons import Reason
    from inner_agent import config
    from inner_agent.journal import JournaledMessage, StoredObject
    from inner_agent.sinks.base import SinkResult

ANSWER_BYTES_MAX: Final = 64 * 1024
NOT_NOW: Final = frozenset({408, 425, 429, 502, 503, 504})
KEEP_ALIVE_S: Final = 60.0
WHOLE_BODY_BYTES_MAX: Final = 512 * 1024

_ANSWER_BODY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`url` is http or https; https needs `tls`. `headers` are added to every request.

    `authorization`: the whole value of that header (a secret, read by the caller). Time limits
    are seconds: to connect (with TLS), and from sending to the answer's status line.
    """

    name: str
    url: str
    tls: TlsSettings | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0


def settings_of(section: config.HttpSink) -> HttpSettings:
    """Return a configuration section's settings. Raises Refused if its secret cannot be used."""
    authorization = None
    if section.authorization_file is not None:
        secret = read_secret(section.authorization_file).strip()
        authorization = secret.decode("ascii", "replace")
        if not authorization or not authorization.isascii() or not authorization.isprintable():
            raise Refused(reasons.BAD_KEY_FILE, section.authorization_file.name)
    return HttpSettings(
        name=section.name,
        url=section.url,
        tls=tls.settings_of(section),
        headers=section.headers,
        authorization=authorization,
        timeout_s=section.timeout_s,
    )


class HttpSink:
    """One URL; connections are kept and reused."""

    def __init__(self, settings: HttpSettings) -> None:
        secure = settings.url.startswith("https://")
        if not secure and not settings.url.startswith("http://"):
            raise ValueError(f"sink {settings.name}: the URL must begin with http:// or https://")
        if secure != (settings.tls is not None):
            raise ValueError(f"sink {settings.name}: https:// and a TLS CA go together")
        parts = urllib.parse.urlsplit(settings.url)
        if not parts.hostname:
            raise ValueError(f"sink {settings.name}: the URL names no host")
        self._host = parts.hostname
        self._port = parts.port or (443 if secure else 80)
        self._settings = settings
        self._tls = None if settings.tls is None else client_context(settings.tls)
        self._headers = {"User-Agent": "message-ferry", **settings.headers}
        if settings.authorization is not None:
            self._headers["Authorization"] = settings.authorization
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """The sink's name."""
        return self._settings.name

    async def deliver(self, message: JournaledMessage) -> SinkResult:
        """Post one message."""
        headers = {
            "Content-Type": message.content_type,
            "Idempotency-Key": message.message_id.hex(),
            "Ferry-Channel": message.channel,
            "Ferry-Channel-Sequence": str(message.channel_sequence),
        }
        parts = None if message.large is None else _Parts(message.large)
        if message.large is not None:
            headers["Content-Length"] = str(message.large.object_bytes)
        answer_s = self._settings.timeout_s + object_s(message)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s + answer_s):
                response = await self._open_session().post(
                    self._settings.url,
                    data=_body(message.payload) if parts is None else parts.read(),
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        sock_connect=self._settings.connect_timeout_s,
                        # It runs from the request's head on, while an object is still being sent.
                        sock_read=answer_s,
                    ),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Failed(reasons.SINK_UNREACHABLE, detail=type(error).__name__)
        except TimeoutError:
            return Failed(reasons.SINK_NO_ANSWER, detail="time-out")
        except aiohttp.ClientResponseError as error:
            return Failed(reasons.SINK_BAD_ANSWER, detail=type(error).__name__)
        except (aiohttp.ClientError, OSError) as error:
            if parts is not None and parts.fault is not None:
                return unreadable(parts.fault)
            return Failed(reasons.SINK_NO_ANSWER, detail=type(error).__name__)
        result = judge(response.status, response.headers.get("Retry-After"), time.time())
        await _drop_body(response)
        return result

    async def probe(self) -> Reason | None:
        """Tell whether a connection (and TLS) can be opened; nothing is requested on it."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                _, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError):
            return reasons.SINK_UNREACHABLE
        writer.transport.abort()
        return None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=True if self._tls is None else self._tls,
                    keepalive_timeout=KEEP_ALIVE_S,
                    limit=0,
                ),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def _body(payload: bytes) -> bytes | io.BytesIO:
    """Return what aiohttp sends: small bodies with the header, large ones in pieces."""
    return payload if len(payload) <= WHOLE_BODY_BYTES_MAX else io.BytesIO(payload)


class _Parts:
    """An object's body as aiohttp sends it; `fault` is what kept us from reading it.

    To aiohttp that looks as if the connection had failed.
    """

    def __init__(self, large: StoredObject) -> None:
        self._large = large
        self.fault: FerryError | None = None

    async def read(self) -> AsyncIterator[bytes]:
        """Every part in order."""
        for number in range(1, self._large.parts + 1):
            try:
                part = await asyncio.to_thread(self._large.read, number)
            except FerryError as fault:
                self.fault = fault
                raise
            yield part


def judge(status: int, retry_after: str | None, now_s: float) -> SinkResult:
    """Return what an answer's status means; `now_s` is for a Retry-After that is a date."""
    detail = f"http {status}"
    if status in NOT_NOW:
        seconds = _retry_after_s(retry_after, now_s)
        return Failed(reasons.SINK_BUSY, detail=detail, retry_after_s=seconds)
    match status // 100:
        case 2:
            return Delivered()
        case 4:
            return Failed(reasons.SINK_REFUSED, permanent=True, detail=detail)
        case 5:
            seconds = _retry_after_s(retry_after, now_s)
            return Failed(reasons.SINK_FAILED, detail=detail, retry_after_s=seconds)
        case _:
            return Failed(reasons.SINK_BAD_ANSWER, detail=detail)


def _retry_after_s(value: str | None, now_s: float) -> float | None:
    """Return Retry-After (RFC 9110, 10.2.3) in seconds from now, None if absent or malformed."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


async def _drop_body(response: aiohttp.ClientResponse) -> None:
    """Read a short body, so that the connection can be reused; close it on a long or slow one."""
    read = 0
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(_ANSWER_BODY_S):
            async for chunk in response.content.iter_any():
                read += len(chunk)
                if read > ANSWER_BYTES_MAX:
                    break
            else:
                response.release()
                return
    response.close()
