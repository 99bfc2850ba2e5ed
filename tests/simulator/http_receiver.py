"""An HTTP receiver whose answers follow a script: a status, or a way to misbehave."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aiohttp import web

from tests.simulator.recording import Recording

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"


class HttpBehaviour(enum.Enum):
    HANG = "reads and never answers"
    LATE = "200, `late_s` later"
    GARBAGE = "bytes that are no HTTP"
    CLOSE_BEFORE_READ = "closes without reading the body"
    CLOSE_AFTER_READ = "reads, records, closes"
    ENDLESS_BODY = "200 and a body that does not end"


class HttpReceiver:
    """`async with HttpReceiver() as receiver`: listens on loopback, `receiver.url`."""

    def __init__(
        self,
        script: Iterable[int | Answer | HttpBehaviour] = (),
        *,
        default: int | Answer | HttpBehaviour = 200,
        late_s: float = 0.3,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.script = deque(script)
        self.default = default
        self.late_s = late_s
        self.recording = Recording()
        self.host = "127.0.0.1"
        self.port = port
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._connections: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{self.host}:{self.port}/messages"

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self) -> None:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        connection = self._connections.setdefault(id(transport), len(self._connections) + 1)
        does = self.script.popleft() if self.script else self.default
        if does is HttpBehaviour.CLOSE_BEFORE_READ:
            transport.abort()
            return web.Response()
        data = await request.read()
        answer = Answer(does) if isinstance(does, int) else does
        if isinstance(answer, Answer):
            taken = 200 <= answer.status < 300
        else:
            taken = answer in {HttpBehaviour.LATE, HttpBehaviour.ENDLESS_BODY}
        await self.recording.add(
            request.headers.get("Idempotency-Key", ""),
            data,
            taken=taken,
            connection=connection,
            headers={**request.headers, ":path": request.path},
        )
        if isinstance(answer, Answer):
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        return await self._misbehave(answer, request, transport)

    async def _misbehave(
        self, does: HttpBehaviour, request: web.Request, transport: asyncio.Transport
    ) -> web.StreamResponse:
        match does:
            case HttpBehaviour.HANG:
                await asyncio.sleep(3600)
            case HttpBehaviour.LATE:
                await asyncio.sleep(self.late_s)
            case HttpBehaviour.GARBAGE:
                transport.write(b"\x0bMSH|this is no HTTP\x1c\r\n\r\n")
                await asyncio.sleep(0.05)
                transport.abort()
            case HttpBehaviour.ENDLESS_BODY:
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(b"x" * 65536)
            case _:
                transport.abort()
        return web.Response()
