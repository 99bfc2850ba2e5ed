from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused
from ferry_runtime import logs

PAYLOAD = "PID|1||4711^^^HIS||张三"


class Payload:
    def __repr__(self) -> str:
        return PAYLOAD


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("ferry")
    before = (root.handlers, root.level, ours.level, logging.raiseExceptions)
    stream = io.StringIO()
    logs.configure("front-1", stream)
    yield stream
    root.handlers, logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


LOG = logging.getLogger("ferry.test")


def fail(kind: type[Exception]) -> None:
    raise kind(PAYLOAD)


def test_an_event_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    logs.event(LOG, "delivered", channel="adt", message_id=b"\x01\x02", number=3, late=False)
    (line,) = lines(stream)
    assert line.pop("ts")
    assert line == {
        "level": "info",
        "agent": "front-1",
        "logger": "ferry.test",
        "event": "delivered",
        "channel": "adt",
        "message_id": "0102",
        "number": 3,
        "late": False,
    }


def test_only_plain_types_are_written_and_long_ones_are_cut(stream: io.StringIO) -> None:
    logs.event(
        LOG,
        "odd",
        thing=Payload(),
        table={"a": PAYLOAD},
        listed=["a", Payload(), [PAYLOAD]],
        large=b"x" * 65,
        long="y" * 501,
        endless=float("inf"),
        broken="\ud800",
    )
    (line,) = lines(stream)
    assert PAYLOAD not in stream.getvalue()
    assert line["thing"] == "<Payload>"
    assert line["table"] == "<dict>"
    assert line["listed"] == ["a", "<Payload>", "<list>"]
    assert line["large"] == "<65 bytes>"
    assert line["long"] == "y" * 500 + "…"
    assert line["endless"] == "inf"


def test_a_line_end_in_a_field_cannot_forge_a_line(stream: io.StringIO) -> None:
    logs.event(LOG, "odd", place='x\n{"event": "forged"}')
    assert len(lines(stream)) == 1


def test_a_field_named_as_a_standard_one_keeps_both(stream: io.StringIO) -> None:
    logs.event(LOG, "odd", agent="other", ts=1)
    (line,) = lines(stream)
    assert (line["agent"], line["agent_"], line["ts_"]) == ("front-1", "other", 1)


def test_an_exception_is_its_type_and_place_without_its_text(stream: io.StringIO) -> None:
    try:
        try:
            fail(KeyError)
        except KeyError as error:
            raise ValueError(PAYLOAD) from error
    except ValueError as error:
        logs.event(LOG, "failed", level=logging.ERROR, error=error)
    (line,) = lines(stream)
    assert PAYLOAD not in stream.getvalue()
    exception = line["exception"]
    assert isinstance(exception, dict)
    assert exception["type"] == "builtins.ValueError"
    assert "test_logs.py:" in exception["places"][0]
    assert exception["causes"][0]["type"] == "builtins.KeyError"


def test_our_own_errors_keep_reason_and_where(stream: io.StringIO) -> None:
    logs.event(LOG, "failed", error=Refused(reasons.BAD_MAGIC, "file 7"))
    (line,) = lines(stream)
    assert line["exception"]["reason"] == "bad_magic"
    assert line["exception"]["where"] == "file 7"


def test_a_library_line_keeps_its_place_and_loses_its_text(stream: io.StringIO) -> None:
    library = logging.getLogger("aiohttp.server")
    try:
        fail(ValueError)
    except ValueError:
        library.exception("Error handling %s", PAYLOAD)
    library.info("not at this level")
    (line,) = lines(stream)
    assert PAYLOAD not in stream.getvalue()
    assert (line["logger"], line["event"]) == ("aiohttp.server", "library_message")
    assert line["place"].startswith("test_logs:")
    assert line["exception"]["type"] == "builtins.ValueError"
