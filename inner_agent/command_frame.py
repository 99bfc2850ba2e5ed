"""What every `ferry-inner` command has in common: its files, its rows, its times and ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from ferry_format.keys import KeyKind
from ferry_format.reasons import BY_CODE
from ferry_runtime import secrets
from ferry_runtime.audit import AuditTrail
from ferry_runtime.commands.configured import load_checked
from inner_agent.checks import Role, check_inner
from inner_agent.config import InnerConfig, load_config
from inner_agent.policy import InnerPolicy, load_policy

CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default="/etc/ferry-inner/inner.toml",
    show_default=True,
    help="The system administrator's file.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def load(config_path: Path, role: Role = "operator") -> tuple[InnerConfig, InnerPolicy]:
    """Both files, checked for the role; otherwise the command ends and says why."""
    return load_checked(
        config_path,
        load_config,
        lambda config: load_policy(config.policy.file, config.policy.security_admin),
        partial(check_inner, role=role),
    )


@contextmanager
def operators_trail(config: InnerConfig) -> Iterator[AuditTrail]:
    """The operators' own part of the audit trail."""
    trail = AuditTrail(
        config.audit.dir / "operators",
        config.agent.name,
        secrets.read_key(config.audit.key, KeyKind.AUDIT),
        keep_days=config.audit.keep_days,
    )
    try:
        yield trail
    finally:
        trail.close()


def print_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool, nothing: str) -> None:
    """A table for people, or one JSON object a row; `nothing` is what no rows mean."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    if not rows:
        click.echo(nothing)
        return
    table = [list(rows[0]), *([_in_one_line(str(value)) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _in_one_line(text: str) -> str:
    """What a sender wrote, such as a control id, without the line breaks that forge a row."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def moment(at_ms: int) -> str:
    """A time (unix milliseconds) in words."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_hex(text: str, size: int) -> bytes:
    """An id of `size` bytes from its hex digits. Raises BadParameter."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size:
        raise click.BadParameter(f"{text} is not {2 * size} hex digits")
    return data


def explain(code: str | None) -> str:
    """A reason code with its meaning, for people."""
    if code is None:
        return ""
    return f"{code}: {BY_CODE[code].meaning}" if code in BY_CODE else code
