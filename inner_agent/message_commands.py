"""Operators' commands about messages: where they are, what was refused, what was given up."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

import click

from ferry_runtime.commands.configured import EXIT_CODES
from ferry_runtime.commands.failure import fail
from ferry_runtime.commands.progress import progress
from ferry_runtime.logs import ITEMS_MAX
from inner_agent import lookup, operator_orders
from inner_agent.at_rest import PayloadCipher
from inner_agent.command_frame import (
    CONFIG,
    JSON,
    explain,
    load,
    moment,
    operators_trail,
    parse_hex,
    print_rows,
)
from inner_agent.config import InnerConfig
from inner_agent.quarantine import QuarantineReader

_ALL_LETTERS: Final = 2**31
_CHANNEL = click.option("--channel", help="Of this channel only.")


@click.command(epilog=EXIT_CODES)
@CONFIG
@click.option("--control-id", help="MSH-10, or what the channel's policy takes as control id.")
@click.option("--id", "message_id", metavar="HEX", help="The message id, 32 hex digits.")
@_CHANNEL
@click.option("--since", metavar="MINUTES", type=float, help="Received in the last MINUTES.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@JSON
def messages(
    config_path: Path,
    control_id: str | None,
    message_id: str | None,
    channel: str | None,
    since: float | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Say where messages are, newest first: waiting, delivered, dead, and why."""
    found = lookup.find(
        load(config_path)[0],
        control_id=control_id,
        message_id=None if message_id is None else parse_hex(message_id, 16),
        channel=channel,
        since_ms=None if since is None else int((time.time() - since * 60) * 1000),
        limit=limit,
    )
    rows = [
        {
            "message_id": one.record.message_id.hex(),
            "channel": one.record.channel,
            "channel_sequence": one.record.channel_sequence,
            "control_id": one.record.control_id or "",
            "type": one.record.message_type,
            "received": moment(one.record.received_at_ms),
            "state": str(one.state),
            "attempts": one.attempts,
            "reason": one.reason or "",
        }
        for one in found
    ]
    print_rows(rows, as_json=as_json, nothing="no such message was received")


@click.command(epilog=EXIT_CODES)
@CONFIG
@click.option("--reason", help="With this reason code only.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@JSON
def quarantine(config_path: Path, reason: str | None, limit: int, *, as_json: bool) -> None:
    """List what was refused, newest first: files and messages, and why."""
    config = load(config_path)[0]
    cipher = PayloadCipher.from_key_file(config.keys.journal)
    with QuarantineReader(lookup.journal_file(config), cipher) as reader:
        entries = reader.newest(reason=reason, limit=limit)
        overflow = reader.overflow()
    rows = [
        {
            "entry": one.entry,
            "at": moment(one.at_ms),
            "kind": one.kind,
            "reason": explain(one.reason),
            "place": one.place,
            "channel": one.channel or "",
            "message_id": one.message_id.hex() if one.message_id else "",
            "sequence": one.sequence or "",
            "bytes": one.bytes,
        }
        for one in entries
    ]
    print_rows(rows, as_json=as_json, nothing="the quarantine is empty")
    for row in overflow:
        click.echo(f"further {row.number} of kind {row.kind}: {row.reason}", err=True)


@click.command(epilog=EXIT_CODES)
@CONFIG
@_CHANNEL
@JSON
def deadletters(config_path: Path, channel: str | None, *, as_json: bool) -> None:
    """List messages that were given up, oldest first, and why."""
    config = load(config_path)[0]
    rows = [
        {
            "position": one.position,
            "message_id": one.message_id.hex(),
            "channel": one.channel,
            "attempts": one.attempts,
            "reason": explain(one.reason),
            "at": "" if one.settled_at_ms is None else moment(one.settled_at_ms),
        }
        for one in operator_orders.dead_letters(lookup.delivery_file(config), channel=channel)
    ]
    print_rows(rows, as_json=as_json, nothing="there are no dead letters")


@click.command(epilog=EXIT_CODES)
@CONFIG
@click.option("--channel", help="All dead letters of this channel, instead of MESSAGE_ID.")
@click.option("--because", metavar="REASON", help="With --channel: those with this reason code.")
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID...]")
def requeue(
    config_path: Path, channel: str | None, because: str | None, message_ids: tuple[str, ...]
) -> None:
    """Have dead letters delivered again, with the same ids. The agent may run."""
    if bool(message_ids) == (channel is not None) or (because and channel is None):
        raise click.UsageError("Name message ids, or --channel (and --because).")
    config = load(config_path)[0]
    if channel is None:
        positions = _positions(config, message_ids)
    else:
        letters = operator_orders.dead_letters(
            lookup.delivery_file(config), channel=channel, rows_max=_ALL_LETTERS
        )
        positions = {
            one.message_id.hex(): one.position for one in letters if because in (None, one.reason)
        }
    path = lookup.delivery_file(config)
    done = _ordered(config, "messages_requeued", positions, partial(operator_orders.requeue, path))
    if channel is None:
        _say_done(positions, done, "requeued", "no dead letter")
    else:
        click.echo(f"requeued: {len(done)} dead letters of channel {channel}")


def _ordered(
    config: InnerConfig,
    event: str,
    positions: dict[str, int],
    order: Callable[[list[int]], list[int]],
    **fields: str,
) -> list[int]:
    """Give an order for some messages at a time: the agent goes on meanwhile.

    Returns the positions for which it was executed. An audit record names as many ids as a record
    can hold.
    """
    items = list(positions.items())
    chunks = [dict(items[at : at + ITEMS_MAX]) for at in range(0, len(items), ITEMS_MAX)]
    done: list[int] = []
    with (
        operators_trail(config) as trail,
        progress(event.replace("_", " "), len(items)) as advance,
    ):
        for chunk in chunks:
            executed = order(list(chunk.values()))
            ids = [text for text, position in chunk.items() if position in executed]
            operator = getpass.getuser()
            trail.record(event, durable=True, operator=operator, message_ids=ids, **fields)
            done += executed
            advance(len(chunk))
    return done


@click.command(epilog=EXIT_CODES)
@CONFIG
@click.option("--reason", required=True, help="Why, without patient data; it is recorded.")
@click.argument("message_ids", nargs=-1, required=True, metavar="MESSAGE_ID...")
def discard(config_path: Path, reason: str, message_ids: tuple[str, ...]) -> None:
    """Give messages up for good. The agent may run."""
    config = load(config_path)[0]
    positions = _positions(config, message_ids)
    path = lookup.delivery_file(config)
    try:
        done = _ordered(
            config,
            "messages_discarded",
            positions,
            partial(operator_orders.discard, path, reason=reason),
            reason=reason,
        )
    except ValueError as error:
        fail(str(error))
    _say_done(positions, done, "discarded", "neither dead, requeued nor being retried")


def _positions(config: InnerConfig, message_ids: Iterable[str]) -> dict[str, int]:
    positions = {}
    for text in message_ids:
        found = lookup.find(config, message_id=parse_hex(text, 16), limit=1)
        if not found:
            fail(f"{text}: no such message was received")
        positions[text] = found[0].record.position
    return positions


def _say_done(positions: dict[str, int], done: list[int], word: str, otherwise: str) -> None:
    for text, position in positions.items():
        if position in done:
            click.echo(f"{text}: {word}")
        else:
            click.echo(f"{text}: {otherwise}", err=True)
    if len(done) < len(positions):
        sys.exit(1)
