"""`ferry-inner backup`, `restore` and `settle`."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

import click

from ferry_runtime import observation_client
from ferry_runtime.audit_verify import readable_records
from ferry_runtime.commands.configured import EXIT_CODES, load_alone
from ferry_runtime.commands.failure import fail
from inner_agent import backup as backups
from inner_agent import lookup
from inner_agent.command_frame import CONFIG, load, operators_trail
from inner_agent.config import load_config

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.command(epilog=EXIT_CODES)
@CONFIG
@_FOLDER
def backup(config_path: Path, folder: Path) -> None:
    """Copy journal, deliveries and objects into the new FOLDER. The agent may run or not.

    Holds no key: without journal.key, which is kept apart, no payload of it can be read.
    """
    config = load_alone(config_path, load_config)
    backups.back_up(config.agent.state_dir, config.agent.name, folder, datetime.now(UTC))
    click.echo(f"the backup is whole: {folder}")


@click.command(epilog=EXIT_CODES)
@CONFIG
@_FOLDER
def restore(config_path: Path, folder: Path) -> None:
    """Put a backup FOLDER into a state folder that has no journal. The agent must not run."""
    config = load_alone(config_path, load_config)
    made = backups.restore(folder, config.agent.state_dir)
    click.echo(f"restored as of {made}; what came later is read from the medium again")
    click.echo(
        "What was delivered since is delivered again, unless you first start the verifier alone, "
        "and then, when it has read all:\n"
        f"ferry-inner settle --trail COPY_OF_AUDIT/replayer --since {made}"
    )


@click.command(epilog=EXIT_CODES)
@CONFIG
@click.option(
    "--trail",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="The replayer's audit trail from before the restore (audit.dir/replayer), or a copy.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    required=True,
    help="The moment that `restore` named.",
)
def settle(config_path: Path, trail: Path, since: datetime) -> None:
    """After a restore: record as delivered what the audit trail says was. Replayer stopped.

    So the sinks are spared a second delivery. May be run again, when the verifier has read more.
    """
    config = load(config_path)[0]
    if observation_client.ask(config.metrics.listen, "/healthz") is not None:
        fail("the replayer runs, and would not see it", "Stop it: it may have begun to deliver")
    ids = backups.delivered_since(readable_records(trail), since)
    with lookup.open_journal(config) as journal:
        settled = backups.settle(journal, lookup.delivery_file(config), ids)
    with operators_trail(config) as own:
        own.record(
            "messages_settled",
            durable=True,
            operator=getpass.getuser(),
            number=settled.recorded,
            since=since.isoformat(),
        )
    click.echo(f"recorded as delivered: {settled.recorded}")
    if settled.unknown:
        click.echo(
            f"not in the journal yet: {settled.unknown}. Let the verifier read on (ferry-inner "
            "gaps names what has to be resent), then run this again before the replayer starts"
        )
