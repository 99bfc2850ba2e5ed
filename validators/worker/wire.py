"""What goes through the pipes: a length (4 bytes, big-endian), then one msgpack value.

Three frames: the start (specifications and limits) and each batch go down, a greeting and each
batch's verdicts come up. The parent trusts a worker no further than it must: whatever comes up is
held to exact types and sizes before it is used.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import msgpack

from ferry_format.reasons import BY_CODE, Reason
from validators.deidentify.families import Deidentification
from validators.policy import PAYLOAD_BYTES_MAX, ContentPolicy
from validators.policy.deidentify import DeidentificationPolicy
from validators.registry import ContentSpec
from validators.verdict import Accepted, Rejected, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from validators.worker.sandbox import Limits

LENGTH: Final = struct.Struct(">I")
BATCH_ITEMS_MAX: Final = 64
FRAME_BYTES_MAX: Final = BATCH_ITEMS_MAX * 4096 + 4 * PAYLOAD_BYTES_MAX
"""A batch holds one payload of any size, or several below a sum (see pool); a rebuilt one may grow
when its charset changes. Schemas go down in the start frame."""
_TEXT_CHARS_MAX: Final = 1024
_ORDER_KEY_BYTES: Final = 32
_FIELDS_MAX: Final = 5
_AT_ONCE_BYTES_MAX: Final = 1024 * 1024
"""What msgpack may decode in one step; beyond it, its objects could fill the memory."""


class WireError(Exception):
    """The other side of the pipe does not speak the protocol."""


def frame(value: object) -> bytes:
    """Return one value as a frame. Raises WireError if it is too large."""
    body: bytes = msgpack.packb(value)
    if len(body) > FRAME_BYTES_MAX:
        raise WireError(f"a frame of {len(body)} bytes")
    return LENGTH.pack(len(body)) + body


def unframe(body: bytes) -> Any:
    """Return the value of one frame's body. Raises WireError."""
    try:
        return msgpack.unpackb(body, max_map_len=0x10000, max_ext_len=0)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise WireError(type(error).__name__) from None


def pack_start(specs: Mapping[str, ContentSpec], limits: Limits) -> bytes:
    """Return the first frame down: all that a worker knows."""
    described = {
        channel: [
            spec.policy.model_dump_json(by_alias=True),
            dict(spec.schemas),
            spec.order_by,
            _pack_deidentification(spec.deidentification),
            spec.deidentified,
        ]
        for channel, spec in specs.items()
    }
    return frame([described, limits.memory_bytes_max, limits.cpu_s_max])


def _pack_deidentification(described: Deidentification | None) -> list[object] | None:
    if described is None:
        return None
    return [described.policy.model_dump_json(), described.secret]


def unpack_start(body: bytes) -> tuple[dict[str, ContentSpec], int, int]:
    """Return specifications, memory_bytes_max, cpu_s_max (in the worker)."""
    described, memory_bytes_max, cpu_s_max = unframe(body)
    specs = {channel: _unpack_spec(*row) for channel, row in described.items()}
    return specs, memory_bytes_max, cpu_s_max


def _unpack_spec(
    policy: str,
    schemas: dict[str, bytes],
    order_by: str | None,
    deidentification: list[Any] | None,
    deidentified: bool,  # noqa: FBT001 - as it stands in the row
) -> ContentSpec:
    described = None
    if deidentification is not None:
        text, secret = deidentification
        described = Deidentification(DeidentificationPolicy.model_validate_json(text), secret)
    content = ContentPolicy.model_validate_json(policy)
    return ContentSpec(content, schemas, order_by, described, deidentified)


def pack_batch(items: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the frame of one batch of (channel, payload)."""
    return frame(items)


def pack_verdicts(verdicts: Sequence[Verdict]) -> bytes:
    """Return the frame of a batch's verdicts, in its order (in the worker)."""
    return frame(
        [
            _accepted_row(verdict)
            if isinstance(verdict, Accepted)
            else [verdict.reason.code, verdict.place]
            for verdict in verdicts
        ]
    )


def _accepted_row(accepted: Accepted) -> list[object]:
    flags = () if accepted.flag is None else (accepted.flag.code,)
    payload, message_type = accepted.payload, accepted.message_type
    return [payload, message_type, accepted.control_id, accepted.order_key, *flags]


def unpack_verdicts(body: bytes, count: int) -> list[Verdict]:
    """Return the verdicts of a batch of `count`. Raises WireError on anything else."""
    rows = unframe(body) if len(body) <= _AT_ONCE_BYTES_MAX else _walked(body, count)
    if not isinstance(rows, list) or len(rows) != count:
        raise WireError("not one verdict for each message")
    return [_verdict(row) for row in rows]


def _walked(body: bytes, count: int) -> list[list[object]]:
    """The rows of a large body, of which msgpack decodes scalars only.

    A worker that fell could send arrays in arrays: sixty times their size in the parent's memory.
    """
    unpacker = msgpack.Unpacker(
        max_buffer_size=len(body), max_array_len=0, max_map_len=0, max_ext_len=0
    )
    unpacker.feed(body)
    try:
        if unpacker.read_array_header() != count:
            raise WireError("not one verdict for each message")
        rows = [_walked_row(unpacker) for _ in range(count)]
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise WireError(type(error).__name__) from None
    if unpacker.tell() != len(body):
        raise WireError("something behind the verdicts")
    return rows


def _walked_row(unpacker: msgpack.Unpacker) -> list[object]:
    fields = unpacker.read_array_header()
    if fields > _FIELDS_MAX:
        raise WireError("not a verdict")
    return [unpacker.unpack() for _ in range(fields)]


def _verdict(row: object) -> Verdict:
    match row:
        case [bytes() as payload, str() as kind, (str() | None) as control_id, order_key, *flags]:
            texts_fit = max(len(kind), len(control_id or "")) <= _TEXT_CHARS_MAX
            if texts_fit and _is_order_key(order_key):
                return Accepted(payload, kind, control_id, order_key, _flag(flags))
        case [str() as code, str() as place] if code in BY_CODE:
            return Rejected(BY_CODE[code], place[:_TEXT_CHARS_MAX])
    raise WireError("not a verdict")


def _flag(flags: list[object]) -> Reason | None:
    match flags:
        case []:
            return None
        case [str() as code] if code in BY_CODE:
            return BY_CODE[code]
    raise WireError("not a flag")


def _is_order_key(value: object) -> TypeGuard[bytes | None]:
    return value is None or (isinstance(value, bytes) and len(value) == _ORDER_KEY_BYTES)
