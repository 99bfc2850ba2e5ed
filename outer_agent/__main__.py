"""`ferry-outer`: run the sending side, check its files, see how it is, find what is wrong, resend.

Exit codes: 0 done; 1 refused, invalid or failed (stderr says why and what to do); 2 wrong usage;
78 the configuration or a key is wrong, so that a service manager does not start it again and again.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import uvloop

from ferry_runtime import logs
from ferry_runtime.commands.configured import EXIT_CODES
from ferry_runtime.commands.doctor import DOCTOR_EXIT_CODES, tell
from ferry_runtime.commands.failure import run as run_command
from ferry_runtime.commands.failure import told_in_log
from ferry_runtime.commands.progress import progress
from ferry_runtime.commands.status import JSON, WATCH, show
from outer_agent import backup_commands, deidentify_command, service, setup_commands
from outer_agent import resend as resending
from outer_agent import status as agent_status
from outer_agent.command_frame import CONFIG, load
from outer_agent.doctor import examine
from outer_agent.new_stream import set_aside


@click.group(epilog=EXIT_CODES)
def cli() -> None:
    """The sending side of the ferry: takes messages in and publishes them on the medium."""


@cli.command(epilog=EXIT_CODES)
@CONFIG
def run(config_path: Path) -> None:
    """Run the agent until it is told to stop (SIGTERM)."""
    config, policy = load(config_path)
    logs.configure(config.agent.name)
    with told_in_log(logging.getLogger("ferry.outer")):
        uvloop.run(service.run(config, policy))


@cli.command(epilog=EXIT_CODES)
@CONFIG
def check(config_path: Path) -> None:
    """Check configuration, policy, keys and folders as a whole; change nothing."""
    config, policy = load(config_path)
    click.echo(
        f"{config_path}: good. Lane {policy.lane}, {len(config.sources)} sources,"
        f" {len(policy.channels)} channels, {len(policy.senders)} senders."
    )


@cli.command(epilog=EXIT_CODES)
@CONFIG
@JSON
@WATCH
def status(config_path: Path, *, in_json: bool, every_s: float | None) -> None:
    """Say on one screen how the agent is: exit code 1 if it is not well.

    Well or not and why, what crossed today, what waits, what was refused today and why.
    """
    config, policy = load(config_path)
    channels = [channel.name for channel in policy.channels]
    show(lambda: agent_status.look(config, channels), in_json=in_json, every_s=every_s)


@cli.command(epilog=DOCTOR_EXIT_CODES)
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def doctor(config_path: Path, *, as_json: bool) -> None:
    """Find out what is wrong, on which side, and what to do. The agent may run or not.

    Looks at configuration, policy, keys, medium, clock, disks, listeners and the agent itself, also
    where the configuration is broken; takes less than 15 seconds. Shows no message and no secret.
    """
    tell(examine(config_path), as_json=as_json)


@cli.command(epilog=EXIT_CODES)
@CONFIG
@click.option(
    "--range",
    "stretch",
    metavar="FIRST-LAST",
    help="File sequences as `ferry-inner gaps` names them, for example 120-125 or 120.",
)
@click.option(
    "--slip",
    metavar="TEXT",
    help="What `ferry-inner gaps --slip` printed, in quotes; - reads it from standard input.",
)
@click.option(
    "--since",
    metavar="MOMENT",
    help="All files sealed since 90m, 2h or 3d ago, or since 2026-11-23T08:00.",
)
@click.option(
    "--spool",
    "other_spool",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A spool that was set aside or restored (spool-….db), in place of the agent's own.",
)
def resend(
    config_path: Path,
    stretch: str | None,
    slip: str | None,
    since: str | None,
    other_spool: Path | None,
) -> None:
    """Publish spooled files again, byte for byte. The agent may run or not.

    What the inner has already is recognised there and dropped.
    """
    wanted = _wanted(stretch, slip, since)
    config = load(config_path)[0]
    spool_path = other_spool or service.spool_path(config.agent.state_dir)
    resending.become_the_agent(spool_path)
    report = resending.resend(
        spool_path, config.medium.path, wanted, partial(progress, "published again")
    )
    click.echo(f"published again: {report.published} files")
    for missing in report.missing:
        click.echo(f"not in the spool: {missing.first} to {missing.last}", err=True)
    if report.missing:
        sys.exit(1)


@cli.command("new-stream", epilog=EXIT_CODES)
@CONFIG
@click.option("--yes", is_flag=True, help="Do not ask.")
def new_stream(config_path: Path, *, yes: bool) -> None:
    """Set the spool aside, so that the next start begins a new stream. The agent must not run.

    For a spool that was restored from an old backup. The inner's operator must accept the stream.
    """
    config = load(config_path)[0]
    spool_path = service.spool_path(config.agent.state_dir)
    resending.become_the_agent(spool_path)
    if not yes:
        click.confirm(
            "The inner will take nothing more until its operator accepts. Go on?", abort=True
        )
    kept = set_aside(spool_path, datetime.now(UTC))
    click.echo(f"the old spool is kept as {kept}")
    click.echo(
        "Now start the agent; then on the inner: ferry-inner streams, and accept the new one"
    )


for _command in (
    backup_commands.backup,
    backup_commands.restore,
    setup_commands.init,
    setup_commands.lane_test,
    deidentify_command.deidentify_report,
):
    cli.add_command(_command)


def _wanted(stretch: str | None, slip: str | None, since: str | None) -> resending.Wanted:
    if [stretch, slip, since].count(None) != len(("two", "of three")):
        raise click.UsageError("Name one of --range, --slip and --since.")
    if stretch is not None:
        one = resending.parse_range(stretch)
        return lambda _: [one]
    if slip is not None:
        text = sys.stdin.readline() if slip == "-" else slip
        return lambda spool: resending.read_slip(text, spool.head().stream_id)
    since_ms = resending.parse_since(since or "", datetime.now().astimezone())
    return lambda spool: spool.sealed_since(since_ms)


def main() -> None:
    """Entry point of the console script."""
    run_command(cli)


if __name__ == "__main__":
    main()
