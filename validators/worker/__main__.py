"""A worker: read the start, build every validator, lock down, then batch after batch.

Whatever goes wrong ends the process; the parent finds out on whose message. Nothing is written but
verdicts: an exception's text may hold data.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from validators.hl7v2.charset import BY_POLICY_NAME
from validators.registry import build_spec
from validators.worker import wire
from validators.worker.sandbox import Limits, lock_down

if TYPE_CHECKING:
    from validators.verdict import Validator

_STANDARD_INPUT: Final = 0
_STANDARD_OUTPUT: Final = 1
_READ_BYTES: Final = 64 * 1024  # what a pipe holds
_WARM_UP: Final = (
    "MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\rPID|1||1^^^H||\u4e00^\\F\\\r".encode(),
    b'{"a": [1, 2.50, "\\u4e00", null, true]}',
    b'<a xmlns="urn:a" b="1">c<d/></a>',
)


def main() -> NoReturn:
    """Run until the parent closes the pipe."""
    specs, memory_bytes_max, cpu_s_max = wire.unpack_start(_read_frame())
    validators = {name: build_spec(spec) for name, spec in specs.items()}
    _warm_up(validators)
    sandbox = lock_down(Limits(memory_bytes_max, cpu_s_max))
    _write(wire.frame(sandbox))
    try:
        while True:
            batch = wire.unframe(_read_frame())
            verdicts = [validators[channel].validate(payload) for channel, payload in batch]
            _write(wire.pack_verdicts(verdicts))
    except BaseException:  # noqa: BLE001 - a traceback could show data; the exit status says enough
        os._exit(1)


def _warm_up(validators: dict[str, Validator]) -> None:
    """Use what is loaded at first use: no file can be opened later."""
    for charset in BY_POLICY_NAME.values():
        "a".encode(charset.codec).decode(charset.codec)
    for validator in validators.values():
        for payload in _WARM_UP:
            validator.validate(payload)
    for broken in (b"\xff", b"\x81\xff"):
        for validator in validators.values():
            validator.validate(_WARM_UP[0] + broken)
    gc.collect()
    gc.freeze()


def _read_frame() -> bytes:
    """Return the next frame's body. The parent sends one and waits, so no read takes two."""
    size = wire.LENGTH.size
    received = os.read(_STANDARD_INPUT, _READ_BYTES)
    if len(received) < size:
        os._exit(0)
    length = wire.LENGTH.unpack_from(received)[0]
    if length > wire.FRAME_BYTES_MAX:
        os._exit(2)
    if len(received) == size + length:
        return received[size:]
    body = bytearray(received[size:])
    while len(body) < length:
        chunk = os.read(_STANDARD_INPUT, _READ_BYTES)
        if not chunk:
            os._exit(0)
        body += chunk
    return bytes(body)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STANDARD_OUTPUT, view) :]


if __name__ == "__main__":
    sys.tracebacklimit = 0
    main()
