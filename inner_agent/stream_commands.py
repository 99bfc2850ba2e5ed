"""Operators' commands about streams: what is missing, which stream is accepted."""

from __future__ import annotations

import getpass
import io
import itertools
import sys
from pathlib import Path
from typing import Final

import click
import segno

from ferry_format import slip
from ferry_format.stream import Gap
from ferry_runtime.commands.configured import EXIT_CODES
from ferry_runtime.commands.failure import fail
from inner_agent import lookup, stream_orders
from inner_agent.command_frame import CONFIG, JSON, load, moment, parse_hex, print_rows
from inner_agent.journal import GapRecord

_ANSWER_S: Final = 10.0


@click.command(epilog=EXIT_CODES)
@CONFIG
@JSON
@click.option(
    "--slip", "as_slips", is_flag=True, help="As slips for the outer: a line to type, a QR code."
)
def gaps(config_path: Path, *, as_json: bool, as_slips: bool) -> None:
    """List missing ferry files by exact range; exit code 1 if there are any."""
    if as_json and as_slips:
        raise click.UsageError("--slip is for people, --json for programs: name one.")
    with lookup.open_journal(load(config_path)[0]) as journal:
        found = journal.gaps()
        waiting = {one.stream_id: journal.waiting_channels(one.stream_id) for one in found}
        held = journal.held_counts()
    if as_slips and found:
        _print_slips(found)
        sys.exit(1)
    rows = [
        {
            "stream": one.stream_id.hex(),
            "first": one.first_sequence,
            "last": one.last_sequence,
            "since": moment(one.opened_at_ms),
            "given_up": one.given_up,
            "channels_waiting": " ".join(waiting[one.stream_id]),
            "mend": f"ferry-outer resend --range {one.first_sequence}-{one.last_sequence}",
        }
        for one in found
    ]
    print_rows(rows, as_json=as_json, nothing="nothing is missing")
    for channel, number in sorted(held.items()):
        click.echo(f"held for missing messages of channel {channel}: {number}", err=True)
    if rows:
        sys.exit(1)


def _print_slips(gaps: list[GapRecord]) -> None:
    """One slip a stream: each outer takes its own."""
    for stream_id, of_stream in itertools.groupby(gaps, key=lambda gap: gap.stream_id):
        missing = [Gap(one.first_sequence, one.last_sequence) for one in of_stream]
        line = slip.write(stream_id, missing)
        code = io.StringIO()
        segno.make(line, error="m", micro=False).terminal(code, compact=True)
        click.echo(f"On the outer whose stream begins with {stream_id.hex()[:8]}:\n")
        click.echo(f'    ferry-outer resend --slip "{line}"\n')
        click.echo(code.getvalue())
        if len(missing) > slip.RANGES_MAX:
            click.echo(f"{len(missing) - slip.RANGES_MAX} more ranges: print the next slip then.\n")


@click.group(invoke_without_command=True, epilog=EXIT_CODES)
@click.pass_context
@CONFIG
@JSON
def streams(context: click.Context, config_path: Path, *, as_json: bool) -> None:
    """List the streams that trusted senders showed, and accept a new one."""
    context.obj = config_path
    if context.invoked_subcommand is not None:
        return
    with lookup.open_journal(load(config_path)[0]) as journal:
        rows = [
            {
                "stream": one.stream_id.hex(),
                "sender": one.sender,
                "state": one.state,
                "next": one.next_sequence,
                "last_file": moment(one.last_file_at_ms),
            }
            for one in journal.streams()
        ]
    print_rows(rows, as_json=as_json, nothing="no stream was seen yet")


_CONFIG_AT_THE_END = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The system administrator's file, if it was not named before.",
)


@streams.command(epilog=EXIT_CODES)
@click.argument("stream", metavar="STREAM_ID")
@_CONFIG_AT_THE_END
@click.pass_context
def accept(context: click.Context, stream: str, config_path: Path | None) -> None:
    """Accept the stream of an outer that was installed anew; its old one is retired."""
    _order(config_path or context.obj, "accept_stream", stream)


@streams.command("give-up-gap", epilog=EXIT_CODES)
@click.argument("stream", metavar="STREAM_ID")
@_CONFIG_AT_THE_END
@click.pass_context
def give_up_gap(context: click.Context, stream: str, config_path: Path | None) -> None:
    """Wait no longer for what is missing of a stream; the range stays reported."""
    _order(config_path or context.obj, "give_up_gap", stream)


def _order(config_path: Path, kind: stream_orders.OrderKind, stream: str) -> None:
    config = load(config_path)[0]
    lookup.journal_file(config)
    folder = config.agent.state_dir / stream_orders.ORDERS_NAME
    order = stream_orders.Order(kind, parse_hex(stream, 16), getpass.getuser())
    name = stream_orders.submit(folder, order)
    given = stream_orders.wait_for_answer(folder, name, _ANSWER_S)
    if given is None:
        fail("the verifier did not answer", "Start it; the order stands and is executed then")
    if not given.done:
        fail(given.detail)
    click.echo(given.detail)
