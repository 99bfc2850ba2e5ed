"""Every kind of source on loopback, each with a sender of its own protocol.

A `Way` sends one message and says in the contract's words what its sender was told: "taken",
"refused", "later", or "gone" if the connection ended without an answer. A new source adds one way.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import trustme

from ferry_format import reasons
from ferry_format.reasons import Reason
from outer_agent.config import DicomSource, FolderSource, HttpSource, MllpSource
from outer_agent.sources.base import Source
from outer_agent.sources.registry import build
from tests.simulator.clients import code_of
from tests.simulator.dicom_caller import store
from tests.simulator.dicom_files import ct
from tests.simulator.messages import adt
from tests.simulator.outer_inside import API_KEY, HL7, OuterInside
from validators.dicom.validator import DicomValidator, judge_whole
from validators.policy import ContentPolicy
from validators.verdict import Accepted

DICOM = ContentPolicy.model_validate(
    {"dicom": {"sop_classes": ["CTImageStorage"], "bytes_max": 100_000}}
)
TOLD = {"AA": "taken", "CA": "taken", "AE": "later", "CE": "later", "AR": "refused"}


@dataclass
class Certificates:
    """A CA, a server certificate for 127.0.0.1 and client contexts by name."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        server = self.ca.issue_cert("127.0.0.1", "localhost")
        self.ca.cert_pem.write_to_path(self.folder / "ca.pem")
        server.private_key_pem.write_to_path(self.folder / "key.pem")
        self.chain = self.folder / "certificate.pem"
        self.chain.write_bytes(b"".join(pem.bytes() for pem in server.cert_chain_pems))

    def settings(self, *, mutual: bool = True) -> dict[str, Any]:
        """The TLS keys of a [[sources]] table."""
        settings = {"tls_certificate": self.chain, "tls_key": self.folder / "key.pem"}
        return settings | ({"tls_client_ca": self.folder / "ca.pem"} if mutual else {})

    def client(self, name: str | None, ca: trustme.CA | None = None) -> ssl.SSLContext:
        """A client's context, with a certificate of `ca` for the DNS name if there is one."""
        context = ssl.create_default_context(cadata=self.ca.cert_pem.bytes().decode())
        if name is not None:
            (ca or self.ca).issue_cert(name).configure_cert(context)
        return context


@dataclass(frozen=True)
class Messages:
    """What a kind of source carries on the channel adt, at most 100,000 bytes each.

    `refused` are refused for `reason`; `crosses` is a message as the intake publishes it.
    """

    content: ContentPolicy
    message: Callable[[str], bytes]
    refused: Callable[[str], bytes]
    reason: Reason
    oversized: bytes
    crosses: Callable[[bytes], bytes] = bytes


def _instance(number: str, **values: Any) -> bytes:
    return ct(int(number), **values)


def _rebuilt(instance: bytes) -> bytes:
    assert DICOM.dicom is not None
    verdict = judge_whole(DicomValidator(DICOM.dicom), instance)
    assert isinstance(verdict, Accepted)
    return verdict.payload


OF_HL7 = Messages(
    HL7,
    adt,
    lambda number: adt(number, "REFUSE"),
    reasons.SEGMENT_NOT_ALLOWED,
    adt("1", "x" * 200_000),
)
OF_DICOM = Messages(
    DICOM,
    _instance,
    lambda number: _instance(number, PatientName="A\x07B"),
    reasons.CONTROL_CHARACTER,
    ct(1, rows=256),
    _rebuilt,
)


class Way(Protocol):
    source: Source

    async def send(self, message: bytes) -> str: ...


@dataclass
class HttpWay:
    source: Any
    tls: ssl.SSLContext | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.source.port}/channels/adt/messages"

    async def send(self, message: bytes) -> str:
        try:
            async with (
                aiohttp.ClientSession(headers=self.headers) as session,
                session.post(self.url, data=message, ssl=self.tls or True) as answer,
            ):
                await answer.read()
                return {202: "taken", 429: "later", 503: "later"}.get(answer.status, "refused")
        except (aiohttp.ClientError, ConnectionError):
            return "gone"


@dataclass
class StowWay:
    """Each message as a request of one instance."""

    source: Any

    async def send(self, message: bytes) -> str:
        url = f"http://127.0.0.1:{self.source.port}/channels/adt/studies"
        body = b"--here\r\nContent-Type: application/dicom\r\n\r\n" + message + b"\r\n--here--\r\n"
        headers = {
            "Authorization": f"Bearer {API_KEY}",
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=here',
        }
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.post(url, data=body) as answer,
            ):
                await answer.read()
                return {200: "taken", 503: "later"}.get(answer.status, "refused")
        except (aiohttp.ClientError, ConnectionError):
            return "gone"


@dataclass
class StoreWay:
    """Each message as an association of one C-STORE."""

    source: Any

    async def send(self, message: bytes) -> str:
        statuses = await asyncio.to_thread(store, self.source.port, message, title="HIS")
        if not statuses:
            return "gone"
        return {0x00: "taken", 0xA7: "later"}.get(statuses[0] >> 8, "refused")


@dataclass
class MllpWay:
    source: Any
    tls: ssl.SSLContext | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.source.port, ssl=self.tls)

    async def send(self, message: bytes) -> str:
        try:
            reader, writer = await self.open()
            try:
                writer.write(b"\x0b" + message + b"\x1c\r")
                answer = await reader.readuntil(b"\x1c\r")
            finally:
                writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return "gone"
        return TOLD[code_of(answer[1:-2])]


@dataclass
class FolderWay:
    source: Any
    folder: Path
    inside: OuterInside
    number: int = 0

    def drop(self, message: bytes) -> str:
        """Write a file as a well-behaved program does; its name."""
        self.number += 1
        name = f"{self.number:04d}.hl7"
        (self.folder / f".{name}").write_bytes(message)
        (self.folder / f".{name}").rename(self.folder / name)
        return name

    async def send(self, message: bytes) -> str:
        name = self.drop(message)
        deferrals = self.deferrals()
        while True:
            if (self.folder / "done" / name).exists():
                return "taken"
            if (self.folder / "refused" / name).exists():
                assert (self.folder / "refused" / f"{name}.reason.txt").exists()
                return "refused"
            if self.deferrals() > deferrals:
                (self.folder / name).unlink()  # as if its sender gave up for now
                return "later"
            await asyncio.sleep(0.005)

    def deferrals(self) -> int:
        return self.inside.audit.events.count("message_deferred")


@asynccontextmanager
async def _running(source: Source) -> AsyncIterator[Source]:
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


def _builders(
    inside: OuterInside, folder: Path, certificates: Certificates, fields: dict[str, Any]
) -> dict[str, Callable[[], Way]]:
    def http(tls: ssl.SSLContext | None, headers: dict[str, str], **tls_fields: Any) -> HttpWay:
        section = HttpSource(
            kind="http", name="front-http", listen="127.0.0.1:0", **tls_fields, **fields
        )
        return HttpWay(build(section, inside.surroundings), tls, headers)

    def mllp(tls: ssl.SSLContext | None, name: str, **tls_fields: Any) -> MllpWay:
        section = MllpSource(
            kind="mllp",
            name=name,
            listen="127.0.0.1:0",
            **{"channel": "adt"} | tls_fields | fields,
        )
        return MllpWay(build(section, inside.surroundings), tls)

    def drop() -> FolderWay:
        values = {"channel": "adt", "settle_s": 0.02, "poll_s": 0.03} | fields
        section = FolderSource(kind="folder", name="drop", path=folder, **values)
        return FolderWay(build(section, inside.surroundings), folder, inside)

    def stow() -> StowWay:
        section = HttpSource(kind="http", name="web", listen="127.0.0.1:0", **fields)
        return StowWay(build(section, inside.surroundings))

    def c_store() -> StoreWay:
        section = DicomSource(
            kind="dicom",
            name="store",
            listen="127.0.0.1:0",
            **{"channel": "adt", "ae_title": "FERRY", "peers": ("127.0.0.0/8",)} | fields,
        )
        return StoreWay(build(section, inside.surroundings))

    client = certificates.client("his.example")
    settings = certificates.settings()
    return {
        "http": lambda: http(None, {"Authorization": f"Bearer {API_KEY}"}),
        "https": lambda: http(client, {}, **settings),
        "mllp": lambda: mllp(None, "adt-in"),
        "mllps": lambda: mllp(client, "adt-tls", **settings),
        "folder": drop,
        "stow": stow,
        "c-store": c_store,
    }


KINDS = {
    **dict.fromkeys(("http", "https", "mllp", "mllps", "folder"), OF_HL7),
    **dict.fromkeys(("stow", "c-store"), OF_DICOM),
}


@asynccontextmanager
async def a_way(
    kind: str, inside: OuterInside, folder: Path, certificates: Certificates, **fields: Any
) -> AsyncIterator[Way]:
    """A running source of a kind; `fields` are further keys of its [[sources]] table."""
    way = _builders(inside, folder, certificates, fields)[kind]()
    async with _running(way.source):
        yield way
