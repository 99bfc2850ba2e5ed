"""/readyz: who is told ready must be heard and taken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from ferry_format import reasons
from ferry_format.reasons import Reason
from outer_agent import service


@dataclass
class StandInPublisher:
    """What readiness asks of the publisher."""

    reason: Reason | None = None
    shortage: str | None = None

    def refuses_now(self) -> Reason | None:
        return self.reason


@pytest.mark.parametrize(
    ("reason", "listens", "ready"),
    [
        (None, True, True),
        (None, False, False),
        (reasons.MEDIUM_FULL, True, False),
        (reasons.MEDIUM_FULL, False, False),
    ],
)
def test_ready_is_who_listens_and_would_take(
    reason: Reason | None, *, listens: bool, ready: bool
) -> None:
    listening = asyncio.Event()
    if listens:
        listening.set()
    told, why = service._readiness(StandInPublisher(reason), listening)
    assert told is ready
    assert bool(why) is not ready
