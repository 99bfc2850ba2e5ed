"""When a sender is no longer believed: by its last key, unless one has no end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ferry_format.keys import KeyKind, generate
from inner_agent.policy import SenderSection
from inner_agent.replayer_service import key_expiry

EARLY, LATE = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


def key(until: datetime | None, *, revoked: bool = False) -> SenderSection:
    public = generate(KeyKind.SIGN, "front-1", EARLY).public
    assert public is not None
    return SenderSection(
        name="front-1", key=public.token, channels=("adt",), not_after=until, revoked=revoked
    )


@pytest.mark.parametrize(
    ("keys", "end"),
    [
        ([key(EARLY)], EARLY),
        ([key(EARLY), key(LATE)], LATE),
        ([key(EARLY), key(None)], None),
        ([key(EARLY), key(None, revoked=True)], EARLY),
        ([key(LATE, revoked=True)], None),
    ],
    ids=["one", "the later of two", "one without end", "a revoked one counts not", "none left"],
)
def test_a_sender_ends_with_its_last_key(keys: list[SenderSection], end: datetime | None) -> None:
    assert key_expiry(keys).get("front-1") == end
