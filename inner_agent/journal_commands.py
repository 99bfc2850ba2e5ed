"""The operators' command that reads every message of the inner."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from ferry_runtime.commands.configured import EXIT_CODES
from ferry_runtime.commands.failure import fail
from ferry_runtime.commands.progress import progress
from inner_agent import lookup
from inner_agent.at_rest import PayloadCipher
from inner_agent.command_frame import CONFIG, load
from inner_agent.journal_check import PayloadCheck, structure_faults

_NONE_OPENS: Final = (
    "no payload opens: keys.journal names another key than the one they were sealed with. Put that "
    "one back."
)
_SOME_DO_NOT: Final = (
    "Those that were delivered need nothing (ferry-inner messages --id). For the others restore "
    "the last backup, or discard them and have them sent again; and look for the disk's fault."
)


@click.command("check-journal", epilog=EXIT_CODES)
@CONFIG
def check_journal(config_path: Path) -> None:
    """Read every message: whether the databases are sound and each payload opens.

    The agent may run. Exit code 1 names each message that cannot be read.
    """
    config = load(config_path)[0]
    databases = [lookup.journal_file(config), lookup.delivery_file(config)]
    for database in databases:
        if found := structure_faults(database):
            fail(f"{database} is damaged ({'; '.join(found)}). Restore the last backup.")
    cipher = PayloadCipher.from_key_file(config.keys.journal)
    with closing(PayloadCheck(databases[0], cipher)) as check:
        number = check.count()
        with progress("payloads opened", number) as advance:
            unreadable = list(check.unreadable(advance))
    for one in unreadable:
        click.echo(f"{one.message_id.hex()}  channel {one.channel}: cannot be read")
    if not unreadable:
        click.echo(f"The databases are sound, and {number} payloads open.")
        return
    click.echo(_NONE_OPENS if len(unreadable) >= number else _SOME_DO_NOT, err=True)
    sys.exit(1)
