"""What a ferry file holds: envelopes, parts of objects, tombstones, the beacon; as msgpack.

The one module that owns msgpack. SPEC.md, chapter 6, is its specification.

Decoding walks the structure itself and lets msgpack decode scalars only, each under a length
limit; a container inside a scalar's place is therefore refused before it is built, and no nesting
bomb has anywhere to stand. What was decoded is encoded again and compared, so that each content
has exactly one encoding and padded integers or other spellings are refused.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgpack

from ferry_format import limits, parts, reasons
from ferry_format.identifiers import MESSAGE_ID_BYTES, is_name
from ferry_format.reasons import Refused

if msgpack.Unpacker.__module__ == "msgpack.fallback":
    # Its limits mean something else: it would refuse every array, and so every file.
    raise ImportError(
        "the ferry needs msgpack's compiled form: install a binary msgpack,"
        " and leave MSGPACK_PUREPYTHON unset"
    )

_ENVELOPE: Final = 0
_TOMBSTONE: Final = 1
_PART: Final = 2
_FIELDS: Final = {_ENVELOPE: 7, _TOMBSTONE: 6, _PART: 10}
_CONTENT_FIELDS: Final = 3
_COUNT_FIELDS: Final = 2

_Scalar = TypeVar("_Scalar", int, str, bytes)

_CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*(; charset=[A-Za-z0-9._-]+)?")
_REASON = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as it crosses; nothing else of it does."""

    message_id: bytes
    channel: str
    channel_sequence: int
    accepted_at_ms: int
    content_type: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an object too large for an envelope; all parts have the object's message id.

    `number` counts from 1. `digest` is the whole object's (ferry_format.parts) and stands in the
    last part only; it is empty in the others.
    """

    message_id: bytes
    channel: str
    channel_sequence: int
    accepted_at_ms: int
    content_type: str
    object_bytes: int
    number: int
    digest: bytes
    payload: bytes

    @property
    def is_last(self) -> bool:
        """Whether no part comes after this one."""
        return self.number == parts.part_count(self.object_bytes)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Stands for a channel sequence number whose message was withdrawn: no false gap.

    With the id of an object it withdraws the whole of it, whatever parts were sent.
    """

    message_id: bytes
    channel: str
    channel_sequence: int
    withdrawn_at_ms: int
    reason: str


Entry = Envelope | Tombstone | Part


@dataclass(frozen=True, slots=True)
class Beacon:
    """The sender's counters after this file: each channel's highest sequence, sorted by name.

    The file's own sequence is the stream's highest. Together they let the receiver see that a
    last file, or a last message, is missing.
    """

    channel_counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """The plaintext of one ferry file; one without entries is a heartbeat."""

    sealed_at_ms: int
    entries: tuple[Entry, ...]
    beacon: Beacon


def encode(content: Content) -> bytes:
    """The one msgpack encoding of `content`. Raises `Refused` if it passes a limit."""
    _check(content)
    data = _pack(content)
    if len(data) > limits.CONTENT_BYTES_MAX:
        raise Refused(reasons.CONTENT_LIMIT, "content bytes")
    return data


def decode(data: bytes) -> Content:
    """Read what `encode` wrote.

    Raises `Refused` with TRAILING_BYTES, CONTENT_LIMIT, CONTENT_NOT_CANONICAL or BAD_CONTENT.
    """
    if len(data) > limits.CONTENT_BYTES_MAX:
        raise Refused(reasons.CONTENT_LIMIT, "content bytes")
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(len(data), 1),
        max_bin_len=limits.MESSAGE_BYTES_MAX,
        max_str_len=limits.CONTENT_TYPE_CHARS_MAX,
        max_array_len=0,
        max_map_len=0,
        max_ext_len=0,
        raw=False,
    )
    unpacker.feed(data)
    content = _read_content(unpacker)
    if unpacker.tell() != len(data):
        raise Refused(reasons.TRAILING_BYTES, "content")
    _check(content)
    if _pack(content) != data:
        raise Refused(reasons.CONTENT_NOT_CANONICAL, "content")
    return content


def _pack(content: Content) -> bytes:
    packed: bytes = msgpack.packb(
        [
            content.sealed_at_ms,
            [list(count) for count in content.beacon.channel_counts],
            [_fields(entry) for entry in content.entries],
        ],
        use_bin_type=True,
    )
    return packed


def _fields(entry: Entry) -> list[object]:
    if isinstance(entry, Envelope):
        return [
            _ENVELOPE,
            entry.message_id,
            entry.channel,
            entry.channel_sequence,
            entry.accepted_at_ms,
            entry.content_type,
            entry.payload,
        ]
    if isinstance(entry, Part):
        return [
            _PART,
            entry.message_id,
            entry.channel,
            entry.channel_sequence,
            entry.accepted_at_ms,
            entry.content_type,
            entry.object_bytes,
            entry.number,
            entry.digest,
            entry.payload,
        ]
    return [
        _TOMBSTONE,
        entry.message_id,
        entry.channel,
        entry.channel_sequence,
        entry.withdrawn_at_ms,
        entry.reason,
    ]


def _read_content(unpacker: msgpack.Unpacker) -> Content:
    _read_count(unpacker, "content", _CONTENT_FIELDS, _CONTENT_FIELDS)
    sealed_at_ms = _read_scalar(unpacker, "sealed_at_ms", int)
    channels = _read_count(unpacker, "beacon", 0, limits.CHANNELS_MAX)
    counts = tuple(_read_channel_count(unpacker) for _ in range(channels))
    entries = _read_count(unpacker, "entries", 0, limits.ENTRIES_PER_FILE_MAX)
    return Content(sealed_at_ms, tuple(_read_entries(unpacker, entries)), Beacon(counts))


def _read_entries(unpacker: msgpack.Unpacker, count: int) -> Iterator[Entry]:
    for _ in range(count):
        fields = _read_count(unpacker, "entry", min(_FIELDS.values()), max(_FIELDS.values()))
        kind = _read_scalar(unpacker, "entry kind", int)
        if _FIELDS.get(kind) != fields:
            raise Refused(reasons.BAD_CONTENT, "entry kind")
        message_id = _read_scalar(unpacker, "message_id", bytes)
        channel = _read_scalar(unpacker, "channel", str)
        channel_sequence = _read_scalar(unpacker, "channel_sequence", int)
        at_ms = _read_scalar(unpacker, "entry time", int)
        text = _read_scalar(unpacker, "content_type or reason", str)
        if kind == _TOMBSTONE:
            yield Tombstone(message_id, channel, channel_sequence, at_ms, text)
        elif kind == _ENVELOPE:
            payload = _read_scalar(unpacker, "payload", bytes)
            yield Envelope(message_id, channel, channel_sequence, at_ms, text, payload)
        else:
            object_bytes = _read_scalar(unpacker, "object_bytes", int)
            number = _read_scalar(unpacker, "part number", int)
            digest = _read_scalar(unpacker, "object digest", bytes)
            payload = _read_scalar(unpacker, "payload", bytes)
            common = (message_id, channel, channel_sequence, at_ms, text)
            yield Part(*common, object_bytes, number, digest, payload)


def _read_channel_count(unpacker: msgpack.Unpacker) -> tuple[str, int]:
    _read_count(unpacker, "channel count", _COUNT_FIELDS, _COUNT_FIELDS)
    return _read_scalar(unpacker, "channel", str), _read_scalar(unpacker, "channel_sequence", int)


def _read_count(unpacker: msgpack.Unpacker, what: str, least: int, most: int) -> int:
    try:
        count: int = unpacker.read_array_header()
    except (ValueError, msgpack.OutOfData) as error:
        raise Refused(reasons.BAD_CONTENT, what) from error
    if count > most:
        raise Refused(reasons.CONTENT_LIMIT, what)
    if count < least:
        raise Refused(reasons.BAD_CONTENT, what)
    return count


def _read_scalar(unpacker: msgpack.Unpacker, what: str, kind: type[_Scalar]) -> _Scalar:
    try:
        value: object = unpacker.unpack()
    except (
        UnicodeDecodeError,
        msgpack.OutOfData,
        msgpack.FormatError,
        msgpack.StackError,
    ) as error:
        raise Refused(reasons.BAD_CONTENT, what) from error
    except (ValueError, OverflowError) as error:
        raise Refused(reasons.CONTENT_LIMIT, what) from error
    if type(value) is kind:
        return value
    # The limits of zero stop all containers and extensions but empty ones.
    is_container = isinstance(value, (list, dict, msgpack.ExtType))
    raise Refused(reasons.CONTENT_LIMIT if is_container else reasons.BAD_CONTENT, what)


def _check(content: Content) -> None:
    """Hold a content against SPEC.md 6.2; the same check before writing and after reading."""
    _check_time(content.sealed_at_ms, "sealed_at_ms")
    names = [channel for channel, _ in content.beacon.channel_counts]
    if len(names) > limits.CHANNELS_MAX or len(content.entries) > limits.ENTRIES_PER_FILE_MAX:
        raise Refused(reasons.CONTENT_LIMIT, "content counts")
    if any(first >= second for first, second in itertools.pairwise(names)):
        raise Refused(reasons.BAD_CONTENT, "beacon channels are not in order, each once")
    for channel, count in content.beacon.channel_counts:
        _check_channel(channel, count)
    _check_entries(content)


def _check_entries(content: Content) -> None:
    last: dict[str, int] = {}
    seen: set[bytes] = set()
    for entry in content.entries:
        _check_entry(entry)
        if entry.message_id in seen:
            raise Refused(reasons.BAD_CONTENT, "message_id stands twice")
        seen.add(entry.message_id)
        if last.get(entry.channel, entry.channel_sequence - 1) != entry.channel_sequence - 1:
            raise Refused(reasons.BAD_CONTENT, "channel_sequence has a hole")
        last[entry.channel] = entry.channel_sequence
    counts = dict(content.beacon.channel_counts)
    if any(counts.get(channel) != sequence for channel, sequence in last.items()):
        raise Refused(reasons.BAD_CONTENT, "beacon does not count the entries")


def _check_entry(entry: Entry) -> None:
    if len(entry.message_id) != MESSAGE_ID_BYTES:
        raise Refused(reasons.BAD_CONTENT, "message_id")
    _check_channel(entry.channel, entry.channel_sequence)
    if isinstance(entry, Tombstone):
        _check_time(entry.withdrawn_at_ms, "withdrawn_at_ms")
        _check_token(entry.reason, _REASON, limits.REASON_CHARS_MAX)
        return
    _check_time(entry.accepted_at_ms, "accepted_at_ms")
    _check_token(entry.content_type, _CONTENT_TYPE, limits.CONTENT_TYPE_CHARS_MAX)
    if isinstance(entry, Part):
        _check_part(entry)
    elif not entry.payload:
        raise Refused(reasons.BAD_CONTENT, "payload is empty")
    elif len(entry.payload) > limits.MESSAGE_BYTES_MAX:
        raise Refused(reasons.CONTENT_LIMIT, "payload")


def _check_part(part: Part) -> None:
    if part.object_bytes > limits.OBJECT_BYTES_MAX:
        raise Refused(reasons.CONTENT_LIMIT, "object_bytes")
    if part.object_bytes < 1 or not 1 <= part.number <= parts.part_count(part.object_bytes):
        raise Refused(reasons.BAD_CONTENT, "part number")
    if len(part.payload) != parts.part_bytes(part.object_bytes, part.number):
        raise Refused(reasons.BAD_CONTENT, "part bytes")
    if len(part.digest) != (parts.DIGEST_BYTES if part.is_last else 0):
        raise Refused(reasons.BAD_CONTENT, "object digest")


def _check_channel(channel: str, sequence: int) -> None:
    if not is_name(channel):
        raise Refused(reasons.BAD_CONTENT, "channel name")
    if not 1 <= sequence <= limits.SEQUENCE_MAX:
        raise Refused(reasons.BAD_CONTENT, "channel_sequence")


def _check_time(at_ms: int, what: str) -> None:
    if not 0 <= at_ms <= limits.TIME_MS_MAX:
        raise Refused(reasons.BAD_CONTENT, what)


def _check_token(text: str, pattern: re.Pattern[str], chars_max: int) -> None:
    if len(text) > chars_max:
        raise Refused(reasons.CONTENT_LIMIT, "content_type or reason")
    if pattern.fullmatch(text) is None:
        raise Refused(reasons.BAD_CONTENT, "content_type or reason")
