"""What an MLLP sender is answered, and whether it wants to hear it: pure (HL7 v2.5.1, 2.9, 2.14.9).

Original mode: AA, AE, AR. Enhanced mode: CA, CE, CR, as far as MSH-15 asks for them (table 0155).
AA and CA mean: custody taken, durable. AR and CR: never send it again. AE and CE: send it again.
What the internal system thinks of a message can't come back over a diode, so MSH-16, which asks for
that, is not acted on.
"""

from __future__ import annotations

from typing import Final, Literal

from ferry_format.identifiers import new_message_id
from ferry_format.reasons import FerryError, Refused
from outer_agent.admission import Receipt
from outer_agent.batches import BatchOutcome
from outer_agent.commit import Outcome
from validators.hl7v2.acknowledgement import AckCode, build_ack, refusal_code
from validators.hl7v2.batch import build_batch_answer
from validators.hl7v2.header import MessageHeader, read_batch_header, read_header

Mode = Literal["original", "enhanced", "auto"]

_CONTROL_ID_CHARS: Final = 20  # MSH-10 up to HL7 v2.6
_HL7_NULL: Final = '""'


def header_of(content: bytes, default_charset: str = "UTF-8") -> MessageHeader:
    """The header of any bytes, or of the batch that they are; a blank one where they hold none.

    So everything can be answered. `default_charset` is the channel's (a CharsetName of the policy).
    """
    header = (
        read_header(content, default_charset)
        or read_batch_header(content, default_charset)
        or read_header(b"MSH|^~\\&|\r")
    )
    assert header is not None
    return header


def is_enhanced(header: MessageHeader, mode: Mode) -> bool:
    """Whether this message is answered in enhanced mode; "auto" goes by MSH-15."""
    if mode == "auto":
        return header.accept_acknowledgement not in {"", _HL7_NULL}
    return mode == "enhanced"


def is_wanted(header: MessageHeader, outcome: Outcome, mode: Mode) -> bool:
    """Whether the sender wants to hear of this outcome: always, unless MSH-15 says otherwise."""
    if not is_enhanced(header, mode):
        return True
    match header.accept_acknowledgement:
        case "NE":
            return False
        case "ER":
            return isinstance(outcome, FerryError)
        case "SU":
            return isinstance(outcome, Receipt)
    return True


def must_hang_up(header: MessageHeader, outcome: Outcome, mode: Mode) -> bool:
    """Whether a message was not taken for now and its sender does not want to be told.

    Only a connection that ends can tell such a sender that something is amiss.
    """
    for_now = isinstance(outcome, FerryError) and not isinstance(outcome, Refused)
    return for_now and not is_wanted(header, outcome, mode)


def acknowledgement(header: MessageHeader, outcome: Outcome, mode: Mode, now_ms: int) -> bytes:
    """The answer, without its frame. `now_ms`: unix milliseconds."""
    enhanced = is_enhanced(header, mode)
    if isinstance(outcome, Receipt):
        taken: AckCode = "CA" if enhanced else "AA"
        return build_ack(header, taken, None, _control_id(outcome.message_id), now_ms)
    code = refusal_code(outcome.reason, enhanced=enhanced)
    own_id = _control_id(new_message_id(now_ms))
    return build_ack(header, code, outcome.reason, own_id, now_ms, place=outcome.where)


def batch_acknowledgement(
    batch: BatchOutcome, mode: Mode, now_ms: int, default_charset: str = "UTF-8"
) -> tuple[bytes, bool]:
    """The answer to a batch without its frame, and whether the sender must be hung up on.

    It holds an acknowledgement for each message whose sender wants one (HL7 v2.5.1, 2.10.3.3).
    """
    outcomes = iter(batch.outcomes)
    answers = []
    hangs_up = False
    for part in batch.file.batches:
        wanted = []
        for message, outcome in zip(part.messages, outcomes, strict=False):
            header = header_of(message, default_charset)
            if is_wanted(header, outcome, mode):
                wanted.append(acknowledgement(header, outcome, mode, now_ms))
            hangs_up = hangs_up or must_hang_up(header, outcome, mode)
        answers.append(wanted)
    control_id = _control_id(new_message_id(now_ms))
    return build_batch_answer(batch.file, answers, control_id, now_ms), hangs_up


def _control_id(message_id: bytes) -> str:
    return message_id.hex()[:_CONTROL_ID_CHARS]
