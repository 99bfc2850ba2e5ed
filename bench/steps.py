"""What each step costs by itself: one process, a tight loop, a memory-backed folder.

A message passes all of them one after the other, so their sum is what no arrangement of the same
steps goes below. What is measured beyond it is the way between processes, and steps that run cold.
A file holds one message, or as many as wait under load.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.load import message
from ferry_format.container import Sealer
from ferry_format.identifiers import new_message_id
from ferry_format.keys import KeyKind
from ferry_format.medium.writer import MediumWriter
from inner_agent.intake_decisions import ChannelRule
from inner_agent.workplace import BatchLimits
from outer_agent import admission
from outer_agent.admission import Admitted, Receipt, Submission
from outer_agent.commit import Committer, Waiting
from outer_agent.sources import mllp_answer
from outer_agent.spool import Spool
from tests.simulator import sending_side
from tests.simulator.verifying_side import VerifyingSide
from validators.hl7v2.validator import CONTENT_TYPE, HL7v2Validator
from validators.policy import HL7v2Policy
from validators.verdict import Accepted

CHANNEL = "adt"
BATCHES = (1, 32)
FILES = 150
TURNS = 400
_KEY = bytes(32)
_NOW_MS = 1_767_225_600_000
_PAYLOAD = message("4711")[1:-2]
_SEGMENTS = ("MSH", "PID", "OBR", "OBX")


def measure(where: Path) -> dict[str, dict[str, object]]:
    """Microseconds a message by step, by how many messages a file has."""
    folder = Path(tempfile.mkdtemp(prefix="ferry-bench-", dir=where))
    try:
        rows = [{"batch": batch, **_row(folder / str(batch), batch)} for batch in BATCHES]
    finally:
        shutil.rmtree(folder)
    return {"steps": {"rows": rows}}


def _row(folder: Path, batch: int) -> dict[str, float]:
    """Each message is validated twice; the rest stands in the order of its way."""
    (folder / "medium").mkdir(parents=True)
    judge = HL7v2Validator(HL7v2Policy(messages=("ORU^R01",), segments=_SEGMENTS)).validate
    steps = {
        "fingerprint": _least(_fingerprint, TURNS),
        "validate": _least(lambda: judge(_PAYLOAD), TURNS),
        "seal, spool, medium": _least(_commits(folder, batch), FILES) / batch,
        "acknowledge": _least(_acknowledge, TURNS),
        "open, judge, journal": _least(_takes(folder), FILES) / batch,
    }
    row = {name: round(seconds * 1e6, 1) for name, seconds in steps.items()}
    return row | {"total": round(sum(row.values()) + row["validate"], 1)}


def _least(act: Callable[[], object], turns: int) -> float:
    """Seconds of the quickest turn: whatever else the machine does only adds to it."""
    return min(_seconds(act) for _ in range(turns))


def _seconds(act: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    act()
    return time.perf_counter() - began_s


def _fingerprint(number: int = 0) -> admission.Fingerprint:
    submission = Submission(CHANNEL, "front", _PAYLOAD, None, None, _NOW_MS)
    return admission.fingerprint(_KEY, submission, str(number).encode())


def _acknowledge() -> bytes:
    header = mllp_answer.header_of(_PAYLOAD)
    receipt = Receipt(bytes(16), duplicate=False)
    return mllp_answer.acknowledgement(header, receipt, "original", _NOW_MS)


def _commits(folder: Path, batch: int) -> Callable[[], object]:
    """Each call makes the next batch one durable file."""
    receiver = sending_side.key(KeyKind.RECEIVE, "inner-1").public
    assert receiver is not None
    committer = Committer(
        Spool(folder / "spool.db", _NOW_MS),
        MediumWriter(folder / "medium"),
        lambda stream_id: Sealer(
            sending_side.key(KeyKind.SIGN, "front-1"), receiver, sending_side.LANE, stream_id
        ),
        sending_side.now_ms,
    )
    committer.recover()
    batches = _batches(batch)
    return lambda: committer.commit(next(batches))


def _batches(size: int) -> Iterator[list[Waiting]]:
    numbers = itertools.count()
    while True:
        yield [
            Waiting(
                Admitted(
                    new_message_id(_NOW_MS), CHANNEL, _NOW_MS, CONTENT_TYPE, _PAYLOAD,
                    _fingerprint(next(numbers)),
                ),
                "new",
            )
            for _ in range(size)
        ]  # fmt: skip


def _takes(folder: Path) -> Callable[[], object]:
    """Each call takes the next file of the medium into the journal; validation is left out."""
    (folder / "inner").mkdir()
    side = VerifyingSide(folder / "medium", folder / "inner", limits=BatchLimits(files_max=1))
    side.rules = {CHANNEL: ChannelRule(CONTENT_TYPE, len(_PAYLOAD))}
    side.restart()
    side.workplace.validators.validate_many = lambda items: [
        Accepted(payload, "ORU^R01", "4711") for _, payload in items
    ]
    side.streams.look()
    [stream] = side.streams.trusted

    def take() -> None:
        taken = stream.take_next()
        assert taken == 1, taken

    return take
