"""Whether the virus scanner answers, and with which signatures."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from ferry_format.reasons import Unavailable
from ferry_runtime.doctor.findings import Area, Finding, Side, fault, well
from ferry_runtime.scanner import dialect
from ferry_runtime.sections import ScannerSection


def look(section: ScannerSection, side: Side) -> Iterator[Finding]:
    """Ask clamd for its version, which names its signatures' too; ICAP for the service's."""
    spoken = dialect.of(section)
    try:
        with socket.socket(spoken.family, socket.SOCK_STREAM) as connection:
            connection.settimeout(section.timeout_s)
            connection.connect(spoken.address)
            connection.sendall(spoken.ask)
            described = spoken.described(connection.recv(spoken.reply_bytes_max))
    except OSError as error:
        yield fault(
            Area.SCANNER,
            f"the virus scanner does not answer at {spoken.address}: {error.strerror or error}",
            side,
            "clamd: systemctl status clamav-daemon; see that it has signatures, and that the "
            "agent's user may write to its socket (LocalSocketMode). ICAP: see that the server "
            "listens there.",
        )
        return
    except Unavailable as error:
        yield fault(
            Area.SCANNER,
            f"the ICAP service cannot serve: {error.where}",
            side,
            "Name a service that has RESPMOD and says 204 where nothing is found (scanner.icap).",
        )
        return
    printable = "".join(each for each in described if each.isprintable())[:80]
    yield well(Area.SCANNER, f"the virus scanner answers: {printable}")
