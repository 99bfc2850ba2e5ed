"""The status of one side as a value, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ferry_format.reasons import BY_CODE
from ferry_runtime.doctor.findings import Finding, Level, Side, as_row
from ferry_runtime.status.today import Key, Tally

SCHEMA: Final = 1
"""Of the JSON; it grows when a key changes its meaning or goes, not when one is added."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in one place; `oldest_s` is the age of what has waited longest, if known."""

    what: str
    number: int
    oldest_s: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not taken today, by channel (empty: a ferry file), outcome and reason code."""

    channel: str
    outcome: str
    reason: str
    number: int


@dataclass(frozen=True, slots=True)
class Status:
    """All that a screen shows of one side.

    `outcomes` are the columns of `crossed`, which has a row a channel; `facts` are told as they
    are, and stand with the same names in the JSON.
    """

    agent: str
    here: Side
    problems: tuple[Finding, ...]
    facts: Mapping[str, str | int | None]
    day: str
    outcomes: tuple[str, ...]
    crossed: Mapping[str, Mapping[str, int]]
    waiting: tuple[Waiting, ...]
    refused: tuple[Refusal, ...]

    @property
    def well(self) -> bool:
        """Whether there is no fault; a warning does not make it unwell."""
        return all(one.level is not Level.FAULT for one in self.problems)


def crossed_today(
    tally: Tally, day: str, channels: Iterable[str], metrics: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """What became of each channel's messages; a channel that had none is there with nothing."""
    crossed: dict[str, dict[str, int]] = {name: {} for name in channels}
    for key, number in _of_today(tally, day):
        if key.metric in metrics and key.channel:
            outcomes = crossed.setdefault(key.channel, {})
            outcomes[key.outcome] = outcomes.get(key.outcome, 0) + number
    return crossed


def refused_today(tally: Tally, day: str, outcomes: tuple[str, ...]) -> tuple[Refusal, ...]:
    """What was not taken, most first."""
    found = [
        Refusal(key.channel, key.outcome, key.reason, number)
        for key, number in _of_today(tally, day)
        if key.outcome in outcomes
    ]
    return tuple(sorted(found, key=lambda one: (-one.number, one.channel, one.reason)))


def as_json(status: Status) -> str:
    """The status as one JSON object, as docs/operating.md describes it."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "agent": status.agent,
            "side": status.here,
            "well": status.well,
            "problems": [as_row(one) for one in status.problems],
            "today": {
                "day": status.day,
                "channels": {
                    name: dict.fromkeys(status.outcomes, 0) | dict(numbers)
                    for name, numbers in status.crossed.items()
                },
                "refused": [_refusal(one) for one in status.refused],
            },
            "waiting": [
                {"what": one.what, "number": one.number, "oldest_s": one.oldest_s}
                for one in status.waiting
            ],
            "facts": dict(status.facts),
        },
        ensure_ascii=False,
        indent=2,
    )


def words(code: str) -> tuple[str, str]:
    """What a reason code means, and what to do; empty for one that is not ours."""
    reason = BY_CODE.get(code)
    return ("", "") if reason is None else (reason.meaning, reason.action)


def _refusal(one: Refusal) -> dict[str, str | int]:
    meaning, action = words(one.reason)
    return {
        "channel": one.channel,
        "outcome": one.outcome,
        "reason": one.reason,
        "number": one.number,
        "meaning": meaning,
        "action": action,
    }


def _of_today(tally: Tally, day: str) -> Iterator[tuple[Key, int]]:
    if tally.day == day:
        yield from tally.numbers.items()
