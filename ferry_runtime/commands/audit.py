"""`ferry-audit`: check an audit trail, on any machine, with nothing but its public key."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

from ferry_format.keys import KeyKind
from ferry_runtime import secrets
from ferry_runtime.audit_end import trail_files
from ferry_runtime.audit_verify import Checkpoint, TrailReport, verify_trail
from ferry_runtime.commands.failure import REFUSED, run
from ferry_runtime.commands.progress import progress

EXIT_CODES = (
    "Exit codes: 0 the trail is whole; 1 it is not, or cannot be read (the output says why); "
    "2 wrong usage."
)
_CHECKPOINT = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


class CheckpointType(click.ParamType[Checkpoint]):
    """N:HASH on the command line."""

    name = "N:HASH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Checkpoint:
        """The checkpoint that the text names."""
        found = _CHECKPOINT.fullmatch(str(value))
        if found is None:
            self.fail("write the record's number, a colon, and 64 hex digits", param, ctx)
        return Checkpoint(int(found[1]), found[2])


@click.group(epilog=EXIT_CODES)
def cli() -> None:
    """Check the ferry's audit trails."""


@cli.command(epilog=EXIT_CODES)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The agent's public audit key (.pub).",
)
@click.option(
    "--expect",
    type=CheckpointType(),
    help="A checkpoint noted elsewhere (N:HASH, from the agent's log or an earlier run): the trail "
    "must hold it. Shows whether the end was cut off.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(folder: Path, key: Path, expect: Checkpoint | None, *, as_json: bool) -> None:
    """Check the trail in FOLDER: every record, the chain, every checkpoint's signature.

    Changes nothing. A trail cut off at its end is whole in itself: note the last checkpoint that
    this command prints, and give it as --expect the next time.
    """
    public_key = secrets.read_public_key(key, KeyKind.AUDIT)
    trail_bytes = sum(path.stat().st_size for path in trail_files(folder))
    with progress("bytes of the trail checked", trail_bytes) as advance:
        report = verify_trail(folder, public_key, expect, advance)
    if as_json:
        click.echo(json.dumps(asdict(report) | {"is_whole": report.is_whole}))
    else:
        _print(report)
    if not report.is_whole:
        raise click.exceptions.Exit(REFUSED)


def _print(report: TrailReport) -> None:
    for problem in report.problems:
        click.echo(f"PROBLEM: {problem}")
    click.echo(f"files: {report.files}")
    click.echo(f"records: {report.records} (number {report.first_n} to {report.last_n})")
    click.echo(f"checkpoints: {report.checkpoints}")
    if report.last_checkpoint is not None:
        last = report.last_checkpoint
        click.echo(f"last checkpoint: {last.n}:{last.digest}")
    click.echo(f"records after it, not yet signed: {report.unsigned_records}")
    ended = "ended by a close" if report.was_closed else "open (the agent runs, or was killed)"
    click.echo(f"end: {ended}")
    click.echo(f"result: {'whole' if report.is_whole else 'NOT WHOLE'}")


def main() -> NoReturn:
    """Entry point of the console script."""
    run(cli)


if __name__ == "__main__":
    main()
