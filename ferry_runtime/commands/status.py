"""`status` on both sides: once or again and again, for people or for programs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from ferry_format.reasons import FerryError
from ferry_runtime.status.report import Status, as_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PIPED_COLUMNS: Final = 120

JSON: Final = click.option("--json", "in_json", is_flag=True, help="The same as one JSON object.")
WATCH: Final = click.option(
    "--watch",
    "every_s",
    metavar="[SECONDS]",
    type=click.FloatRange(0.5, 3600),
    is_flag=False,
    flag_value=2.0,
    help="Look again every 2 seconds, or as often as said, until interrupted.",
)


def show(look: Callable[[], Status], *, in_json: bool, every_s: float | None) -> None:
    """Show what `look` finds; ends with exit code 1 if that is not well.

    Colours only on a terminal, and not with NO_COLOR.
    """
    if every_s is not None:
        if in_json:
            raise click.UsageError("--watch is for people; have the program that reads JSON ask.")
        _watch(look, every_s)
        return
    found = look()
    if in_json:
        click.echo(as_json(found))
    else:
        _console().print(_screen(found))
    if not found.well:
        sys.exit(1)


def _watch(look: Callable[[], Status], every_s: float) -> None:
    """On a terminal in place; elsewhere one screen after the other."""
    from rich.live import Live

    console = _console()
    try:
        if not console.is_terminal:
            while True:
                console.print(_look(look))
                console.print()
                time.sleep(every_s)
        with Live(_look(look), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every_s)
                live.update(_look(look), refresh=True)
    except KeyboardInterrupt:
        return


def _look(look: Callable[[], Status]) -> RenderableType:
    """The screen, or why there is none now: a watch outlives a restart of the agent."""
    try:
        return _screen(look())
    except FerryError as error:
        return f"{_now()}: {error.reason.meaning} ({error.where}). {error.reason.action}"


def _screen(status: Status) -> RenderableType:
    from ferry_runtime.status.screen import as_screen

    return as_screen(status, _now())


def _console() -> Console:
    """Where no terminal says how wide it is, lines are long: they are for grep and for mail."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED_COLUMNS
    return console


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
