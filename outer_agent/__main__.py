"""`ferry-outer`: run the sending side, check its files, see how it is, resend.

Exit codes: 0 done; 1 refused, invalid or failed (stderr says why and what to do); 2 wrong usage;
78 the configuration or a key is wrong, so that a service manager does not start it again and again.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click
import uvloop

from ferry_format.reasons import BAD_KEY_FILE, KEY_FILE_EXPOSED, POLICY_NOT_SIGNED, FerryError
from ferry_runtime import logs
from ferry_runtime.commands.failure import run as run_command
from ferry_runtime.configuration import ConfigurationError
from ferry_runtime.logs import event
from outer_agent import resend as resending
from outer_agent import service
from outer_agent import status as status_screen
from outer_agent.checks import check_outer
from outer_agent.config import OuterConfig, load_config
from outer_agent.policy import OuterPolicy, load_policy

EX_CONFIG: Final = 78
_CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default="/etc/ferry-outer/outer.toml",
    show_default=True,
    help="The system administrator's file.",
)
_EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 refused or failed (stderr says why); 2 wrong usage; "
    "78 configuration, policy or key wrong."
)


@click.group(epilog=_EXIT_CODES)
def cli() -> None:
    """The sending side of the ferry: takes messages in and publishes them on the medium."""


@cli.command(epilog=_EXIT_CODES)
@_CONFIG
def run(config_path: Path) -> None:
    """Run the agent until it is told to stop (SIGTERM)."""
    config, policy = _load(config_path)
    logs.configure(config.agent.name)
    try:
        uvloop.run(service.run(config, policy))
    except FerryError as error:
        event(
            logging.getLogger("ferry.outer"),
            "cannot_run",
            level=logging.CRITICAL,
            error=error,
            action=error.reason.action,
        )
        raise


@cli.command(epilog=_EXIT_CODES)
@_CONFIG
def check(config_path: Path) -> None:
    """Check configuration, policy, keys and folders as a whole; change nothing."""
    config, policy = _load(config_path)
    click.echo(
        f"{config_path}: good. Lane {policy.lane}, {len(config.sources)} sources,"
        f" {len(policy.channels)} channels, {len(policy.senders)} senders."
    )


@cli.command(epilog=_EXIT_CODES)
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def status(config_path: Path, *, as_json: bool) -> None:
    """Say on one screen how the agent is: exit code 1 if it is not well."""
    found = status_screen.look(load_config(config_path))
    click.echo(status_screen.as_json(found) if as_json else status_screen.as_text(found))
    if not found.well:
        sys.exit(1)


@cli.command(epilog=_EXIT_CODES)
@_CONFIG
@click.option(
    "--range",
    "wanted",
    required=True,
    metavar="FIRST-LAST",
    help="File sequences as `ferry-inner gaps` names them, for example 120-125 or 120.",
)
def resend(config_path: Path, wanted: str) -> None:
    """Publish a stretch of the spool again, byte for byte. The agent may run or not."""
    first, last = resending.parse_range(wanted)
    config = load_config(config_path)
    report = resending.resend(
        service.spool_path(config.agent.state_dir), config.medium.path, first, last
    )
    click.echo(f"published again: {report.published} files of {first} to {last}")
    for missing_first, missing_last in report.missing:
        click.echo(f"not in the spool any more: {missing_first} to {missing_last}", err=True)
    if report.missing:
        sys.exit(1)


_Loaded = TypeVar("_Loaded")


def _load(config_path: Path) -> tuple[OuterConfig, OuterPolicy]:
    """Both files, checked as a whole; every problem is told at once."""
    config = _or_exit(lambda: load_config(config_path))
    policy = _or_exit(lambda: load_policy(config.policy.file, config.policy.security_admin))
    problems = check_outer(config, policy)
    if problems:
        _fail_configuration(str(ConfigurationError(tuple(problems))))
    return config, policy


def _or_exit(load: Callable[[], _Loaded]) -> _Loaded:
    try:
        return load()
    except ConfigurationError as error:
        _fail_configuration(str(error))
    except FerryError as error:
        if error.reason in {BAD_KEY_FILE, KEY_FILE_EXPOSED, POLICY_NOT_SIGNED}:
            _fail_configuration(f"{error}. {error.reason.action}")
        raise
    raise AssertionError("unreachable")


def _fail_configuration(text: str) -> None:
    click.echo(text, err=True)
    sys.exit(EX_CONFIG)


def main() -> None:
    """Entry point of the console script."""
    run_command(cli)


if __name__ == "__main__":
    main()
