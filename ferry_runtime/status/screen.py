"""The status of one side as a screen for people, by rich."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ferry_runtime.doctor.findings import Finding, Level
from ferry_runtime.doctor.verdicts import duration, size
from ferry_runtime.status.report import Status, words

_COLOURS: Final = {Level.FAULT: "bold red", Level.WARNING: "bold yellow", Level.WELL: "bold green"}


def as_screen(status: Status, at: str) -> RenderableType:
    """The status as rich renders it; `at` is the time of the look."""
    parts: list[RenderableType] = [_head(status, at), *map(_told, status.problems)]
    parts += [Text(), _title(f"Crossed today ({status.day})"), _crossed(status)]
    parts += [Text(), _title("Waits"), *_waits(status)]
    parts += [Text(), _title("Refused today, and why"), *_refused(status)]
    parts += [Text(), Text(", ".join(_fact(name, value) for name, value in status.facts.items()))]
    return Group(*parts)


def _head(status: Status, at: str) -> Text:
    faults, warnings = (
        sum(one.level is level for one in status.problems) for level in (Level.FAULT, Level.WARNING)
    )
    word, level = "well", Level.WELL
    if not status.well:
        word, level = f"NOT WELL: faults {faults}, warnings {warnings}", Level.FAULT
    elif warnings:
        word, level = f"well, with warnings {warnings}", Level.WARNING
    return Text.assemble(
        f"{status.agent} ({status.here}): ", (word, _COLOURS[level]), (f"  {at}", "dim")
    )


def _told(one: Finding) -> RenderableType:
    told = Text.assemble(
        (f"{one.level.upper():<8}", _COLOURS[one.level]),
        f"{one.area}: {one.seen}",
    )
    todo = Padding(Text(f"cause: {one.side}. {one.action}"), (0, 0, 0, 10), expand=False)
    return Group(told, todo)


def _title(text: str) -> Text:
    return Text(text, "bold")


def _crossed(status: Status) -> RenderableType:
    table = _table("channel")
    for outcome in status.outcomes:
        table.add_column(outcome, justify="right")
    for name, numbers in sorted(status.crossed.items()):
        cells = (numbers.get(outcome, 0) for outcome in status.outcomes)
        table.add_row(name, *(f"{number:,}" for number in cells))
    return _indented(table)


def _waits(status: Status) -> Iterator[RenderableType]:
    if not any(one.number for one in status.waiting):
        yield Text("  nothing")
        return
    table = _table("for")
    table.add_column("number", justify="right")
    table.add_column("oldest", justify="right")
    for one in status.waiting:
        if one.number:
            oldest = "" if one.oldest_s is None else duration(one.oldest_s)
            table.add_row(one.what, f"{one.number:,}", oldest)
    yield _indented(table)


def _refused(status: Status) -> Iterator[RenderableType]:
    if not status.refused:
        yield Text("  nothing")
        return
    table = _table("channel")
    table.add_column("number", justify="right")
    table.add_column("reason, and what to do", overflow="fold")
    for one in status.refused:
        meaning, action = words(one.reason)
        why = Text.assemble((one.reason, "bold"), f" ({one.outcome}): {meaning}. {action}")
        table.add_row(one.channel or "(file)", f"{one.number:,}", why)
    yield _indented(table)


def _table(first: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, overflow="fold")
    return table


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2), expand=False)


def _fact(name: str, value: str | int | None) -> str:
    """A fact in words; the end of its name is its unit."""
    for unit, in_words in (("_bytes", size), ("_s", duration)):
        if name.endswith(unit):
            name = name.removesuffix(unit)
            value = in_words(value) if isinstance(value, int) else value
    return f"{name.replace('_', ' ')} {'unknown' if value is None else value}"
