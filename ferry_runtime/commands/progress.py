"""How far a long operation has come: a bar on a terminal, a line now and then elsewhere.

Told on standard error, so that what a command prints stays what it was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

LINE_S: Final = 5.0
"""Seconds between two lines; what is done sooner says nothing."""

Advance = Callable[[int], None]
"""Says that so many more are done."""


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Tell how many of `total` are done, whatever they are, until the block ends."""
    if not sys.stderr.isatty():
        yield _lines(label, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda more: bar.advance(task, more)


def _lines(label: str, total: int, clock_s: Callable[[], float] = time.monotonic) -> Advance:
    done, told_at_s = 0, clock_s()

    def advance(more: int) -> None:
        nonlocal done, told_at_s
        done += more
        if clock_s() - told_at_s >= LINE_S:
            told_at_s = clock_s()
            click.echo(f"{label}: {done} of {total}", err=True)

    return advance
