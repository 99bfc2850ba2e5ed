"""One screen that answers: is it well, what crossed, what waits, what was refused and why.

Read from outside the running agent: its spool for what is durable, its metrics for what is now.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from ferry_format.reasons import BY_CODE
from ferry_runtime.observation_client import ask
from outer_agent.config import OuterConfig
from outer_agent.spool import Spool

_READY: Final = 200


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """Messages of one channel since the agent started, by outcome; refusals by reason code."""

    admitted: int = 0
    repeated: int = 0
    refused: int = 0
    deferred: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OuterStatus:
    """All that the screen shows. Counts of messages are since the agent's start."""

    agent: str
    running: bool
    takes_messages: bool
    problem: str
    stream_id: str
    last_sequence: int
    waiting_messages: int
    medium_bytes: int
    medium_free_bytes: int
    spool_files: int
    spool_bytes: int
    oldest_spooled_s: int | None
    channels: dict[str, ChannelStatus]

    @property
    def well(self) -> bool:
        """Whether the agent runs and takes messages."""
        return self.running and self.takes_messages


def look(config: OuterConfig) -> OuterStatus:
    """Gather the status. Raises Unavailable or StorageFault if the spool cannot be read."""
    spool = Spool.open_read_only(config.agent.state_dir / "spool.db")
    try:
        head, usage = spool.head(), spool.usage()
    finally:
        spool.close()
    ready = ask(config.metrics.listen, "/readyz")
    page = None if ready is None else ask(config.metrics.listen, "/metrics")
    samples = [] if page is None else parse_samples(page.body)
    single = {name: value for name, labels, value in samples if not labels}
    oldest_s = None if usage.oldest_at_ms is None else int(time.time() - usage.oldest_at_ms / 1000)
    return OuterStatus(
        agent=config.agent.name,
        running=ready is not None,
        takes_messages=ready is not None and ready.status == _READY,
        problem="the agent does not answer" if ready is None else _missing(ready.body),
        stream_id=head.stream_id.hex(),
        last_sequence=head.last_sequence,
        waiting_messages=int(single.get("ferry_outer_queue_messages", 0)),
        medium_bytes=int(single.get("ferry_outer_medium_bytes", 0)),
        medium_free_bytes=int(single.get("ferry_outer_medium_free_bytes", 0)),
        spool_files=usage.files,
        spool_bytes=usage.bytes,
        oldest_spooled_s=oldest_s,
        channels=count_channels(samples),
    )


def as_json(status: OuterStatus) -> str:
    """The status as one JSON object."""
    return json.dumps({"well": status.well, **asdict(status)}, indent=2)


def as_text(status: OuterStatus) -> str:
    """The status as a screen of text."""
    lines = [
        f"{status.agent}: {'well' if status.well else 'NOT WELL'}"
        + (f" ({status.problem})" if status.problem else ""),
        (
            f"stream {status.stream_id}, last file {status.last_sequence},"
            f" {status.waiting_messages} messages wait"
        ),
        (
            f"medium {_size(status.medium_bytes)} used, {_size(status.medium_free_bytes)} free;"
            f" spool {status.spool_files} files, {_size(status.spool_bytes)}"
        ),
    ]
    for name, channel in sorted(status.channels.items()):
        lines.append(
            f"  {name}: admitted {channel.admitted}, repeated {channel.repeated},"
            f" refused {channel.refused}, told to try later {channel.deferred}"
        )
        for code, count in sorted(channel.reasons.items()):
            meaning = BY_CODE[code].meaning if code in BY_CODE else ""
            lines.append(f"    {count} x {code}: {meaning}")
    return "\n".join(lines)


def count_channels(samples: list[tuple[str, dict[str, str], float]]) -> dict[str, ChannelStatus]:
    """What became of each channel's messages, of the agent's own metrics."""
    counts: dict[str, dict[str, int]] = {}
    why: dict[str, dict[str, int]] = {}
    for name, labels, value in samples:
        if name != "ferry_outer_messages_total":
            continue
        outcomes = counts.setdefault(labels["channel"], {})
        outcomes[labels["outcome"]] = outcomes.get(labels["outcome"], 0) + int(value)
        if labels["reason"]:
            why.setdefault(labels["channel"], {})[labels["reason"]] = int(value)
    return {
        channel: ChannelStatus(**outcomes, reasons=why.get(channel, {}))
        for channel, outcomes in counts.items()
    }


def parse_samples(text: str) -> list[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each sample of a metrics page."""
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def _missing(body: str) -> str:
    try:
        return str(json.loads(body).get("missing", ""))
    except ValueError:
        return ""


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
