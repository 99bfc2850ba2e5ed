"""Whether the virus scanner answers, and with which signatures."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from ferry_runtime.doctor.findings import Area, Finding, Side, fault, well
from ferry_runtime.scanner import clamd
from ferry_runtime.sections import ScannerSection


def look(section: ScannerSection, side: Side) -> Iterator[Finding]:
    """Ask clamd for its version, which names its signatures' too."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(section.timeout_s)
            connection.connect(str(section.socket))
            connection.sendall(clamd.VERSION)
            answer = connection.recv(clamd.REPLY_BYTES_MAX)
    except OSError as error:
        yield fault(
            Area.SCANNER,
            f"the virus scanner does not answer at {section.socket}: {error.strerror or error}",
            side,
            "systemctl status clamav-daemon; see that it has signatures, and that the agent's user "
            "may write to its socket (LocalSocketMode).",
        )
        return
    version = answer.rstrip(b"\0\n").decode("ascii", "replace")
    printable = "".join(each for each in version if each.isprintable())[:80]
    yield well(Area.SCANNER, f"the virus scanner answers: {printable}")
