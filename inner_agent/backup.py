"""The inner's backup: journal, deliveries and the parts of objects, taken beside the running agent.

The deliveries' moment comes before the journal's, so that a backup never holds a delivery of which
its journal has no message. A restored inner therefore takes again from the medium what came after
the backup, and delivers again, under the same ids, what was delivered after it. `settle` spares the
sinks that: what the replayer's audit trail says was delivered is recorded so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ferry_runtime import backup
from ferry_runtime.audit_format import Record
from ferry_runtime.problem_words import Mistake
from inner_agent import operator_orders
from inner_agent.delivery import State
from inner_agent.journal import JournalReader
from inner_agent.journal_schema import JOURNAL_NAME
from inner_agent.object_store import FOLDER_NAME
from inner_agent.verifier import DELIVERY_NAME

_DELIVERED: Final = f"message_{State.DELIVERED}"
_NEVER_AGAIN: Final = frozenset({State.DELIVERED, State.DISCARDED})


@dataclass(frozen=True, slots=True)
class Settled:
    """How many messages a trail settled, and how many of its messages the journal has not."""

    recorded: int
    unknown: int


def back_up(state_dir: Path, agent: str, folder: Path, now: datetime) -> None:
    """Copy an agent's state into a new folder. Raises Mistake, StorageFault or OSError."""
    deliveries, journal = state_dir / DELIVERY_NAME, state_dir / JOURNAL_NAME
    objects = state_dir / FOLDER_NAME, folder / FOLDER_NAME
    with backup.new_backup(folder, "inner", agent, now, [journal, deliveries]):
        backup.copy_files(*objects)
        with backup.moment_of(deliveries) as before, backup.moment_of(journal) as moment:
            backup.copy_database(before, deliveries, folder / DELIVERY_NAME)
            backup.copy_database(moment, journal, folder / JOURNAL_NAME)
        backup.copy_files(*objects)


def restore(folder: Path, state_dir: Path) -> str:
    """Put a backup into a state folder that has none; returns the moment it was taken, ISO 8601.

    Raises Refused(BAD_BACKUP), Mistake or OSError.
    """
    for name in (JOURNAL_NAME, DELIVERY_NAME, FOLDER_NAME):
        path = state_dir / name
        if path.is_symlink() or path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise Mistake(
                f"{path} is there already", "Restore into a state folder without any, or move it"
            )
    owner = backup.owner_of(state_dir)
    manifest = backup.verified(folder, "inner")
    # The journal last: without it no process of the agent goes on from a restore that broke off.
    for file in sorted(manifest.files, key=lambda one: one.path == JOURNAL_NAME):
        backup.put_back(folder, file, state_dir / file.path, owner)
    return manifest.made


def delivered_since(records: Iterable[Record], since: datetime) -> Iterator[bytes]:
    """The ids of the messages that these records say were delivered at or after `since`."""
    for record in records:
        if record.event == _DELIVERED and datetime.fromisoformat(record.at) >= since:
            yield bytes.fromhex(str(record.fields["message_id"]))


def settle(journal: JournalReader, deliveries: Path, message_ids: Iterable[bytes]) -> Settled:
    """Record messages as delivered that wait in a restored journal. The replayer must not run.

    Raises StorageFault.
    """
    cursors = operator_orders.cursors(deliveries)
    waiting: list[operator_orders.Waiting] = []
    unknown = 0
    for message_id in message_ids:
        found = journal.find(message_id=message_id, limit=1)
        unknown += not found
        for one in found:
            row = operator_orders.find(deliveries, one.position)
            if one.position > cursors.get(one.channel, 0) if row is None else _may_go(row.state):
                waiting.append(operator_orders.Waiting(one.position, message_id, one.channel))
    operator_orders.record_delivered(deliveries, waiting)
    return Settled(len(waiting), unknown)


def _may_go(state: State) -> bool:
    return state not in _NEVER_AGAIN
