"""One screen that answers: is it well, what crossed, what waits, what is missing or was refused.

Read from outside the running processes: the databases for what is durable, the observation port for
what is now.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from ferry_format.reasons import BY_CODE
from ferry_runtime.observation_client import ask
from inner_agent import lookup, operator_orders
from inner_agent.config import InnerConfig
from inner_agent.delivery import State

_READY: Final = 200


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """Messages of one channel that the journal holds, by what became of them."""

    journaled: int
    waiting: int
    dead: int
    held: int
    arriving: int


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream: whose it is, where it stands, and how long ago its last file came."""

    stream_id: str
    sender: str
    state: str
    next_sequence: int
    last_file_age_s: int


@dataclass(frozen=True, slots=True)
class InnerStatus:
    """All that the screen shows."""

    agent: str
    ready: bool
    problem: str
    sinks_down: tuple[str, ...]
    streams: tuple[StreamStatus, ...]
    missing: tuple[tuple[str, int, int], ...]
    quarantine_entries: int
    journal_bytes: int
    channels: dict[str, ChannelStatus]

    @property
    def well(self) -> bool:
        """Whether messages cross and nothing needs a person."""
        dead = sum(channel.dead for channel in self.channels.values())
        refused = any(stream.state == "refused" for stream in self.streams)
        return self.ready and not (self.missing or dead or refused or self.sinks_down)


def look(config: InnerConfig, channels: list[str]) -> InnerStatus:
    """Gather the status. Raises StorageFault if a database cannot be read."""
    path = lookup.delivery_path(config)
    counts = operator_orders.counts(path) if path.exists() else {}
    cursors = operator_orders.cursors(path) if path.exists() else {}
    with lookup.open_journal(config) as journal:
        totals = journal.counts()
        streams = tuple(
            StreamStatus(
                one.stream_id.hex(),
                one.sender,
                one.state,
                one.next_sequence,
                max(0, int(time.time() - one.last_file_at_ms / 1000)),
            )
            for one in journal.streams()
        )
        missing = tuple(
            (gap.stream_id.hex(), gap.first_sequence, gap.last_sequence) for gap in journal.gaps()
        )
        held = journal.held_counts()
        arriving = journal.arriving_counts()
        by_channel = {
            name: ChannelStatus(
                totals.messages.get(name, 0),
                journal.waiting_count(name, cursors.get(name, 0)),
                counts.get(name, {}).get(State.DEAD, 0),
                held.get(name, 0),
                arriving.get(name, 0),
            )
            for name in channels
        }
    ready, problem = _ready(config)
    return InnerStatus(
        config.agent.name,
        ready,
        problem,
        _sinks_down(config) if ready else (),
        streams,
        missing,
        totals.quarantine_entries,
        totals.used_bytes,
        by_channel,
    )


def as_json(status: InnerStatus) -> str:
    """The status as one JSON object."""
    return json.dumps({"well": status.well, **asdict(status)}, indent=2)


def as_text(status: InnerStatus) -> str:
    """The status as a screen of text."""
    lines = [
        f"{status.agent}: {'well' if status.well else 'NOT WELL'}"
        + (f" ({status.problem})" if status.problem else "")
    ]
    lines += [f"SINK DOWN: {name} (messages wait and are retried)" for name in status.sinks_down]
    lines += [
        f"stream {one.stream_id} of {one.sender}: {one.state}, next file {one.next_sequence},"
        f" last one {one.last_file_age_s} s ago"
        for one in status.streams
    ]
    lines += [
        f"MISSING: files {first} to {last} of stream {stream}."
        f" On the outer: ferry-outer resend --range {first}-{last}"
        for stream, first, last in status.missing
    ]
    lines += [
        f"  {name}: journaled {one.journaled}, waiting {one.waiting}, dead letters {one.dead}"
        + (f", held for missing ones {one.held}" if one.held else "")
        + (f", objects arriving {one.arriving}" if one.arriving else "")
        for name, one in sorted(status.channels.items())
    ]
    lines.append(f"quarantine: {status.quarantine_entries} entries")
    return "\n".join(lines)


def explain(code: str | None) -> str:
    """A reason code with its meaning, for people."""
    if code is None:
        return ""
    return f"{code}: {BY_CODE[code].meaning}" if code in BY_CODE else code


def _ready(config: InnerConfig) -> tuple[bool, str]:
    answer = ask(config.metrics.listen, "/readyz")
    if answer is None:
        return False, "the replayer does not answer"
    if answer.status == _READY:
        return True, ""
    try:
        return False, str(json.loads(answer.body).get("missing", ""))
    except ValueError:
        return False, ""


def _sinks_down(config: InnerConfig) -> tuple[str, ...]:
    """The sinks that could not be reached when last tried, as the replayer's metrics say."""
    page = ask(config.metrics.listen, "/metrics")
    return tuple(
        sample.labels["sink"]
        for family in text_string_to_metric_families("" if page is None else page.body)
        for sample in family.samples
        if sample.name == "ferry_inner_sink_up" and sample.value == 0
    )
