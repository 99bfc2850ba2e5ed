"""What becomes of a verified file and of each message in it: values in, values out, no I/O.

A file is taken, dropped, held back or refused by its place in the stream (ferry_format.stream has
the table). A taken file's messages stand or fall one by one: by the channel's rule here, then by
the validator's verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ferry_format import limits, reasons
from ferry_format import stream as stream_rules
from ferry_format.envelope import Content, Envelope, Part
from ferry_format.reasons import Refused
from ferry_format.stream import Ahead, Gap, Late, Link, Repeated, StreamState
from inner_agent.channel_gaps import Shortfall
from inner_agent.journal_batch import NewMessage
from inner_agent.object_table import NewPart
from inner_agent.quarantine import RefusedThing, refused_part
from validators.objects import HEAD_BYTES
from validators.verdict import Accepted, Rejected, Verdict

CONTROL_ID_CHARS_MAX: Final = 200
MESSAGE_TYPE_CHARS_MAX: Final = 100
PLACE_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """What the inner's own policy says of a channel: `content_type` is its validator's.

    `walks_objects`: its objects are judged to their end, part after part (object_judging).
    """

    content_type: str
    bytes_max: int
    holds_on_gap: bool = True
    takes_objects: bool = False
    walks_objects: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How a stream stands: its state, whose it is, and each channel's highest sequence."""

    state: StreamState
    sender: str
    progress: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that was verified and unsealed, as values."""

    stream_id: bytes
    sequence: int
    link: Link
    sender: str
    content: Content


@dataclass(frozen=True, slots=True)
class Take:
    """The file is accepted; `standing` is how the stream stands after it."""

    standing: Standing
    shortfalls: tuple[Shortfall, ...]
    late: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """The very file was received before."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Files are missing before this one."""

    missing: Gap


Judgement = Take | Drop | Hold


def judge_file(
    standing: Standing, file: OpenedFile, received: Callable[[int], Link | None]
) -> Judgement:
    """Place a file in its stream.

    `received` looks up a received file's link. Raises Refused: UNKNOWN_STREAM, CHAIN_BROKEN,
    SEQUENCE_REUSED, or BAD_FRAME for the one sequence after which none could follow.
    """
    state = standing.state
    if file.stream_id != state.stream_id or file.sender != standing.sender:
        raise Refused(reasons.UNKNOWN_STREAM, f"sender {file.sender}")
    if file.sequence >= limits.SEQUENCE_MAX:
        raise Refused(reasons.BAD_FRAME, "sequence")
    if _is_forgotten(state, file.sequence, received):
        return Drop()
    progress, shortfalls = count(standing.progress, file.content)
    acceptance = stream_rules.judge(state, file.sequence, file.link, received)
    match acceptance:
        case Ahead(missing):
            return Hold(missing)
        case Repeated():
            return Drop()
        case Late():
            after = stream_rules.fill(state, file.sequence, file.link.digest)
            return Take(Standing(after, standing.sender, progress), (), late=True)
    after = stream_rules.advance(state, file.link.digest)
    return Take(Standing(after, standing.sender, progress), shortfalls)


def _is_forgotten(
    state: StreamState, sequence: int, received: Callable[[int], Link | None]
) -> bool:
    """Received so long ago that retention let its link go: in no gap, and yet unknown."""
    return (
        sequence < state.next_sequence
        and not any(gap.first <= sequence <= gap.last for gap in state.gaps)
        and received(sequence) is None
    )


def count(
    progress: Mapping[str, int], content: Content
) -> tuple[dict[str, int], tuple[Shortfall, ...]]:
    """Hold a file's channel sequences and beacon against what is known of each channel."""
    firsts: dict[str, int] = {}
    for entry in content.entries:
        firsts.setdefault(entry.channel, entry.channel_sequence)
    after = dict(progress)
    shortfalls = []
    for channel, highest in content.beacon.channel_counts:
        known = progress.get(channel, 0)
        before_file = firsts.get(channel, highest + 1) - 1
        if before_file != known:
            shortfalls.append(Shortfall(channel, known + 1, before_file))
        after[channel] = max(known, highest)
    return after, tuple(shortfalls)


def screen(entry: Envelope | Part, rules: Mapping[str, ChannelRule]) -> Rejected | None:
    """Hold a message or a part against the channel's rule, before any validator sees it."""
    rule = rules.get(entry.channel)
    if rule is None:
        return Rejected(reasons.CHANNEL_UNKNOWN, "envelope")
    if isinstance(entry, Part) != rule.takes_objects:
        return Rejected(reasons.ENTRY_KIND_NOT_ALLOWED, "envelope")
    size = entry.object_bytes if isinstance(entry, Part) else len(entry.payload)
    if size > rule.bytes_max:
        return Rejected(reasons.MESSAGE_TOO_LARGE, "envelope")
    if _media_type(entry.content_type) != _media_type(rule.content_type):
        return Rejected(reasons.CONTENT_TYPE_NOT_ALLOWED, "envelope")
    return None


def to_judge(entry: Envelope | Part, rules: Mapping[str, ChannelRule]) -> bytes | None:
    """What a validator is to see of it by itself: a message, an object's beginning."""
    if isinstance(entry, Envelope):
        return entry.payload
    if rules[entry.channel].walks_objects:
        return None
    return entry.payload[:HEAD_BYTES] if entry.number == 1 else None


def settle(
    envelope: Envelope | Part, verdict: Verdict | None, rules: Mapping[str, ChannelRule]
) -> NewMessage | NewPart | Rejected:
    """What the journal takes for it, by what `screen` or its validator said.

    `verdict` is None where `to_judge` was.
    """
    if isinstance(verdict, Rejected):
        return verdict
    if isinstance(envelope, Part):
        return _new_part(envelope, verdict)
    assert verdict is not None
    rule = rules[envelope.channel]
    if len(verdict.payload) > rule.bytes_max:
        return Rejected(reasons.MESSAGE_TOO_LARGE, "rebuilt message")
    return _new_message(envelope, verdict, rule)


def _new_message(envelope: Envelope, verdict: Accepted, rule: ChannelRule) -> NewMessage:
    control_id = verdict.control_id
    return NewMessage(
        envelope.message_id,
        envelope.channel,
        envelope.channel_sequence,
        envelope.accepted_at_ms,
        # What our own validator passed on, not what the sender declared.
        rule.content_type,
        storable(verdict.message_type, MESSAGE_TYPE_CHARS_MAX),
        None if control_id is None else storable(control_id, CONTROL_ID_CHARS_MAX),
        verdict.payload,
        verdict.order_key,
    )


def _new_part(part: Part, verdict: Accepted | None) -> NewPart | Rejected:
    if verdict is None:
        return NewPart(part, part.payload)
    payload = verdict.payload + part.payload[HEAD_BYTES:]
    if len(payload) != len(part.payload):
        return Rejected(reasons.NOT_WELL_FORMED, "rebuilt beginning")
    return NewPart(part, payload)


def refused_message(
    stream_id: bytes, sequence: int, envelope: Envelope | Part, rejected: Rejected
) -> RefusedThing:
    """A message, or an object by one of its parts, as it goes into quarantine."""
    if isinstance(envelope, Part):
        place = storable(rejected.place, PLACE_CHARS_MAX)
        return refused_part(stream_id, sequence, envelope, rejected.reason, place)
    return RefusedThing(
        "message",
        rejected.reason,
        storable(rejected.place, PLACE_CHARS_MAX),
        hashlib.sha256(envelope.payload).digest(),
        envelope.payload,
        stream_id,
        sequence,
        envelope.channel,
        envelope.message_id,
    )


def storable(text: str, chars_max: int) -> str:
    """`text`, cut to length, as UTF-8 can hold it: a lone surrogate must not stop the journal."""
    return text[:chars_max].encode("utf-8", "replace").decode()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
