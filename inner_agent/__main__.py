"""`ferry-inner`: run the receiving side, check its files, see how it is, answer for each message.

Exit codes: 0 done; 1 refused, invalid or failed (stderr says why and what to do); 2 wrong usage;
78 the configuration or a key is wrong, so that a service manager does not start it again and again.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click
import uvloop

from ferry_runtime import logs
from ferry_runtime.commands.configured import EXIT_CODES
from ferry_runtime.commands.doctor import DOCTOR_EXIT_CODES, tell
from ferry_runtime.commands.failure import run as run_command
from ferry_runtime.commands.failure import told_in_log
from ferry_runtime.commands.status import JSON, WATCH, show
from inner_agent import (
    backup_commands,
    both_roles,
    journal_commands,
    message_commands,
    replayer_service,
    setup_commands,
    stream_commands,
    verifier_service,
)
from inner_agent import status as agent_status
from inner_agent.checks import Role
from inner_agent.command_frame import CONFIG, load
from inner_agent.doctor import WAIT_S_MAX, examine


@click.group(epilog=EXIT_CODES)
def cli() -> None:
    """The receiving side of the ferry: verifies files from the medium and replays messages."""


@cli.command(epilog=EXIT_CODES)
@CONFIG
@click.option(
    "--role",
    type=click.Choice(["verifier", "replayer", "both"]),
    default="both",
    show_default=True,
    help="Under systemd each role is a unit of its own.",
)
def run(config_path: Path, role: Role) -> None:
    """Run one of the agent's two processes, or both, until told to stop (SIGTERM)."""
    config, policy = load(config_path, role)
    if role == "both":
        sys.exit(both_roles.run(config_path))
    logs.configure(config.agent.name)
    with told_in_log(logging.getLogger(f"ferry.inner.{role}")):
        if role == "verifier":
            verifier_service.run(config, policy)
        else:
            uvloop.run(replayer_service.run(config, policy))


@cli.command(epilog=EXIT_CODES)
@CONFIG
def check(config_path: Path) -> None:
    """Check configuration, policy, keys and folders as a whole; change nothing."""
    config, policy = load(config_path, "both")
    click.echo(
        f"{config_path}: good. Lane {policy.lane}, {len(policy.senders)} trusted keys,"
        f" {len(policy.channels)} channels, {len(config.sinks)} sinks."
    )


@cli.command(epilog=EXIT_CODES)
@CONFIG
@JSON
@WATCH
def status(config_path: Path, *, in_json: bool, every_s: float | None) -> None:
    """Say on one screen how the agent is; exit code 1 if it is not well.

    Well or not and why, what crossed today, what waits, what was refused today and why.
    """
    config, policy = load(config_path)
    sinks_of = {channel.name: channel.sink for channel in policy.channels}
    show(lambda: agent_status.look(config, sinks_of), in_json=in_json, every_s=every_s)


@cli.command(epilog=DOCTOR_EXIT_CODES)
@CONFIG
@click.option(
    "--wait-s",
    type=click.FloatRange(0, WAIT_S_MAX),
    default=6.0,
    show_default=True,
    help="Seconds to wait for the next file: more than the outer's medium.heartbeat_s.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def doctor(config_path: Path, wait_s: float, *, as_json: bool) -> None:
    """Find out what is wrong, on which side, and what to do. The agent may run or not.

    Looks at configuration, policy, keys, medium, clocks, disks, both processes, streams and sinks,
    also where the configuration is broken; takes less than 15 seconds. Writes nothing on the
    medium. Shows no message and no secret.
    """
    tell(examine(config_path, wait_s), as_json=as_json)


for _command in (
    message_commands.messages,
    message_commands.quarantine,
    message_commands.deadletters,
    message_commands.requeue,
    message_commands.discard,
    stream_commands.gaps,
    stream_commands.streams,
    journal_commands.check_journal,
    backup_commands.backup,
    backup_commands.restore,
    backup_commands.settle,
    setup_commands.init,
    setup_commands.lane_test,
):
    cli.add_command(_command)


def main() -> None:
    """Entry point of the console script."""
    run_command(cli)


if __name__ == "__main__":
    main()
