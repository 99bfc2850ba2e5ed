"""Microseconds a message that each family's validator takes, and what the worker adds.

On the profiles' samples, and on large messages made of them: in this process, in a worker one at a
time, and in a worker as many at once as wait under load; and judged and de-identified in this
process, for families whose places the ferry knows by itself. The least of many turns counts: what
else the machine does only adds to it.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from validators.deidentify.families import Deidentification, Examiner, deidentifier
from validators.pieces import Piece
from validators.policy import DeidentificationPolicy
from validators.profiles import Profile, load
from validators.registry import ContentSpec
from validators.verdict import Accepted, Verdict
from validators.worker import WorkerPool

SECONDS_A_SIZE = 1.0
TURNS_MIN = 3
AT_ONCE = 64
CHANNEL = "measured"


@dataclass(frozen=True)
class Case:
    """A family's sample, and how a large message is made of it."""

    family: str
    profile: str
    sample: str
    grown: Callable[[bytes], bytes]
    as_asked: Callable[[bytes], bytes] = bytes
    """How a worker gets it."""
    has_table: bool = False
    """Whether the ferry knows the family's personal data; else each channel names its places."""


def measure() -> dict[str, dict[str, object]]:
    """The figures of every family, as `validators.FAMILY`."""
    return {f"validators.{case.family}": _figures(case) for case in CASES}


def _figures(case: Case) -> dict[str, object]:
    profile = load(case.profile)
    spec = ContentSpec(profile.content, profile.schemas, profile.order_by)
    judge = profile.validator().validate
    sample = profile.accepted[case.sample]
    examiner = _examiner(profile) if case.has_table else None
    with WorkerPool({CHANNEL: spec}, deadline_s=10) as pool:
        return {
            size: _times(judge, pool, case.as_asked(payload)) | _deidentified(examiner, payload)
            for size, payload in (("small", sample), ("large", case.grown(sample)))
        }


def _examiner(profile: Profile) -> Examiner:
    described = Deidentification(DeidentificationPolicy(key="bench"), bytes(32))
    return deidentifier(described, profile.content, profile.validator())


def _deidentified(examiner: Examiner | None, payload: bytes) -> dict[str, object]:
    if examiner is None:
        return {}
    verdict = examiner.examine(payload).verdict
    assert isinstance(verdict, Accepted), verdict
    turns = []
    until = time.perf_counter() + SECONDS_A_SIZE / 2
    while time.perf_counter() < until or len(turns) < TURNS_MIN:
        turns.append(_seconds(lambda: examiner.examine(payload)))
    return {"deidentified_us": round(min(turns) * 1e6, 1)}


def _times(
    judge: Callable[[bytes], Verdict], pool: WorkerPool, payload: bytes
) -> dict[str, object]:
    verdict = judge(payload)
    assert isinstance(verdict, Accepted), verdict
    # Under a megabyte, so that they go as one batch.
    together = max(1, min(AT_ONCE, 1_000_000 // len(payload)))
    turns = []
    until = time.perf_counter() + SECONDS_A_SIZE
    while time.perf_counter() < until or len(turns) < TURNS_MIN:
        # One after the other, so that whatever slows the machine slows all three; here as many as a
        # worker gets at once, so that both are warm.
        turns.append(
            (
                _seconds(lambda: [judge(payload) for _ in range(together)]) / together,
                _seconds(lambda: pool.validate_many([(CHANNEL, payload)])),
                _seconds(lambda: pool.validate_many([(CHANNEL, payload)] * together)) / together,
            )
        )
    alone, one, batched = (min(times) * 1e6 for times in zip(*turns, strict=True))
    return {
        "bytes": len(payload),
        "us": round(alone, 1),
        "worker_us": round(one - alone, 1),
        "worker_batched_us": round(batched - alone, 1),
        "batch": together,
    }


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _lines(prefix: bytes, end: bytes, times: int) -> Callable[[bytes], bytes]:
    """The lines that begin with `prefix` stand `times` times."""

    def grown(payload: bytes) -> bytes:
        lines = payload.removesuffix(end).split(end)
        repeated = [line for line in lines if line.startswith(prefix)]
        return end.join([*lines, *repeated * (times - 1), b""])

    return grown


def _more(text: bytes, times: int) -> Callable[[bytes], bytes]:
    """`text` stands `times` times behind the sample."""
    return lambda payload: payload + text * times


def _larger_image(payload: bytes) -> bytes:
    """The image of 16 times 16 pixels has 512 times 512."""
    for side in (b"\x28\0\x10\0US\2\0", b"\x28\0\x11\0US\2\0"):
        payload = payload.replace(side + struct.pack("<H", 16), side + struct.pack("<H", 512))
    head, mark, rest = payload.partition(b"\xe0\x7f\x10\0OW\0\0")
    return head + mark + struct.pack("<I", 512 * 512 * 2) + rest[4:] * 1024


def _whole(payload: bytes) -> bytes:
    """A DICOM instance as its one piece."""
    return Piece(b"", payload, is_last=True).packed()


def _items(key: str, times: int) -> Callable[[bytes], bytes]:
    """The last item of a list stands `times` times; a Bundle's copies have no URL of their own."""

    def grown(payload: bytes) -> bytes:
        message = json.loads(payload)
        item = {name: value for name, value in message[key][-1].items() if name != "fullUrl"}
        message[key] += [item] * (times - 1)
        return json.dumps(message, ensure_ascii=False).encode()

    return grown


def _element(name: str, times: int) -> Callable[[bytes], bytes]:
    """The first element of this name stands `times` times."""

    def grown(payload: bytes) -> bytes:
        begin, end = payload.index(f"<{name}>".encode()), payload.index(f"</{name}>".encode())
        end += len(f"</{name}>")
        return payload[:begin] + payload[begin:end] * times + payload[end:]

    return grown


CASES = (
    Case("hl7v2", "result", "two-kilobytes-r01.hl7", _lines(b"OBX", b"\r", 80), has_table=True),
    Case("json", "payment", "payment.json", _items("items", 199)),
    Case("fhir", "prescription-fhir", "two-drugs.json", _items("entry", 55), has_table=True),
    Case("xml", "discharge-summary", "summary.xml", _element("entry", 1000), has_table=True),
    Case("csv", "settlement", "statement.csv", _lines(b"WX-", b"\r\n", 1000)),
    Case("dicom", "image", "ct-slice-gb18030.dcm", _larger_image, _whole, has_table=True),
    Case("form", "payment-form", "paid.form", _more(b"&bill=B0003", 198)),
)
