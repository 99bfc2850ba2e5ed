"""The inner's status: is it well, what crossed today, what waits, what was refused and why.

Read from outside the running processes: the databases for what is durable, the observation port for
what is now. Problems are told in the doctor's words.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ferry_runtime.doctor.findings import Area, Finding, Level, Side
from ferry_runtime.observation_client import ask, samples
from ferry_runtime.status import today
from ferry_runtime.status.report import Status, Waiting, crossed_today, refused_today
from inner_agent import diagnosis, lookup, operator_orders
from inner_agent.config import InnerConfig
from inner_agent.doctor import (
    InnerParts,
    look_at_agent,
    look_at_certificates,
    look_at_deliveries,
    look_at_journal,
    look_at_state,
)
from inner_agent.journal import JournalCounts, JournalReader, StreamRecord
from inner_agent.replayer_metrics import DELIVERIES
from inner_agent.verifier_metrics import MESSAGES
from inner_agent.verifier_service import journal_path

OUTCOMES: Final = ("journaled", "repeated", "refused", "delivered", "dead")
NOTHING: Final = JournalCounts({}, 0, 0, 0, 0)


def look(config: InnerConfig, sinks_of: Mapping[str, str]) -> Status:
    """Gather the status; `sinks_of` names each channel's sink.

    Raises StorageFault if a database cannot be read.
    """
    state_dir = config.agent.state_dir
    tally, day = today.load(state_dir / today.FILE_NAME), today.local_day()
    waiting: tuple[Waiting, ...] = ()
    totals, streams = NOTHING, list[StreamRecord]()
    if journal_path(state_dir).exists():  # it is made by the verifier's first start
        with lookup.open_journal(config) as journal:
            waiting = tuple(_waiting(journal, lookup.delivery_path(config), sinks_of))
            totals, streams = journal.counts(), journal.streams()
    trusted = [one for one in streams if one.state == "trusted"]
    newest = max(trusted, key=lambda one: one.last_file_at_ms, default=None)
    return Status(
        agent=config.agent.name,
        here=Side.INNER,
        problems=tuple(
            one
            for one in _findings(config, anything_came=newest is not None)
            if one.level is not Level.WELL
        ),
        facts={
            "stream": None if newest is None else newest.stream_id.hex(),
            "next_file": None if newest is None else newest.next_sequence,
            "last_file_age_s": None if newest is None else _age_s(newest.last_file_at_ms),
            "journal_bytes": totals.used_bytes,
            "quarantine_entries": totals.quarantine_entries,
        },
        day=day,
        outcomes=OUTCOMES,
        crossed=crossed_today(tally, day, sinks_of, (MESSAGES, DELIVERIES)),
        waiting=waiting,
        refused=refused_today(tally, day, ("refused", "dead")),
    )


def _findings(config: InnerConfig, *, anything_came: bool) -> Iterator[Finding]:
    state_dir = config.agent.state_dir
    parts = InnerParts(agent=config.agent, metrics=config.metrics, sinks=config.sinks)
    yield from look_at_agent(state_dir, parts)
    yield from look_at_state(state_dir)
    yield from look_at_certificates(parts)
    if not anything_came:
        yield diagnosis.of_no_stream()
    # What was refused has a table of its own.
    yield from (one for one in look_at_journal(state_dir) if one.area is not Area.QUARANTINE)
    yield from map(diagnosis.of_sink_down, _sinks_down(config))
    yield from look_at_deliveries(state_dir)


def _sinks_down(config: InnerConfig) -> Sequence[str]:
    """The sinks that could not be reached when last tried, as the replayer's metrics say."""
    page = ask(config.metrics.listen, "/metrics")
    return [
        sample.labels["sink"]
        for sample in samples("" if page is None else page.body)
        if sample.name == "ferry_inner_sink_up" and sample.value == 0
    ]


def _waiting(
    journal: JournalReader, deliveries: Path, sinks_of: Mapping[str, str]
) -> Iterator[Waiting]:
    cursors = operator_orders.cursors(deliveries) if deliveries.exists() else {}
    held, arriving = journal.held_counts(), journal.arriving_counts()
    for name, sink in sinks_of.items():
        cursor = cursors.get(name, 0)
        oldest_s = _age_s(journal.oldest_waiting_ms(name, cursor))
        yield Waiting(f"sink {sink}: {name}", journal.waiting_count(name, cursor), oldest_s)
        yield Waiting(f"missing messages of {name}", held.get(name, 0))
        yield Waiting(f"further parts of objects: {name}", arriving.get(name, 0))


def _age_s(at_ms: int | None) -> int | None:
    return None if at_ms is None else max(0, int(time.time() - at_ms / 1000))
