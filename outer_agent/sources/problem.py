"""Refusals in HTTP's words: status, Retry-After and application/problem+json (RFC 9457). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import Actor, FerryError, Refused
from outer_agent.admission import Receipt
from outer_agent.batches import BatchOutcome

RETRY_AFTER_S: Final = 5
CONTENT_TYPE: Final = "application/problem+json"

_STATUS: Final = {
    reasons.SENDER_UNKNOWN.code: 401,
    reasons.SENDER_NOT_ALLOWED.code: 403,
    reasons.CHANNEL_UNKNOWN.code: 404,
    reasons.ID_REUSED.code: 409,
    reasons.LENGTH_REQUIRED.code: 411,
    reasons.MESSAGE_TOO_LARGE.code: 413,
    reasons.CONTENT_TYPE_NOT_ALLOWED.code: 415,
    reasons.MESSAGE_EMPTY.code: 400,
    reasons.RATE_LIMITED.code: 429,
}
_UNPROCESSABLE: Final = 422
_UNAVAILABLE: Final = 503
_MAY_RETRY: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal as an HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes
    content_type: str = CONTENT_TYPE


def problem(failure: FerryError) -> Problem:
    """The response that tells a sender what was wrong and what to do; it holds no message data."""
    return _problem(_members(failure))


def of_batch(batch: BatchOutcome) -> Problem:
    """The response to a batch that was not taken whole: `messages` tells of each message, in order.

    It is a problem, though messages of the batch may have crossed, so that a sender that looks at
    nothing but the status loses none. Its reason says whether to send the whole batch again.
    """
    body = _members(batch.deferred or Refused(reasons.BATCH_PARTLY_REFUSED))
    body["messages"] = [
        receipt(each) if isinstance(each, Receipt) else _members(each) for each in batch.outcomes
    ]
    return _problem(body)


def receipt(taken: Receipt) -> dict[str, object]:
    """What a sender is told of a message of which custody was taken."""
    return {"message_id": taken.message_id.hex(), "duplicate": taken.duplicate}


def _members(failure: FerryError) -> dict[str, object]:
    reason = failure.reason
    for_now = reason.actor in {Actor.RETRY, Actor.OPERATOR}
    members: dict[str, object] = {
        "type": f"urn:ferry:reason:{reason.code}",
        "title": reason.meaning,
        "status": _STATUS.get(reason.code, _UNAVAILABLE if for_now else _UNPROCESSABLE),
        "detail": reason.action,
        "reason": reason.code,
    }
    return members | ({"place": failure.where} if failure.where else {})


def _problem(members: dict[str, object]) -> Problem:
    status = members["status"]
    assert isinstance(status, int)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in _MAY_RETRY else {}
    if status == 401:  # noqa: PLR2004 - RFC 9110, 15.5.2 asks for the challenge
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(status, headers, json.dumps(members).encode())


def plain(status: int, title: str, headers: dict[str, str]) -> Problem:
    """A refusal that HTTP itself knows, such as 404 for a path that is none of ours."""
    kept = {name: value for name, value in headers.items() if name.lower() == "allow"}
    body = {"type": "about:blank", "title": title, "status": status}
    return Problem(status, kept, json.dumps(body).encode())
