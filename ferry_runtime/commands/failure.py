"""How the commands fail: one line on stderr that says what and what to do, and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import click

from ferry_format.reasons import FerryError
from ferry_runtime.logs import event
from ferry_runtime.problem_words import Mistake

REFUSED: Final = 1
USAGE: Final = 2
EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 refused, invalid or not readable (stderr says why); 2 wrong usage."
)


def fail(problem: str, action: str = "") -> NoReturn:
    """End the command with exit code 1."""
    text = problem if not action else f"{problem}. {action}"
    raise click.ClickException(text.rstrip(".") + ".")


@contextmanager
def told_in_log(logger: logging.Logger) -> Iterator[None]:
    """Have a service's log say too why it ends; what is no FerryError or OSError is a defect."""
    try:
        yield
    except FerryError as error:
        action = error.reason.action
        event(logger, "cannot_run", level=logging.CRITICAL, error=error, action=action)
        raise
    except OSError as error:
        event(logger, "cannot_run", level=logging.CRITICAL, error=error)
        raise
    except Exception as error:  # noqa: BLE001 - told without what a traceback may quote
        event(logger, "crashed", level=logging.CRITICAL, error=error)
        fail(f"a defect in the program: {type(error).__name__}", "The log says where it lies")


def run(command: Callable[..., object]) -> NoReturn:
    """Run a click command; refusals and file errors become its one line, never a traceback."""
    try:
        # Without standalone mode, click returns the code of an Exit (--help, or ours).
        code = command(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Error: interrupted.", err=True)
        sys.exit(REFUSED)
    except FerryError as error:
        where = f" ({error.where})" if error.where else ""
        click.echo(f"Error: {error.reason.meaning}{where}. {error.reason.action}", err=True)
        sys.exit(REFUSED)
    except Mistake as error:
        click.echo(f"Error: {error.problem}. {error.action}.", err=True)
        sys.exit(REFUSED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(REFUSED)
    except OSError as error:
        click.echo(f"Error: {error.filename or 'a file'}: {error.strerror}.", err=True)
        sys.exit(REFUSED)
    sys.exit(code if isinstance(code, int) else 0)
