"""Where is it? Journal and deliveries put together, read beside the running agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ferry_runtime.problem_words import Mistake
from inner_agent import operator_orders
from inner_agent.at_rest import PayloadCipher
from inner_agent.config import InnerConfig
from inner_agent.delivery import State
from inner_agent.journal import JournalReader, MessageRecord
from inner_agent.verifier import DELIVERY_NAME
from inner_agent.verifier_service import journal_path

HELD: Final = "held"
"""Waits for missing messages of its channel; not in the replayer's hands yet."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """One message: what the journal knows, and what became of it. Holds no payload."""

    record: MessageRecord
    state: State | Literal["held"]
    attempts: int
    reason: str | None
    settled_at_ms: int | None


def open_journal(config: InnerConfig) -> JournalReader:
    """The journal, read-only. Raises Mistake (none yet), StorageFault or Refused (journal key)."""
    cipher = PayloadCipher.from_key_file(config.keys.journal)
    return JournalReader(journal_file(config), cipher)


def journal_file(config: InnerConfig) -> Path:
    """The journal's file. Raises Mistake where there is none yet."""
    return _made(journal_path(config.agent.state_dir), "verifier")


def delivery_file(config: InnerConfig) -> Path:
    """The file in which deliveries are recorded. Raises Mistake where there is none yet."""
    return _made(delivery_path(config), "replayer")


def delivery_path(config: InnerConfig) -> Path:
    """Where the deliveries of an agent are recorded, or will be."""
    return config.agent.state_dir / DELIVERY_NAME


def find(
    config: InnerConfig,
    *,
    control_id: str | None = None,
    message_id: bytes | None = None,
    channel: str | None = None,
    since_ms: int | None = None,
    limit: int = 100,
) -> list[Whereabouts]:
    """The newest messages that meet every given condition, newest first; held ones before all."""
    with open_journal(config) as journal:
        held = journal.held(
            control_id=control_id, message_id=message_id, channel=channel, limit=limit
        )
        held = [one for one in held if since_ms is None or one.received_at_ms >= since_ms]
        records = journal.find(
            control_id=control_id,
            message_id=message_id,
            channel=channel,
            since_ms=since_ms,
            limit=limit,
        )
    path = delivery_path(config)
    cursors = operator_orders.cursors(path) if path.exists() else {}
    found = [Whereabouts(record, HELD, 0, None, None) for record in held]
    found += [_whereabouts(path, cursors, record) for record in records]
    return found[:limit]


def _made(path: Path, maker: str) -> Path:
    if not path.exists():
        raise Mistake(
            f"{path} is not there yet: the {maker} makes it at its first start",
            f"Start the {maker}; but where a backup is to be put back, ferry-inner restore first",
        )
    return path


def _whereabouts(path: Path, cursors: dict[str, int], record: MessageRecord) -> Whereabouts:
    row = operator_orders.find(path, record.position) if path.exists() else None
    if row is not None:
        return Whereabouts(record, row.state, row.attempts, row.reason, row.settled_at_ms)
    # Below the cursor everything is settled; a delivered one's row may have had its time.
    settled = record.position <= cursors.get(record.channel, 0)
    return Whereabouts(record, State.DELIVERED if settled else State.WAITING, 0, None, None)
