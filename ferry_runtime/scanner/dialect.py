"""Which protocol the configured scanner speaks: what is said on a connection, and what it means."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ferry_runtime.scanner import clamd, icap
from ferry_runtime.sections import ScannerSection


@dataclass(frozen=True, slots=True)
class Dialect:
    """One scan a connection to `address`: `begin`, chunks, `end`; then the reply is read.

    `check` passes a reply that says clean, and raises Refused or Unavailable. `described` is what
    the answer to `ask` says of the scanner; it raises Unavailable.
    """

    address: str | tuple[str, int]
    begin: bytes
    end: bytes
    reply_bytes_max: int
    reply_end: bytes
    chunks: Callable[[bytes], Iterator[bytes]]
    check: Callable[[bytes], None]
    ask: bytes
    described: Callable[[bytes], str]

    @property
    def family(self) -> socket.AddressFamily:
        """Of the socket that connects to `address`."""
        if isinstance(self.address, str):
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET

    def is_whole(self, reply: bytes) -> bool:
        """Whether nothing more of the reply needs to be read."""
        return self.reply_end in reply or len(reply) >= self.reply_bytes_max


_CLAMD_REPLY_END: Final = b"\0"


def of(section: ScannerSection) -> Dialect:
    """ICAP where the configuration names a service, else clamd's own protocol."""
    if section.icap is None:
        return Dialect(
            str(section.socket),
            clamd.BEGIN,
            clamd.END,
            clamd.REPLY_BYTES_MAX,
            _CLAMD_REPLY_END,
            clamd.chunks,
            clamd.check,
            clamd.VERSION,
            clamd.described,
        )
    service = icap.Service.parse(section.icap)
    direct = (service.address.host, service.address.port)
    return Dialect(
        direct if section.socket is None else str(section.socket),
        service.begin(),
        icap.END,
        icap.REPLY_BYTES_MAX,
        icap.HEADER_END,
        icap.chunks,
        icap.check,
        service.ask(),
        icap.described,
    )
