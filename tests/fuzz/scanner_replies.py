"""What a virus scanner answers: clean by its exact words alone, whoever sends them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ferry_format.reasons import FerryError, Unavailable
from ferry_runtime.scanner import clamd, icap
from tests.fuzz.harness import Harness

_NAME_CHARS_MAX = 80


def check(data: bytes) -> None:
    assert _told(clamd.check, data) is not None or data.rstrip(b"\0\n") == b"stream: OK"
    assert _told(icap.check, data) is not None or data.startswith(b"ICAP/1.0 204")
    with suppress(Unavailable):
        icap.described(data)


def _told(judge: Callable[[bytes], None], reply: bytes) -> str | None:
    """What a log is told; None where the reply lets pass."""
    try:
        judge(reply)
    except FerryError as error:
        told = error.where
    else:
        return None
    assert len(told) <= _NAME_CHARS_MAX
    assert told.isascii()
    assert told.isprintable()
    return told


def seeds() -> list[bytes]:
    return [
        b"stream: OK\0",
        b"stream: Eicar-Test FOUND\0",
        b"INSTREAM size limit exceeded. ERROR\0",
        b'ICAP/1.0 204 Unmodified\r\nISTag: "x"\r\n\r\n',
        b"ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Threat=Eicar;\r\n\r\nHTTP/1.0 403 No\r\n",
        b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nService: AV\r\nAllow: 204\r\n\r\n",
    ]


HARNESS = Harness(check, seeds, (), (b"X-Virus-ID: ", b"\r\n\r\n", b" FOUND", b"ICAP/1.0 100 "))
