"""ICAP (RFC 3507): one RESPMOD a connection; bytes in, a verdict out. No I/O.

A scan is an HTTP answer that the service may modify. Clean is what it does not: status 204 alone
(4.6). What it modifies it objects to, and anything else is no verdict. No preview is offered (4.5):
to one, a service may say 204 without having seen the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from ferry_runtime.addresses import ListenAddress, parse_listen

REPLY_BYTES_MAX: Final = 64 * 1024
HEADER_END: Final = b"\r\n\r\n"
END: Final = b"0\r\n\r\n"

_SERVICE: Final = re.compile(r"icap://([^/\s]+)/([A-Za-z0-9._~/?&=-]{1,200})")
_CHUNK_BYTES: Final = 256 * 1024
_STATUS: Final = re.compile(rb"ICAP/1\.0 (\d{3})(?: [^\r\n]*)?\r\n")
_MODIFIED: Final = b"200"
_NOT_MODIFIED: Final = b"204"
_FINDS: Final = re.compile(
    rb"(?i)\r\n(?:X-Infection-Found|X-Virus-ID|X-Violations-Found)[ \t]*:[ \t]*([^\r\n]*)"
)
_THREAT: Final = re.compile(rb"Threat=([^;]*)")
_NAME: Final = re.compile(r"[^A-Za-z0-9._/-]+")
_NAME_CHARS_MAX: Final = 80
_MESSAGE: Final = b"GET http://ferry/message HTTP/1.1\r\nHost: ferry\r\n\r\n"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is, and what it is called there."""

    address: ListenAddress
    url: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read icap://ADDRESS:PORT/SERVICE. Raises ValueError with a hint."""
        found = _SERVICE.fullmatch(url)
        if found is None:
            raise ValueError("write the service as icap://192.0.2.7:1344/avscan")
        return cls(parse_listen(found[1]), url)

    def begin(self) -> bytes:
        """What goes before the first chunk."""
        parts = (0, len(_MESSAGE), len(_MESSAGE) + len(_ANSWER))
        encapsulated = "req-hdr={}, res-hdr={}, res-body={}".format(*parts)
        return self._request("RESPMOD", "Allow: 204", encapsulated) + _MESSAGE + _ANSWER

    def ask(self) -> bytes:
        """An OPTIONS request (4.10): what the service can do."""
        return self._request("OPTIONS", "Connection: close", "null-body=0")

    def _request(self, method: str, line: str, encapsulated: str) -> bytes:
        lines = (
            f"{method} {self.url} ICAP/1.0",
            f"Host: {self.address}",
            line,
            f"Encapsulated: {encapsulated}",
        )
        return "\r\n".join(lines).encode("ascii") + HEADER_END


def chunks(data: bytes) -> Iterator[bytes]:
    """The data as it goes between `begin` and END (RFC 9112, 7.1)."""
    for at in range(0, len(data), _CHUNK_BYTES):
        chunk = data[at : at + _CHUNK_BYTES]
        yield f"{len(chunk):x}\r\n".encode("ascii")
        yield chunk
        yield b"\r\n"


def check(reply: bytes) -> None:
    """Pass what the service leaves as it is.

    Raises Refused(VIRUS_FOUND), with the name if the service tells one, on what it changes, and
    Unavailable(SCANNER_UNAVAILABLE) on everything else.
    """
    status = _STATUS.match(reply)
    if status is None or HEADER_END not in reply:
        raise Unavailable(reasons.SCANNER_UNAVAILABLE, "no verdict" if reply else "no answer")
    found = _FINDS.search(reply.partition(HEADER_END)[0])
    if found is not None or status[1] == _MODIFIED:
        raise Refused(reasons.VIRUS_FOUND, _name(b"" if found is None else found[1]))
    if status[1] != _NOT_MODIFIED:
        raise Unavailable(reasons.SCANNER_UNAVAILABLE, f"status {status[1].decode('ascii')}")


def _name(told: bytes) -> str:
    threat = _THREAT.search(told)
    text = (told if threat is None else threat[1]).decode("ascii", "replace").strip()
    return _NAME.sub("_", text)[:_NAME_CHARS_MAX] or "no name told"


def described(reply: bytes) -> str:
    """What an answer to `ask` says of the service. Raises Unavailable where it can't serve."""
    head = reply.partition(HEADER_END)[0]
    status = _STATUS.match(reply)
    if status is None or status[1] != _MODIFIED:
        raise Unavailable(reasons.SCANNER_UNAVAILABLE, "no such service")
    if re.search(rb"\r\nMethods:[^\r\n]*RESPMOD", head, re.IGNORECASE) is None:
        raise Unavailable(reasons.SCANNER_UNAVAILABLE, "the service has no RESPMOD")
    if re.search(rb"\r\nAllow:[^\r\n]*204", head, re.IGNORECASE) is None:
        raise Unavailable(reasons.SCANNER_UNAVAILABLE, "the service never says 204")
    name = re.search(rb"\r\nService:[ \t]*([^\r\n]*)", head, re.IGNORECASE)
    return "ICAP" if name is None else name[1].decode("ascii", "replace")
