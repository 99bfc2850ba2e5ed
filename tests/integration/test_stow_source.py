"""STOW-RS: many instances in one request, each durable or not, and an answer that names each."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydicom import dcmread

from ferry_format import reasons
from outer_agent.config import HttpSource
from outer_agent.sources.http import HttpListener
from tests.simulator.dicom_files import ct
from tests.simulator.outer_inside import API_KEY, HL7, OuterInside, channel
from validators.policy import ContentPolicy

DICOM = ContentPolicy.model_validate({"dicom": {"sop_classes": ["CTImageStorage"]}})
RELATED = 'multipart/related; type="application/dicom"; boundary=here'


@pytest.fixture
def inside(tmp_path: Path) -> OuterInside:
    return OuterInside([channel("images", DICOM), channel("adt", HL7)], state_dir=tmp_path)


@pytest.fixture
async def url(inside: OuterInside) -> AsyncIterator[str]:
    section = HttpSource(kind="http", name="web", listen="127.0.0.1:0")
    source = HttpListener(section, inside.surroundings)
    await source.start()
    yield f"http://127.0.0.1:{source.port}/channels"
    await source.stop()


def body(*instances: bytes, declared: str = "application/dicom") -> bytes:
    head = f"--here\r\nContent-Type: {declared}\r\n\r\n".encode()
    return b"".join(head + one + b"\r\n" for one in instances) + b"--here--\r\n"


async def post(
    url: str, data: bytes, kind: str = RELATED, key: str = API_KEY
) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": kind, "Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, headers=headers) as answer,
    ):
        told: dict[str, Any] = await answer.json(content_type=None)
        return answer.status, told


def stored(told: dict[str, Any]) -> list[str]:
    return [item["00081155"]["Value"][0] for item in told["00081199"]["Value"]]


def failures(told: dict[str, Any]) -> list[int]:
    return [item["00081197"]["Value"][0] for item in told["0008119A"]["Value"]]


async def test_every_instance_of_a_request_is_taken(url: str, inside: OuterInside) -> None:
    status, told = await post(f"{url}/images/studies", body(ct(1), ct(2, rows=64)))
    assert (status, stored(told)) == (200, ["2.25.1", "2.25.2"])
    assert told["00081199"]["Value"][0]["00081150"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]
    assert [dcmread(io.BytesIO(one)).SOPInstanceUID for one in inside.publisher.payloads] == [
        "2.25.1",
        "2.25.2",
    ]
    status, told = await post(f"{url}/images/studies", body(ct(1)))
    assert (status, stored(told)) == (200, ["2.25.1"])
    assert len(inside.publisher.payloads) == 2


async def test_what_is_refused_is_told_beside_what_was_taken(url: str, inside: OuterInside) -> None:
    status, told = await post(f"{url}/images/studies", body(ct(1), ct(2)[:-2], ct(3)))
    assert (status, stored(told), failures(told)) == (202, ["2.25.1", "2.25.3"], [0xC000])
    status, told = await post(f"{url}/images/studies", body(b"MZ"))
    assert (status, failures(told)) == (409, [0xC000])
    assert inside.count("refused", reasons.NOT_WELL_FORMED, "images") == 2


async def test_a_full_medium_is_told_as_for_now(url: str, inside: OuterInside) -> None:
    inside.fill()
    status, told = await post(f"{url}/images/studies", body(ct(1)))
    assert (status, failures(told)) == (503, [0xA700])
    inside.drain()
    assert (await post(f"{url}/images/studies", body(ct(1))))[0] == 200


@pytest.mark.parametrize(
    ("data", "kind", "key", "status"),
    [
        (body(ct(1)), "application/dicom", API_KEY, 415),
        (body(ct(1), declared="application/dicom+json"), RELATED, API_KEY, 415),
        (b"--here--\r\n", RELATED, API_KEY, 400),
        (b"no boundary anywhere", RELATED, API_KEY, 422),
        (body(ct(1)), "multipart/related", API_KEY, 422),
        (body(ct(1)), RELATED, "wrong", 401),
    ],
)
async def test_a_request_that_is_none_is_a_problem(
    url: str, inside: OuterInside, data: bytes, kind: str, key: str, status: int
) -> None:
    assert (await post(f"{url}/images/studies", data, kind, key))[0] == status
    assert inside.publisher.payloads == []


async def test_other_channels_take_no_studies(url: str) -> None:
    assert (await post(f"{url}/adt/studies", body(ct(1))))[0] in {415, 422}
