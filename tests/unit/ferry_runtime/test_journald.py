from __future__ import annotations

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferry_runtime import journald, logs

LOG = logging.getLogger("ferry.test_journald")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as journald's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "socket"))
        receiver.settimeout(5)
        yield receiver


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(tmp_path: Path, stream: io.StringIO) -> Iterator[logging.Logger]:
    handler = journald.JournalHandler(stream, tmp_path / "socket")
    handler.setFormatter(logs.JsonLines("front-1"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    yield LOG
    LOG.removeHandler(handler)
    handler.close()


def fields(datagram: bytes) -> dict[str, str]:
    """As journald reads it: name, line end, eight bytes of length, value, line end."""
    found = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        length = int.from_bytes(rest[:8], "little")
        found[name.decode()] = rest[8 : 8 + length].decode()
        assert rest[8 + length : 9 + length] == b"\n"
        datagram = rest[9 + length :]
    return found


def test_a_line_comes_with_its_priority_and_fields(
    journal: socket.socket, logger: logging.Logger, stream: io.StringIO
) -> None:
    logs.event(
        logger, "refused", level=logging.ERROR, reason="too_large", channel="adt", message_id=b"\1"
    )
    told = fields(journal.recv(65536))
    assert json.loads(told["MESSAGE"])["event"] == "refused"
    assert told["PRIORITY"] == "3"
    assert {key: value for key, value in told.items() if key.startswith("FERRY_")} == {
        "FERRY_AGENT": "front-1",
        "FERRY_EVENT": "refused",
        "FERRY_REASON": "too_large",
        "FERRY_CHANNEL": "adt",
        "FERRY_MESSAGE_ID": "01",
    }
    assert stream.getvalue() == ""


def test_a_value_with_a_line_end_makes_no_field_of_its_own(
    journal: socket.socket, logger: logging.Logger
) -> None:
    logs.event(logger, "refused", channel="adt\nPRIORITY=0")
    told = fields(journal.recv(65536))
    assert told["FERRY_CHANNEL"] == "adt\nPRIORITY=0"
    assert told["PRIORITY"] == "6"


def test_without_a_journal_the_line_goes_to_the_stream(
    logger: logging.Logger, stream: io.StringIO
) -> None:
    logs.event(logger, "started")
    assert json.loads(stream.getvalue())["event"] == "started"


def test_only_the_stream_that_systemd_named_goes_to_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w") as output, (tmp_path / "other").open("w") as other:
        status = os.fstat(output.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert journald.takes(output)
        assert not journald.takes(other)
        assert not journald.takes(io.StringIO())
