"""The outer without its disk: a real intake and admission between a pool and a publisher in memory.

Change it by assigning: what the publisher turns away or fails with, which payloads are slow to
validate, whether commits are held up.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from ferry_format import reasons
from ferry_format.reasons import FerryError, Reason, Refused, Unavailable
from outer_agent.admission import Admitted, Fingerprint, Receipt
from outer_agent.intake import Intake
from outer_agent.metrics import OuterMetrics
from outer_agent.policy import OuterChannel, SenderSection
from outer_agent.rebuilding import Rebuilding
from outer_agent.senders import SenderDirectory
from outer_agent.sources.base import Surroundings
from validators.hl7v2.header import read_header
from validators.policy import ContentPolicy
from validators.registry import build
from validators.verdict import Accepted, Rejected, Validator, Verdict

API_KEY = "k3y-of-the-test"
OTHER_API_KEY = "k3y-of-another"
HL7_TYPE = "application/hl7-v2"
REFUSED_MARK = b"REFUSE"
FINGERPRINT_KEY = bytes(range(32))

HL7 = ContentPolicy.model_validate({"hl7v2": {"messages": ["ADT^*"], "segments": "any"}})
JSON = ContentPolicy.model_validate(
    {"json": {"schema_file": "any.json", "schema_sha256": "00" * 32}}
)


def api_key_digest(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()


def content_type(content: ContentPolicy) -> str:
    if content.dicom is not None:
        return "application/dicom"
    return HL7_TYPE if content.hl7v2 is not None else "application/json"


def channel(name: str, content: ContentPolicy = JSON, **fields) -> OuterChannel:
    values = {"senders": ("his-front",)} | fields
    if content.objects is None:
        values = {"message_bytes_max": 100_000} | values
    return OuterChannel(name=name, content=content, **values)


def sender(name: str = "his-front", **fields) -> SenderSection:
    values = {
        "api_keys_sha256": (api_key_digest(API_KEY),),
        "tls_names": ("his.example",),
        "listeners": ("adt-in", "drop"),
        "ae_titles": ("HIS",),
    } | fields
    return SenderSection(name=name, **values)


OTHER_SENDER = sender(
    "pacs",
    api_keys_sha256=(api_key_digest(OTHER_API_KEY),),
    tls_names=("pacs.example",),
    listeners=(),
    ae_titles=("PACS",),
)


class PoolInMemory:
    """Accepts all but payloads with REFUSED_MARK; what it accepts is "rebuilt" by a prefix."""

    def __init__(self) -> None:
        self.dicom: dict[str, Validator] = {}
        self.prefix = b"rebuilt:"
        self.slow: dict[bytes, float] = {}
        self.failing: Exception | None = None
        self.seen: list[bytes] = []

    async def validate(self, channel: str, payload: bytes) -> Verdict:
        self.seen.append(payload)
        if self.failing is not None:
            raise self.failing
        if channel in self.dicom:
            return self.dicom[channel].validate(payload)
        await asyncio.sleep(self.slow.get(payload, 0))
        if REFUSED_MARK in payload:
            return Rejected(reasons.SEGMENT_NOT_ALLOWED, "segment 2")
        header = read_header(payload)
        control_id = header.control_id if header is not None else None
        return Accepted(self.prefix + payload, "ADT^A01", control_id)


class PublisherInMemory:
    """Takes custody in the order of the calls, once per fingerprint; a commit can be held up."""

    def __init__(self) -> None:
        self.taken: list[Admitted] = []
        self.calls = 0
        self.called = asyncio.Event()
        self.turning_away: Reason | None = None
        self.failing: list[FerryError] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self._known: dict[Fingerprint, bytes] = {}

    def refuses_now(self) -> Reason | None:
        return self.turning_away

    def has_room_for(self, _size: int) -> bool:
        return True

    async def knows_key(self, key_digest: bytes) -> bool:
        return any(known.key_digest == key_digest for known in self._known)

    async def abandon(self, message_id: bytes) -> None:
        self.taken = [one for one in self.taken if one.message_id != message_id]

    async def find(self, fingerprint: Fingerprint) -> Receipt | None:
        known = self._known.get(fingerprint)
        return None if known is None else Receipt(known, duplicate=True)

    async def publish(self, admitted: Admitted, *, reuse: str) -> Receipt:
        self.calls += 1
        self.called.set()
        failure = self.failing.pop(0) if self.failing else None
        fingerprint = admitted.fingerprint
        known = None if fingerprint is None else self._known.get(fingerprint)
        if failure is None and known is None:
            if reuse == "refuse" and fingerprint is not None and self._has_key(fingerprint):
                raise Refused(reasons.ID_REUSED)
            self.taken.append(admitted)
            if fingerprint is not None:
                self._known[fingerprint] = admitted.message_id
        await self.may_commit.wait()
        if failure is not None:
            raise failure
        if known is not None:
            return Receipt(known, duplicate=True)
        return Receipt(admitted.message_id, duplicate=False)

    def _has_key(self, fingerprint: Fingerprint) -> bool:
        return any(known.key_digest == fingerprint.key_digest for known in self._known)

    @property
    def payloads(self) -> list[bytes]:
        """What was taken, in order, as it was before it was rebuilt."""
        return [admitted.payload.removeprefix(b"rebuilt:") for admitted in self.taken]


@dataclass
class AuditInMemory:
    records: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def record(self, event: str, /, *, durable: bool = False, **fields: object) -> None:
        self.records.append((event, fields))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.records]


class OuterInside:
    def __init__(
        self,
        channels: Iterable[OuterChannel] = (),
        senders: Iterable[SenderSection] = (),
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        state_dir: Path = Path("/nonexistent"),
    ) -> None:
        channels = list(channels) or [channel("adt", HL7), channel("orders")]
        self.pool = PoolInMemory()
        self.pool.dicom = {
            each.name: build(each.content, {}) for each in channels if each.content.dicom
        }
        self.publisher = PublisherInMemory()
        self.audit = AuditInMemory()
        self.registry = CollectorRegistry()
        self.metrics = OuterMetrics(self.registry)
        self.intake = Intake(
            {each.name: each for each in channels},
            {each.name: content_type(each.content) for each in channels},
            self.pool,
            self.publisher,
            self.metrics,
            self.audit,
            FINGERPRINT_KEY,
            clock_ms,
            rebuilding=Rebuilding(self.pool, state_dir),
        )
        directory = SenderDirectory(list(senders) or [sender(), OTHER_SENDER])
        self.surroundings = Surroundings(self.intake, directory, self.metrics, clock_ms, state_dir)

    def count(self, outcome: str, reason: Reason | None = None, channel: str = "adt") -> float:
        labels = {"channel": channel, "outcome": outcome, "reason": reason.code if reason else ""}
        return self.registry.get_sample_value("ferry_outer_messages_total", labels) or 0

    def fill(self) -> None:
        """From now on everything is told to come again later."""
        self.publisher.turning_away = reasons.MEDIUM_FULL

    def drain(self) -> None:
        self.publisher.turning_away = None


def unavailable(reason: Reason = reasons.MEDIUM_UNAVAILABLE) -> Unavailable:
    return Unavailable(reason)
