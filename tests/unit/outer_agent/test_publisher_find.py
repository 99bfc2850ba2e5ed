"""A receipt found again by its fingerprint, from a real spool."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from ferry_format.container import Sealer
from ferry_format.identifiers import new_message_id
from ferry_format.keys import KeyKind, generate
from ferry_format.medium.writer import MediumWriter
from outer_agent.admission import Admitted, Fingerprint, Receipt
from outer_agent.commit import Committer
from outer_agent.metrics import OuterMetrics
from outer_agent.publisher import Publisher, Retention
from outer_agent.room import Marks
from outer_agent.spool import Spool

ROOMY = Retention(1.0, 1.0, 1 << 40, Marks(1 << 40, 0, 0), 60.0, 100)


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_receipt_is_found_by_key_and_bytes_together(tmp_path: Path) -> None:
    (tmp_path / "medium").mkdir()
    sign = generate(KeyKind.SIGN, "front", datetime.now(UTC))
    receive = generate(KeyKind.RECEIVE, "inner", datetime.now(UTC)).public
    spool = Spool(tmp_path / "spool.db", clock_ms())
    medium = MediumWriter(tmp_path / "medium")
    committer = Committer(
        spool, medium, lambda stream_id: Sealer(sign, receive, "lane", stream_id), clock_ms
    )
    publisher = Publisher(
        committer,
        spool,
        medium,
        ROOMY,
        OuterMetrics(CollectorRegistry()),
        spool_free_bytes=lambda: 1 << 40,
        clock_ms=clock_ms,
    )
    await publisher.start()
    known = Fingerprint(b"k" * 32, b"b" * 32)
    assert await publisher.find(known) is None
    message_id = new_message_id(clock_ms())
    admitted = Admitted(message_id, "adt", clock_ms(), "application/json", b"{}", known)
    await publisher.publish(admitted, reuse="new")
    assert await publisher.find(known) == Receipt(message_id, duplicate=True)
    assert await publisher.find(Fingerprint(b"k" * 32, b"x" * 32)) is None
    assert await publisher.find(Fingerprint(b"x" * 32, b"b" * 32)) is None
    await publisher.stop()
    spool.close()
