"""What became of each channel's messages since the agent started, by its own metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.samples import Sample


@dataclass(frozen=True, slots=True)
class ChannelCounts:
    """Messages of one channel by outcome; refused and deferred ones by reason code too."""

    admitted: int = 0
    repeated: int = 0
    refused: int = 0
    deferred: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def count_channels(samples: Iterable[Sample]) -> dict[str, ChannelCounts]:
    """The counts of every channel that had messages."""
    counts: dict[str, dict[str, int]] = {}
    why: dict[str, dict[str, int]] = {}
    for sample in samples:
        if sample.name != "ferry_outer_messages_total":
            continue
        labels, number = sample.labels, int(sample.value)
        outcomes = counts.setdefault(labels["channel"], {})
        outcomes[labels["outcome"]] = outcomes.get(labels["outcome"], 0) + number
        if labels["reason"]:
            why.setdefault(labels["channel"], {})[labels["reason"]] = number
    return {
        channel: ChannelCounts(**outcomes, reasons=why.get(channel, {}))
        for channel, outcomes in counts.items()
    }
