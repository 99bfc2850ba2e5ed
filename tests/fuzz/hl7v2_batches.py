"""HL7 v2 batches taken apart: every byte of a message comes out once, in order, and is answered."""

from __future__ import annotations

from ferry_format.reasons import Refused
from outer_agent.sources import mllp_answer
from tests.fuzz.harness import MARK, Harness
from validators.hl7v2.batch import build_batch_answer, read_batch_file
from validators.hl7v2.header import read_batch_header

_MESSAGES_MAX = 50


def check(data: bytes) -> None:
    mllp_answer.header_of(data)
    for needs_trailers in (True, False):
        try:
            file = read_batch_file(data, _MESSAGES_MAX, needs_trailers=needs_trailers)
        except Refused:
            continue
        messages = list(file.messages)
        assert len(messages) <= _MESSAGES_MAX
        at = 0
        for message in messages:
            assert message.startswith(b"MSH")
            at = data.index(message, at) + len(message)
        assert read_batch_header(data) is not None
        answers = [[b"MSA|AA\r"] * len(batch.messages) for batch in file.batches]
        answer = build_batch_answer(file, answers, "1", 0)
        assert answer.count(b"MSA|AA\r") >= len(messages)
        assert not {0x0B, 0x1C} & set(answer)


def seeds() -> list[bytes]:
    message = f"MSH|^~\\&|A|B|C|D|20261124||ADT^A01|1|P|2.5\rPID|1||{MARK}\r"
    bhs = f"BHS|^~\\&|{MARK}|B|C|D|20261124||||7\r"
    fhs = bhs.replace("BHS", "FHS")
    return [
        f"{bhs}{message}{message}BTS|2\r".encode(),
        f"{fhs}{bhs}{message}BTS|1\r{bhs}BTS|0\rFTS|2\r".encode(),
        f"{fhs}{message}FTS|1\r".encode(),
        f"{fhs}{bhs}{message}{bhs}{message}".encode(),
        f"\ufeff{bhs}\n{message}\nBTS|1|x\r\n\r\n".encode(),
    ]


HARNESS = Harness(
    check, seeds, ("hl7v2/",), (b"\rBHS|^~\\&|", b"\rFHS|^~\\&|", b"\rBTS|", b"\rFTS|", b"\rMSH|")
)
