"""Log lines into systemd's journal, with fields to search by (journald's native protocol).

Through stdout a line would be text of one priority. By the socket it is the same JSON text, with
the priority of its level and FERRY_EVENT, FERRY_REASON, FERRY_CHANNEL, FERRY_MESSAGE_ID and
FERRY_AGENT: `journalctl -u ferry-outer -p warning`, `journalctl FERRY_CHANNEL=adt`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

SOCKET: Final = Path("/run/systemd/journal/socket")
SEARCHED: Final = ("agent", "event", "reason", "channel", "message_id")
_DEBUG, _INFORMATION, _WARNING, _ERROR, _CRITICAL = 7, 6, 4, 3, 2


def takes(stream: TextIO) -> bool:
    """Whether what is written to `stream` ends up in the journal ($JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.StreamHandler[TextIO]):
    """Sends each line to the journal; to `stream`, if the journal's socket does not take it."""

    def __init__(self, stream: TextIO, path: Path = SOCKET) -> None:
        super().__init__(stream)
        self._path = str(path)
        # Where the socket is full the stream takes the line, and waits for journald if it must.
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind)

    def emit(self, record: logging.LogRecord) -> None:
        """One record, whose format is JSON."""
        try:
            self._socket.sendto(entry(self.format(record), record.levelno), self._path)
        except OSError:
            super().emit(record)

    def close(self) -> None:
        """Close the socket too."""
        self._socket.close()
        super().close()


def entry(line: str, level: int) -> bytes:
    """A line of JSON as journald takes it."""
    told: Mapping[str, object] = json.loads(line)
    fields = {
        "MESSAGE": line,
        "PRIORITY": str(_priority(level)),
        "SYSLOG_IDENTIFIER": Path(sys.argv[0]).name,
    }
    fields |= {f"FERRY_{key.upper()}": str(told[key]) for key in SEARCHED if told.get(key)}
    return b"".join(_field(key, value.encode("utf-8")) for key, value in fields.items())


def _field(key: str, value: bytes) -> bytes:
    """With its length in place of the equals sign, so that a value may hold any byte."""
    return b"%s\n%s%s\n" % (key.encode("ascii"), len(value).to_bytes(8, "little"), value)


def _priority(level: int) -> int:
    for least, priority in (
        (logging.CRITICAL, _CRITICAL),
        (logging.ERROR, _ERROR),
        (logging.WARNING, _WARNING),
        (logging.INFO, _INFORMATION),
    ):
        if level >= least:
            return priority
    return _DEBUG
