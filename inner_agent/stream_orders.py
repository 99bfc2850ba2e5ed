"""Operators' orders to the running verifier: files in a folder of the agent's state, and answers.

The verifier is the journal's only writer, so a command cannot change a stream itself. It writes an
order aside and renames it (`submit`); the verifier executes it at its next look, writes the answer
beside it and removes the order (`pending`, `answer`). Who may write into the folder may order: it
belongs to the agent's user and group and to nobody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ferry_format import reasons
from ferry_format.identifiers import STREAM_ID_BYTES
from ferry_format.reasons import StorageFault
from ferry_runtime.regular_file import read_regular

ORDERS_NAME: Final = "orders"
ORDERS_MODE: Final = 0o770
ORDER_BYTES_MAX: Final = 4096
OPERATOR_CHARS_MAX: Final = 64
ANSWER_KEPT_S: Final = 3600.0

_ORDER_ENDING: Final = ".order.json"
_ANSWER_ENDING: Final = ".answer.json"
_LOOK_S: Final = 0.1

OrderKind = Literal["accept_stream", "give_up_gap"]
KINDS: Final[tuple[OrderKind, ...]] = ("accept_stream", "give_up_gap")


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `operator` is who gave it, for the audit trail."""

    kind: OrderKind
    stream_id: bytes
    operator: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an order; `detail` is for people."""

    done: bool
    detail: str


def make_folder(state_dir: Path) -> Path:
    """The orders' folder, made if it is missing; the verifier's part. Raises StorageFault."""
    folder = state_dir / ORDERS_NAME
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(ORDERS_MODE)
            folder.chmod(ORDERS_MODE)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise StorageFault(reasons.STORAGE_FAILED, f"{folder}: is not a folder")
    except OSError as error:
        raise StorageFault(reasons.STORAGE_FAILED, f"{folder}: {error.strerror}") from error
    return folder


def submit(folder: Path, order: Order) -> str:
    """Write an order; returns its name. Raises OSError, or ValueError for an unfit operator."""
    if not _is_operator(order.operator):
        raise ValueError(f"an operator's name has 1 to {OPERATOR_CHARS_MAX} printable characters")
    name = f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(4)}"
    text = {"order": order.kind, "stream": order.stream_id.hex(), "operator": order.operator}
    _write(folder, name + _ORDER_ENDING, text)
    return name


def wait_for_answer(folder: Path, name: str, timeout_s: float) -> Answer | None:
    """The verifier's answer, None if it gave none in time (is it running?). Raises OSError."""
    ends_at_s = time.monotonic() + timeout_s
    path = folder / (name + _ANSWER_ENDING)
    while True:
        with contextlib.suppress(FileNotFoundError):
            table = _table(path)
            path.unlink()
            return Answer(bool(table.get("done")), str(table.get("detail", "")))
        if time.monotonic() >= ends_at_s:
            return None
        time.sleep(_LOOK_S)


def pending(folder: Path) -> Iterator[tuple[str, Order | None]]:
    """Orders without an answer, oldest first, by name; None for one that cannot be read."""
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(_ORDER_ENDING))
    for entry in names:
        name = entry.removesuffix(_ORDER_ENDING)
        if (folder / (name + _ANSWER_ENDING)).exists():
            # A crash came between the answer and the order's removal.
            _remove(folder / entry)
        else:
            yield name, _order(folder / entry)


def answer(folder: Path, name: str, given: Answer) -> None:
    """Answer an order and remove it. Raises OSError."""
    _write(folder, name + _ANSWER_ENDING, {"done": given.done, "detail": given.detail})
    _remove(folder / (name + _ORDER_ENDING))


def clear(folder: Path, now_s: float) -> None:
    """Remove answers that nobody fetched; `now_s` is unix seconds."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.name.endswith(_ANSWER_ENDING) and path.stat().st_mtime < now_s - ANSWER_KEPT_S:
                path.unlink()


def _order(path: Path) -> Order | None:
    try:
        table = _table(path)
        kind, operator = table["order"], table["operator"]
        stream_id = bytes.fromhex(table["stream"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if kind not in KINDS or not _is_operator(operator) or len(stream_id) != STREAM_ID_BYTES:
        return None
    return Order(kind, stream_id, operator)


def _is_operator(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= OPERATOR_CHARS_MAX and name.isprintable()


def _table(path: Path) -> dict[str, Any]:
    table = json.loads(read_regular(path, ORDER_BYTES_MAX))
    if not isinstance(table, dict):
        raise ValueError("not an object")  # noqa: TRY004  (bad content, not a caller's mistake)
    return table


def _write(folder: Path, name: str, table: Mapping[str, object]) -> None:
    aside = folder / f".{name}.{os.getpid()}"
    with aside.open("x") as file:
        json.dump(table, file)
        file.flush()
        os.fsync(file.fileno())
    # The other side may be another user of the group.
    aside.chmod(0o660)
    aside.rename(folder / name)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
