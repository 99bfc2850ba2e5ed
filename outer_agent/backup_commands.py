"""`ferry-outer backup` and `restore`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ferry_runtime.commands.configured import EXIT_CODES, load_alone
from outer_agent import backup as backups
from outer_agent import service
from outer_agent.command_frame import CONFIG
from outer_agent.config import load_config

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.command(epilog=EXIT_CODES)
@CONFIG
@_FOLDER
def backup(config_path: Path, folder: Path) -> None:
    """Copy the spool into the new FOLDER. The agent may run or not.

    Holds no key, and nothing that can be read without the inner's: keys are kept apart.
    """
    config = load_alone(config_path, load_config)
    backups.back_up(
        service.spool_path(config.agent.state_dir),
        config.medium.path,
        config.agent.name,
        folder,
        datetime.now(UTC),
    )
    click.echo(f"the backup is whole: {folder}")


@click.command(epilog=EXIT_CODES)
@CONFIG
@_FOLDER
def restore(config_path: Path, folder: Path) -> None:
    """Put the spool of a backup FOLDER beside the agent's own, for `resend`.

    The agent begins a new stream at its next start, or has: a spool from a backup is never gone on
    with, since it would use sequence numbers twice.
    """
    config = load_alone(config_path, load_config)
    kept = backups.restore(folder, config.agent.state_dir, datetime.now(UTC))
    click.echo(f"the backup's spool is kept as {kept}")
    click.echo(
        f"If the medium was lost too: ferry-outer resend --spool {kept} --since MOMENT\n"
        "Then start the agent; on the inner: ferry-inner streams, and accept the new one"
    )
