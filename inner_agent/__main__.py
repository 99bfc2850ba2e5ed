"""`ferry-inner`: run the receiving side, check its files, see how it is, answer for each message.

Exit codes: 0 done; 1 refused, invalid or failed (stderr says why and what to do); 2 wrong usage;
78 the configuration or a key is wrong, so that a service manager does not start it again and again.
"""

from __future__ import annotations

import getpass
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import click
import uvloop

from ferry_format.keys import KeyKind
from ferry_format.reasons import FerryError
from ferry_runtime import logs, secrets
from ferry_runtime.audit import AuditTrail
from ferry_runtime.commands.configured import EXIT_CODES, load_checked
from ferry_runtime.commands.failure import fail
from ferry_runtime.commands.failure import run as run_command
from ferry_runtime.logs import event
from inner_agent import (
    both_roles,
    lookup,
    operator_orders,
    replayer_service,
    stream_orders,
    verifier_service,
)
from inner_agent import status as status_screen
from inner_agent.at_rest import PayloadCipher
from inner_agent.checks import Role, check_inner
from inner_agent.config import InnerConfig, load_config
from inner_agent.policy import InnerPolicy, load_policy
from inner_agent.quarantine import QuarantineReader

_ANSWER_S: Final = 10.0
_CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default="/etc/ferry-inner/inner.toml",
    show_default=True,
    help="The system administrator's file.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_CHANNEL = click.option("--channel", help="Of this channel only.")


@click.group(epilog=EXIT_CODES)
def cli() -> None:
    """The receiving side of the ferry: verifies files from the medium and replays messages."""


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@click.option(
    "--role",
    type=click.Choice(["verifier", "replayer", "both"]),
    default="both",
    show_default=True,
    help="Under systemd each role is a unit of its own.",
)
def run(config_path: Path, role: Role) -> None:
    """Run one of the agent's two processes, or both, until told to stop (SIGTERM)."""
    config, policy = _load(config_path, role)
    if role == "both":
        sys.exit(both_roles.run(config_path))
    logs.configure(config.agent.name)
    try:
        if role == "verifier":
            verifier_service.run(config, policy)
        else:
            uvloop.run(replayer_service.run(config, policy))
    except FerryError as error:
        event(
            logging.getLogger(f"ferry.inner.{role}"),
            "cannot_run",
            level=logging.CRITICAL,
            error=error,
            action=error.reason.action,
        )
        raise
    except OSError as error:
        event(
            logging.getLogger(f"ferry.inner.{role}"),
            "cannot_run",
            level=logging.CRITICAL,
            error=error,
        )
        raise
    except Exception as error:  # noqa: BLE001 - told without what a traceback may quote
        event(
            logging.getLogger(f"ferry.inner.{role}"), "crashed", level=logging.CRITICAL, error=error
        )
        fail(f"a defect in the program: {type(error).__name__}", "The log says where it lies")


@cli.command(epilog=EXIT_CODES)
@_CONFIG
def check(config_path: Path) -> None:
    """Check configuration, policy, keys and folders as a whole; change nothing."""
    config, policy = _load(config_path, "both")
    click.echo(
        f"{config_path}: good. Lane {policy.lane}, {len(policy.senders)} trusted keys,"
        f" {len(policy.channels)} channels, {len(config.sinks)} sinks."
    )


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def status(config_path: Path, *, as_json: bool) -> None:
    """Say on one screen how the agent is; exit code 1 if it is not well."""
    config, policy = _load(config_path)
    found = status_screen.look(config, [channel.name for channel in policy.channels])
    click.echo(status_screen.as_json(found) if as_json else status_screen.as_text(found))
    if not found.well:
        sys.exit(1)


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@click.option("--control-id", help="MSH-10, or what the channel's policy takes as control id.")
@click.option("--id", "message_id", metavar="HEX", help="The message id, 32 hex digits.")
@_CHANNEL
@click.option("--since", metavar="MINUTES", type=float, help="Received in the last MINUTES.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_JSON
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
        _load(config_path)[0],
        control_id=control_id,
        message_id=None if message_id is None else _hex(message_id, 16),
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
            "received": _moment(one.record.received_at_ms),
            "state": str(one.state),
            "attempts": one.attempts,
            "reason": one.reason or "",
        }
        for one in found
    ]
    _print(rows, as_json=as_json, nothing="no such message was received")


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@click.option("--reason", help="With this reason code only.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_JSON
def quarantine(config_path: Path, reason: str | None, limit: int, *, as_json: bool) -> None:
    """List what was refused, newest first: files and messages, and why."""
    config = _load(config_path)[0]
    cipher = PayloadCipher.from_key_file(config.keys.journal)
    path = verifier_service.journal_path(config.agent.state_dir)
    with QuarantineReader(path, cipher) as reader:
        entries = reader.newest(reason=reason, limit=limit)
        overflow = reader.overflow()
    rows = [
        {
            "entry": one.entry,
            "at": _moment(one.at_ms),
            "kind": one.kind,
            "reason": status_screen.explain(one.reason),
            "place": one.place,
            "channel": one.channel or "",
            "message_id": one.message_id.hex() if one.message_id else "",
            "sequence": one.sequence or "",
            "bytes": one.bytes,
        }
        for one in entries
    ]
    _print(rows, as_json=as_json, nothing="the quarantine is empty")
    for row in overflow:
        click.echo(f"further {row.number} of kind {row.kind}: {row.reason}", err=True)


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@_CHANNEL
@_JSON
def deadletters(config_path: Path, channel: str | None, *, as_json: bool) -> None:
    """List messages that were given up, oldest first, and why."""
    config = _load(config_path)[0]
    rows = [
        {
            "position": one.position,
            "message_id": one.message_id.hex(),
            "channel": one.channel,
            "attempts": one.attempts,
            "reason": status_screen.explain(one.reason),
            "at": "" if one.settled_at_ms is None else _moment(one.settled_at_ms),
        }
        for one in operator_orders.dead_letters(lookup.delivery_path(config), channel=channel)
    ]
    _print(rows, as_json=as_json, nothing="there are no dead letters")


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@click.argument("message_ids", nargs=-1, required=True, metavar="MESSAGE_ID...")
def requeue(config_path: Path, message_ids: tuple[str, ...]) -> None:
    """Have dead letters delivered again, with the same ids. The agent may run."""
    config = _load(config_path)[0]
    positions = _positions(config, message_ids)
    done = operator_orders.requeue(lookup.delivery_path(config), list(positions.values()))
    _audit(config, "messages_requeued", positions, done)
    _say_done(positions, done, "requeued", "no dead letter")


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@click.option("--reason", required=True, help="Why, without patient data; it is recorded.")
@click.argument("message_ids", nargs=-1, required=True, metavar="MESSAGE_ID...")
def discard(config_path: Path, reason: str, message_ids: tuple[str, ...]) -> None:
    """Give messages up for good. The agent may run."""
    config = _load(config_path)[0]
    positions = _positions(config, message_ids)
    try:
        done = operator_orders.discard(
            lookup.delivery_path(config), list(positions.values()), reason
        )
    except ValueError as error:
        fail(str(error))
    _audit(config, "messages_discarded", positions, done, reason=reason)
    _say_done(positions, done, "discarded", "neither dead, requeued nor being retried")


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@_JSON
def gaps(config_path: Path, *, as_json: bool) -> None:
    """List missing ferry files by exact range; exit code 1 if there are any."""
    with lookup.open_journal(_load(config_path)[0]) as journal:
        found = journal.gaps()
    rows = [
        {
            "stream": one.stream_id.hex(),
            "first": one.first_sequence,
            "last": one.last_sequence,
            "since": _moment(one.opened_at_ms),
            "given_up": one.given_up,
            "mend": f"ferry-outer resend --range {one.first_sequence}-{one.last_sequence}",
        }
        for one in found
    ]
    _print(rows, as_json=as_json, nothing="nothing is missing")
    if rows:
        sys.exit(1)


@cli.group(invoke_without_command=True, epilog=EXIT_CODES)
@click.pass_context
@_CONFIG
@_JSON
def streams(context: click.Context, config_path: Path, *, as_json: bool) -> None:
    """List the streams that trusted senders showed, and accept a new one."""
    context.obj = config_path
    if context.invoked_subcommand is not None:
        return
    with lookup.open_journal(_load(config_path)[0]) as journal:
        rows = [
            {
                "stream": one.stream_id.hex(),
                "sender": one.sender,
                "state": one.state,
                "next": one.next_sequence,
                "last_file": _moment(one.last_file_at_ms),
            }
            for one in journal.streams()
        ]
    _print(rows, as_json=as_json, nothing="no stream was seen yet")


@streams.command(epilog=EXIT_CODES)
@click.argument("stream", metavar="STREAM_ID")
@click.pass_context
def accept(context: click.Context, stream: str) -> None:
    """Accept the stream of an outer that was installed anew; its old one is retired."""
    _order(context.obj, "accept_stream", stream)


@streams.command("give-up-gap", epilog=EXIT_CODES)
@click.argument("stream", metavar="STREAM_ID")
@click.pass_context
def give_up_gap(context: click.Context, stream: str) -> None:
    """Go on without the files that a held stream waits for; the range stays reported."""
    _order(context.obj, "give_up_gap", stream)


def _order(config_path: Path, kind: stream_orders.OrderKind, stream: str) -> None:
    config = _load(config_path)[0]
    folder = config.agent.state_dir / stream_orders.ORDERS_NAME
    order = stream_orders.Order(kind, _hex(stream, 16), getpass.getuser())
    name = stream_orders.submit(folder, order)
    given = stream_orders.wait_for_answer(folder, name, _ANSWER_S)
    if given is None:
        fail("the verifier did not answer", "Start it; the order stands and is executed then")
    if not given.done:
        fail(given.detail)
    click.echo(given.detail)


def _positions(config: InnerConfig, message_ids: Iterable[str]) -> dict[str, int]:
    positions = {}
    for text in message_ids:
        found = lookup.find(config, message_id=_hex(text, 16), limit=1)
        if not found:
            fail(f"{text}: no such message was received")
        positions[text] = found[0].record.position
    return positions


def _audit(
    config: InnerConfig, name: str, positions: dict[str, int], done: list[int], **fields: str
) -> None:
    """Into the operators' own part of the audit trail."""
    trail = AuditTrail(
        config.audit.dir / "operators",
        config.agent.name,
        secrets.read_key(config.audit.key, KeyKind.AUDIT),
        keep_days=config.audit.keep_days,
    )
    ids = [text for text, position in positions.items() if position in done]
    trail.record(name, durable=True, operator=getpass.getuser(), message_ids=ids, **fields)
    trail.close()


def _say_done(positions: dict[str, int], done: list[int], word: str, otherwise: str) -> None:
    for text, position in positions.items():
        if position in done:
            click.echo(f"{text}: {word}")
        else:
            click.echo(f"{text}: {otherwise}", err=True)
    if len(done) < len(positions):
        sys.exit(1)


def _print(rows: Sequence[Mapping[str, object]], *, as_json: bool, nothing: str) -> None:
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    if not rows:
        click.echo(nothing)
        return
    table = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hex(text: str, size: int) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size:
        raise click.BadParameter(f"{text} is not {2 * size} hex digits")
    return data


def _load(config_path: Path, role: Role = "operator") -> tuple[InnerConfig, InnerPolicy]:
    return load_checked(
        config_path,
        load_config,
        lambda config: load_policy(config.policy.file, config.policy.security_admin),
        partial(check_inner, role=role),
    )


def main() -> None:
    """Entry point of the console script."""
    run_command(cli)


if __name__ == "__main__":
    main()
