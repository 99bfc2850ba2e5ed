"""`ferry-outer deidentify-report`: what a channel's de-identification would do to a sample."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ferry_runtime.commands.configured import EXIT_CODES
from outer_agent import deidentification
from outer_agent.command_frame import CONFIG, load
from validators.deidentify.report import report
from validators.verdict import Accepted


@click.command("deidentify-report", epilog=EXIT_CODES)
@CONFIG
@click.option("--channel", "name", required=True, help="A channel that de-identifies.")
@click.argument("sample", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def deidentify_report(config_path: Path, name: str, sample: Path) -> None:
    """Say what de-identification would do to the message in SAMPLE: places and counts, no value.

    Exit code 1 if the message would be refused.
    """
    config, policy = load(config_path)
    examination = deidentification.examine(config, policy, name, sample.read_bytes())
    click.echo(report(examination))
    if not isinstance(examination.verdict, Accepted):
        sys.exit(1)
