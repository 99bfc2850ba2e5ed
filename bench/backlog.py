"""A million journaled messages that wait: how soon the inner is ready, and how fast it drains."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.load import message
from ferry_format.identifiers import new_message_id
from ferry_format.stream import Link
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal import StreamRecord
from inner_agent.journal_batch import Batch, NewMessage, TakenFile
from inner_agent.journal_writer import JournalWriter
from tests.simulator.ferry_pair import Channel, FerryPair, free_port

ROOT = Path(__file__).parents[1]
A_FILE = 4096
DRAIN_S = 10.0
_START, _END = 1, 2
"""Bytes that MLLP puts around a message."""


def measure(where: Path, messages: int, content: str) -> dict[str, dict[str, object]]:
    """Seconds until both inner processes are ready, and the rate once the sink is there."""
    folder = Path(tempfile.mkdtemp(prefix="ferry-bench-", dir=where))
    sink_port, mllp_port = free_port(), free_port()
    pair = FerryPair(
        folder,
        [Channel("results", content, "his")],
        f'[[sources]]\nkind = "mllp"\nname = "lab"\n'
        f'listen = "127.0.0.1:{mllp_port}"\nchannel = "results"',
        f'[[sinks]]\nkind = "mllp"\nname = "his"\nhost = "127.0.0.1"\nport = {sink_port}',
        '[[senders]]\nname = "hospital-front"\nlisteners = ["lab"]',
    )
    pair.write()
    fill(pair, messages)
    started_s = time.monotonic()
    pair.start_inner()
    while not pair.is_ready("inner"):
        pair.check_alive()
        time.sleep(0.01)
    ready_s = time.monotonic() - started_s
    rate = _drain(pair, folder, sink_port)
    pair.stop()
    shutil.rmtree(folder)
    return {
        "backlog.start": {
            "messages": messages,
            "seconds": round(ready_s, 2),
            "drain_per_s": round(rate, 1),
        }
    }


def fill(pair: FerryPair, messages: int) -> None:
    """Journal so many messages, as the verifier would."""
    cipher = PayloadCipher.from_key_file(pair.keys / "journal.key")
    writer = JournalWriter(pair.inner_state / "journal.db", cipher)
    stream_id, now_ms = bytes(16), time.time_ns() // 1_000_000
    for sequence, first in enumerate(range(0, messages, A_FILE), 1):
        new = tuple(_messages(first, min(first + A_FILE, messages), now_ms))
        link = Link(sequence.to_bytes(32, "big"), (sequence - 1).to_bytes(32, "big"))
        file = TakenFile(
            sequence, link, len(new), late=False, messages=new, tombstones=(), refused=()
        )
        stream = StreamRecord(
            stream_id, "front-1", "trusted", sequence + 1, link.digest, now_ms, now_ms, now_ms
        )
        writer.take(Batch(now_ms, stream, (file,), {"results": first + len(new)}))
    writer.close()


def _messages(first: int, end: int, now_ms: int) -> Iterator[NewMessage]:
    for number in range(first, end):
        control_id = f"B{number:08d}"
        payload = message(control_id)[_START:-_END]
        yield NewMessage(
            new_message_id(now_ms),
            "results",
            number + 1,
            now_ms,
            "application/hl7-v2",
            "ORU^R01",
            control_id,
            payload,
        )


def _drain(pair: FerryPair, folder: Path, sink_port: int) -> float:
    receiver = subprocess.Popen(
        [sys.executable, "-m", "bench.sink", str(sink_port), str(folder / "arrived.json")], cwd=ROOT
    )

    def delivered() -> float:
        return pair.metric("inner", "ferry_inner_deliveries_total", outcome="delivered")

    while not delivered():
        pair.check_alive()
        time.sleep(0.05)
    before, began_s = delivered(), time.monotonic()
    time.sleep(DRAIN_S)
    rate = (delivered() - before) / (time.monotonic() - began_s)
    receiver.send_signal(signal.SIGTERM)
    receiver.wait(20)
    return rate
