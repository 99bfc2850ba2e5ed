"""Which messages of a channel are missing, and what therefore waits: values in, values out.

A gap of ferry files says nothing of channels. The first file after it does: its beacon shows how
far each channel's numbers had come. A channel of which nothing is missing goes on; one that misses
messages goes on too (`on_gap = "continue"`), or holds what comes after them until they came or an
operator gave them up (`"hold"`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ferry_format.envelope import Entry

OnGap = Literal["hold", "continue"]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Channel sequences that no file brought: first and last, inclusive.

    After a gap of files it tells which messages are missing. Without one the sender's own counting
    is wrong; so it is if `last` < `first`, where numbers were given out twice.
    """

    channel: str
    first: int
    last: int

    @property
    def messages(self) -> int:
        """How many messages are missing; 0 where numbers were given out twice."""
        return max(0, self.last - self.first + 1)


@dataclass(frozen=True, slots=True)
class MissingMessages:
    """Channel sequences that no file brought yet, first and last inclusive; `holds`: the rest of
    the channel waits for them."""  # noqa: D205, D209

    channel: str
    first: int
    last: int
    holds: bool


Missing = tuple[MissingMessages, ...]


def added(
    missing: Missing, shortfalls: Iterable[Shortfall], holds: Callable[[str], bool]
) -> Missing:
    """What is missing once the first file after a gap was taken."""
    new = [
        MissingMessages(one.channel, one.first, one.last, holds(one.channel))
        for one in shortfalls
        if one.messages
    ]
    return (*missing, *new) if new else missing


def filled(missing: Missing, entries: Iterable[Entry]) -> Missing:
    """What is still missing once a late file was taken; whatever became of its messages."""
    if not missing:
        return missing
    brought: dict[str, tuple[int, int]] = {}
    for entry in entries:
        first, _ = brought.get(entry.channel, (entry.channel_sequence, 0))
        brought[entry.channel] = (first, entry.channel_sequence)
    return tuple(part for one in missing for part in _without(one, brought.get(one.channel)))


def of_policy(missing: Missing, holds: Callable[[str], bool]) -> Missing:
    """The same under a policy in which fewer channels may hold than before."""
    return tuple(replace(one, holds=one.holds and holds(one.channel)) for one in missing)


def given_up(missing: Missing) -> Missing:
    """The same, and nothing waits for it any more."""
    return tuple(replace(one, holds=False) for one in missing)


def waiting_channels(missing: Missing) -> frozenset[str]:
    """The channels that hold what comes after their missing messages."""
    return frozenset(one.channel for one in missing if one.holds)


def released_before(missing: Missing, channel: str) -> int | None:
    """The channel sequence below which nothing waits any more; None if nothing waits at all."""
    return min((one.first for one in missing if one.channel == channel and one.holds), default=None)


def _without(one: MissingMessages, brought: tuple[int, int] | None) -> list[MissingMessages]:
    if brought is None or brought[0] > one.last or brought[1] < one.first:
        return [one]
    parts = [(one.first, brought[0] - 1), (brought[1] + 1, one.last)]
    return [replace(one, first=first, last=last) for first, last in parts if first <= last]
