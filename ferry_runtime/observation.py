"""The metrics server: /metrics, /healthz and /readyz, on a listener of its own.

Answers GET and HEAD only, holds no state, and knows the agent by two callables: `ready` (what is
not ready, in words) and `extra` (metrics text of another process, appended to ours).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ferry_runtime.addresses import ListenAddress

REQUEST_BYTES_MAX: Final = 1024
SHUTDOWN_S: Final = 2.0

_OPENMETRICS_END: Final = b"# EOF\n"

Readiness = Callable[[], tuple[bool, str]]


class ObservationServer:
    """Serves the registry's metrics and the agent's readiness.

    `ready` returns (whether the agent takes or delivers messages now, what is missing otherwise).
    `extra` returns Prometheus text (format 0.0.4) that is appended; its metric names must not be
    those of `registry`.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        ready: Readiness,
        extra: Callable[[], bytes] | None = None,
    ) -> None:
        self._registry = registry
        self._ready = ready
        self._extra = extra
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, listen: ListenAddress) -> None:
        """Listen; `port` then holds the real port. Raises OSError if the address is taken."""
        application = web.Application(client_max_size=REQUEST_BYTES_MAX)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, listen.host, listen.port).start()
        except OSError:
            await self.stop()
            raise
        self.port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the listener; a second call does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        # The appended text is in the classic format, so OpenMetrics is offered only without it.
        accept = "" if self._extra is not None else request.headers.get("Accept", "")
        encode, content_type = choose_encoder(accept)
        body: bytes = encode(self._registry)
        if self._extra is not None:
            body += self._extra()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        ready, missing = self._ready()
        if ready:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "missing": missing}, status=503)
