"""Structured logs: one JSON object a line, and never anything that a message contained.

They go to stdout; under systemd into its journal, with fields (`journald`).

A line of ours: {"ts", "level", "agent", "logger", "event", fields...}. Field values are text,
numbers, booleans, None, bytes (ids, shown as hex) and short lists of these; anything else is
replaced by its type's name, so that an object's repr can never carry a payload into the log.

Lines of other libraries keep their logger, their place and the type of an exception. Their text is
left out: aiohttp and asyncio quote requests and objects in it.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

from ferry_format.reasons import FerryError
from ferry_runtime.journald import JournalHandler, takes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

TEXT_CHARS_MAX: Final = 500
BYTES_MAX: Final = 64
ITEMS_MAX: Final = 50
FRAMES_MAX: Final = 6

_ROOT: Final = "ferry"
_TAKEN: Final = frozenset({"ts", "level", "agent", "logger", "event", "place", "exception"})


def configure(
    agent: str = "", stream: TextIO | None = None, level: int | str = logging.INFO
) -> None:
    """Send all logging of this process to `stream` (stdout if None) as JSON lines.

    If the stream is the journal's, they go there by its own protocol.

    `agent` is the agent's name; it stands in each line. May be called again: the last call holds.
    """
    target = sys.stdout if stream is None else stream
    if isinstance(target, io.TextIOWrapper):
        # Whatever the locale: a character that it lacks would lose the line.
        target.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler = JournalHandler(target) if takes(target) else logging.StreamHandler(target)
    handler.setFormatter(JsonLines(agent))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_ROOT).setLevel(level)
    # A full pipe or a closed stdout must not put a traceback (with arguments) on stderr.
    logging.raiseExceptions = False


def event(
    logger: logging.Logger,
    name: str,
    /,
    *,
    level: int = logging.INFO,
    error: BaseException | str | None = None,
    **fields: object,
) -> None:
    """Log the event `name` (lower_snake_case) with its fields.

    `error` may be an exception: its type, its place and, for the ferry's own errors, reason and
    where are logged; never its text. A field that has the name of a standard one gets a trailing _.
    """
    if logger.isEnabledFor(level):
        extra: dict[str, object] = {"ferry_event": name, "ferry_fields": fields}
        if isinstance(error, BaseException):
            extra["ferry_error"] = error
        elif error is not None:
            fields["error"] = error
        logger.log(level, name, extra=extra, stacklevel=2)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def __init__(self, agent: str) -> None:
        super().__init__()
        self._agent = agent

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "agent": self._agent,
            "logger": record.name,
        }
        name = getattr(record, "ferry_event", None)
        if name is None:
            line["event"] = "library_message"
            line["place"] = f"{record.module}:{record.lineno}"
        else:
            line["event"] = name
            line.update(_renamed(getattr(record, "ferry_fields", {})))
        error = getattr(record, "ferry_error", None) or (record.exc_info or (None, None))[1]
        if isinstance(error, BaseException):
            line["exception"] = describe(error)
        return json.dumps(line, ensure_ascii=False, allow_nan=False)


def _renamed(fields: dict[str, object]) -> dict[str, object]:
    return {
        key + "_" if key in _TAKEN else key: plain_value(value) for key, value in fields.items()
    }


def plain_value(value: object) -> object:
    """`value` as something that JSON holds and that cannot be a payload."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, int):  # bool among them
        return value
    if isinstance(value, bytes):
        return value.hex() if len(value) <= BYTES_MAX else f"<{len(value)} bytes>"
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _items(value)
    return f"<{type(value).__name__}>"


def _text(value: str) -> str:
    if type(value) is str and len(value) <= TEXT_CHARS_MAX and value.isascii():
        return value
    # A lone surrogate passes json.dumps and then fails in the stream's encoder.
    clean = str(value).encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= TEXT_CHARS_MAX else clean[:TEXT_CHARS_MAX] + "…"


def _items(values: Iterable[object]) -> list[object]:
    found: list[object] = []
    for value in values:
        if len(found) == ITEMS_MAX:
            found.append("…")
            break
        found.append(
            f"<{type(value).__name__}>"
            if isinstance(value, list | tuple | set | frozenset)
            else plain_value(value)
        )
    return found


def describe(error: BaseException) -> dict[str, object]:
    """An exception without its text: type, places from the outermost frame in, and its causes."""
    found = _one(error)
    causes: list[object] = []
    seen = {id(error)}
    cause = _cause(error)
    while cause is not None and id(cause) not in seen and len(causes) < FRAMES_MAX:
        seen.add(id(cause))
        causes.append(_one(cause))
        cause = _cause(cause)
    if causes:
        found["causes"] = causes
    return found


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def _one(error: BaseException) -> dict[str, object]:
    kind = type(error)
    found: dict[str, object] = {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "places": _places(error.__traceback__),
    }
    if isinstance(error, FerryError):
        found["reason"] = error.reason.code
        found["where"] = _text(error.where)
    elif isinstance(error, OSError) and error.errno is not None:
        found["errno"] = error.errno
    return found


def _places(trace: TracebackType | None) -> list[str]:
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(trace), limit=-FRAMES_MAX, lookup_lines=False
    )
    return [
        f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}"
        for frame in frames
    ]
