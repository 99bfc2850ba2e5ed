"""HL7 acknowledgements: built for senders, parsed strictly from sinks.

Standard: HL7 v2 chapter 2.9 (codes of table 0008), MSA and ERR segments; error codes of table 0357.
Nothing of the payload but MSH fields goes into an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from ferry_format import reasons
from ferry_format.reasons import Actor, Reason
from validators.characters import find_forbidden
from validators.hl7v2.grammar import fold_segment_ends
from validators.hl7v2.header import MessageHeader, read_header
from validators.hl7v2.separators import SEGMENT_END, Separators, read_separators

if TYPE_CHECKING:
    from collections.abc import Sequence

AckCode = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
_CODES: Final[tuple[AckCode, ...]] = ("AA", "AE", "AR", "CA", "CE", "CR")
ACK_BYTES_MAX: Final = 64 * 1024

_TABLE_0357: Final = {
    reasons.SEGMENT_NOT_ALLOWED.code: ("100", "Segment sequence error"),
    reasons.HEADER_INCOMPLETE.code: ("101", "Required field missing"),
    reasons.FIELD_MISSING.code: ("101", "Required field missing"),
    reasons.FIELD_NOT_ALLOWED.code: ("102", "Data type error"),
    reasons.NOT_WELL_FORMED.code: ("102", "Data type error"),
    reasons.NOT_DECODABLE.code: ("102", "Data type error"),
    reasons.VALUE_NOT_ALLOWED.code: ("103", "Table value not found"),
    reasons.CHARSET_NOT_ALLOWED.code: ("103", "Table value not found"),
    reasons.CONTROL_CHARACTER.code: ("102", "Data type error"),
    reasons.SCHEMA_MISMATCH.code: ("102", "Data type error"),
    reasons.LIMIT_EXCEEDED.code: ("102", "Data type error"),
    reasons.MESSAGE_TYPE_NOT_ALLOWED.code: ("200", "Unsupported message type"),
    reasons.ENCODING_NOT_ALLOWED.code: ("102", "Data type error"),
    reasons.BATCH_NOT_ALLOWED.code: ("200", "Unsupported message type"),
    reasons.VERSION_NOT_ALLOWED.code: ("203", "Unsupported version id"),
    reasons.ID_REUSED.code: ("205", "Duplicate key identifier"),
}
_ANY_OTHER: Final = ("207", "Application internal error")
_VERSION: Final = re.compile(r"([0-9])\.([0-9]{1,2})(?:\.([0-9]{1,2}))?")
_ERR_BY_NAME_FROM: Final = (2, 5)
_STRUCTURE_FROM: Final = (2, 3, 1)
_ERROR_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TRIGGER: Final = re.compile(r"[A-Z][A-Z0-9]{2}")


@dataclass(frozen=True, slots=True)
class Ack:
    """A sink's answer. `control_id` is MSA-2: the MSH-10 of the message it answers, unchecked."""

    code: AckCode
    control_id: str
    error_code: str | None


def refusal_code(reason: Reason, *, enhanced: bool) -> AckCode:
    """Return the code that tells a sender whether to send again.

    Error (AE, CE): the same message may pass later. Reject (AR, CR): it never will.
    """
    if reason.actor in {Actor.RETRY, Actor.OPERATOR}:
        return "CE" if enhanced else "AE"
    return "CR" if enhanced else "AR"


def build_ack(
    header: MessageHeader,
    code: AckCode,
    reason: Reason | None,
    control_id: str,
    now_ms: int,
    *,
    place: str = "",
) -> bytes:
    """Return the acknowledgement of the message with `header`, in its separators and charset.

    `control_id` is the acknowledgement's own MSH-10; MSA-2 repeats the message's exactly. `reason`
    is None for AA and CA. `place` is a verdict's place: never data. Up to v2.4 the reason's code
    stands in MSA-3 and ERR-1, from v2.5 on in ERR-3, ERR-5 and ERR-8. `now_ms`: unix milliseconds.
    """
    segments = [_msh(header, control_id, now_ms), _msa(header, code, reason)]
    if reason is not None:
        segments.append(_err(header, reason, place))
    join = header.separators.field.join
    text = "".join(
        join(fields).rstrip(header.separators.field) + SEGMENT_END for fields in segments
    )
    return text.encode(header.codec)


def _msh(header: MessageHeader, control_id: str, now_ms: int) -> list[str]:
    separators = header.separators
    mirrored = [
        "MSH",
        separators.encoding_characters,
        harmless(header.receiving_application),
        harmless(header.receiving_facility),
        harmless(header.sending_application),
        harmless(header.sending_facility),
        _shown_second(now_ms // 1000),
        "",
        _acknowledging(header.message_type, header.version, separators.component),
        escaped(control_id, separators),
        harmless(header.processing_id) or "P",
        harmless(header.version) or "2.5",
    ]
    return [*mirrored, "", "", "", "", "", harmless(header.character_set)]


# 2 µs a message, and messages come many a second.
@lru_cache(maxsize=8)
def _shown_second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y%m%d%H%M%S+0000")


@lru_cache(maxsize=256)
def _acknowledging(message_type: str, version: str, component: str) -> str:
    """MSH-9 of the acknowledgement of such a message."""
    parts = message_type.split(component)
    trigger = parts[1] if len(parts) > 1 else ""
    if _TRIGGER.fullmatch(trigger) is None:
        return "ACK"
    names = ["ACK", trigger]
    if _version(version, component) >= _STRUCTURE_FROM:
        names.append("ACK")
    return component.join(names)


def _msa(header: MessageHeader, code: AckCode, reason: Reason | None) -> list[str]:
    fields = ["MSA", code, harmless(header.control_id)]
    if reason is not None and not _names_errors(header):
        fields.append(escaped(reason.code, header.separators))
    return fields


def _err(header: MessageHeader, reason: Reason, place: str) -> list[str]:
    separators = header.separators
    number, meaning = _TABLE_0357.get(reason.code, _ANY_OTHER)
    if not _names_errors(header):
        # ELD: segment, sequence and field stay empty; the fourth component is the code.
        coded = separators.subcomponent.join(
            [number, escaped(reason.code, separators), "HL70357"],
        )
        return ["ERR", separators.component * 3 + coded]
    told = f"{reason.code}: {reason.meaning}" + (f" ({place})" if place else "")
    return [
        "ERR",
        "",
        "",
        _coded(number, meaning, "HL70357", separators),
        "E",
        _coded(reason.code, reason.meaning, "L", separators),
        "",
        "",
        escaped(told, separators),
    ]


def _coded(identifier: str, text: str, system: str, separators: Separators) -> str:
    parts = (escaped(identifier, separators), escaped(text, separators), system)
    return separators.component.join(parts)


def _names_errors(header: MessageHeader) -> bool:
    return _version(header.version, header.separators.component) >= _ERR_BY_NAME_FROM


def _version(version: str, component: str) -> tuple[int, ...]:
    found = _VERSION.fullmatch(version.split(component, 1)[0])
    if found is None:
        return _ERR_BY_NAME_FROM
    return tuple(int(part) for part in found.groups(default="0"))


def harmless(text: str) -> str:
    """Drop a whole mirrored field that holds a control character: it could end the frame."""
    return text if find_forbidden(text) is None else ""


def escaped(text: str, separators: Separators) -> str:
    """Escape our own text for the sender's separators (HL7 v2 2.7)."""
    if text.isalnum():
        return text
    escape = separators.escape
    names = {
        separators.field: "F",
        separators.component: "S",
        separators.subcomponent: "T",
        separators.repetition: "R",
        escape: "E",
    }
    return "".join(f"{escape}{names[each]}{escape}" if each in names else each for each in text)


def parse_ack(payload: bytes) -> Ack | None:
    """Return what a sink answered, or None where it is no acknowledgement that HL7 defines.

    Exactly one MSA with a code of table 0008. MSA-2 may be empty: the caller compares it with the
    control id it sent, and a mismatch is the caller's to judge.
    """
    read = _text_of(payload) if len(payload) <= ACK_BYTES_MAX else None
    if read is None:
        return None
    text, separators = read
    rows = [line.split(separators.field) for line in text.split(SEGMENT_END)]
    acknowledgements = [row for row in rows if row[0] == "MSA"]
    if len(acknowledgements) != 1:
        return None
    row = [*acknowledgements[0], "", ""]
    code = next((each for each in _CODES if each == row[1]), None)
    if code is None:
        return None
    return Ack(code, row[2], _error_code(rows, separators))


def _text_of(payload: bytes) -> tuple[str, Separators] | None:
    """An answer's text; of ASCII, as nearly all are, without asking for its character set."""
    if payload.isascii():
        text = fold_segment_ends(payload.decode("ascii"))
        separators = read_separators(text)
        return None if separators is None else (text, separators)
    header = read_header(payload)
    if header is None:
        return None
    try:
        return fold_segment_ends(payload.decode(header.codec)), header.separators
    except UnicodeDecodeError:
        return None


def _error_code(rows: Sequence[Sequence[str]], separators: Separators) -> str | None:
    """Return ERR-3.1 (from v2.5 on) or ERR-1.4.1 (before) of the first ERR, if it is short text."""
    row = next((each for each in rows if each[0] == "ERR"), None)
    if row is None:
        return None
    _, location, _, code, *_ = [*row, "", "", "", ""]
    if not code:
        *_, code = [*location.split(separators.component), "", "", ""][:4]
    found = code.split(separators.component, 1)[0].split(separators.subcomponent, 1)[0]
    return found if _ERROR_CODE.fullmatch(found) else None
