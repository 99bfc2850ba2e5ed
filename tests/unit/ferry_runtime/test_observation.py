from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from ferry_runtime.addresses import ListenAddress
from ferry_runtime.observation import ObservationServer

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("ferry_test_things", "Things.", registry=registry).inc(3)
    return registry


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_metrics_in_both_formats(
    registry: CollectorRegistry, client: aiohttp.ClientSession
) -> None:
    server = ObservationServer(registry, lambda: (True, ""))
    await server.start(ListenAddress("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.port}/metrics"
    async with client.get(url) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "ferry_test_things_total 3.0" in await answer.text()
    async with client.get(url, headers={"Accept": OPENMETRICS}) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")
    await server.stop()
    await server.stop()


async def test_the_other_process_is_appended(
    registry: CollectorRegistry, client: aiohttp.ClientSession
) -> None:
    server = ObservationServer(registry, lambda: (True, ""), lambda: b"ferry_other 1\n")
    await server.start(ListenAddress("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.port}/metrics"
    async with client.get(url, headers={"Accept": OPENMETRICS}) as answer:
        text = await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "ferry_test_things_total 3.0" in text
        assert text.endswith("ferry_other 1\n")
        assert "# EOF" not in text
    await server.stop()


async def test_health_and_readiness(
    registry: CollectorRegistry, client: aiohttp.ClientSession
) -> None:
    state = [(False, "medium is full")]
    server = ObservationServer(registry, lambda: state[0])
    await server.start(ListenAddress("127.0.0.1", 0))
    base = f"http://127.0.0.1:{server.port}"
    async with client.get(base + "/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "alive"})
    async with client.get(base + "/readyz") as answer:
        assert answer.status == 503
        assert await answer.json() == {"status": "not ready", "missing": "medium is full"}
    state[0] = (True, "")
    async with client.get(base + "/readyz") as answer:
        assert answer.status == 200
    async with client.post(base + "/metrics") as answer:
        assert answer.status == 405
    await server.stop()


async def test_an_address_in_use_is_an_os_error(registry: CollectorRegistry) -> None:
    first = ObservationServer(registry, lambda: (True, ""))
    await first.start(ListenAddress("127.0.0.1", 0))
    second = ObservationServer(registry, lambda: (True, ""))
    with pytest.raises(OSError):
        await second.start(ListenAddress("127.0.0.1", first.port))
    await first.stop()
