"""Refusals as HTTP: status, whether to retry, and a body that holds no data."""

from __future__ import annotations

import json

import pytest

from ferry_format import reasons
from ferry_format.reasons import Actor, Refused, Unavailable
from outer_agent.sources.problem import plain, problem


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Refused(reasons.SENDER_UNKNOWN), 401),
        (Refused(reasons.SENDER_NOT_ALLOWED), 403),
        (Refused(reasons.CHANNEL_UNKNOWN), 404),
        (Refused(reasons.ID_REUSED), 409),
        (Refused(reasons.MESSAGE_TOO_LARGE), 413),
        (Refused(reasons.CONTENT_TYPE_NOT_ALLOWED), 415),
        (Refused(reasons.SCHEMA_MISMATCH, "$.patient.id"), 422),
        (Refused(reasons.WORKER_DIED), 422),
        (Refused(reasons.MESSAGE_EMPTY), 400),
        (Unavailable(reasons.RATE_LIMITED), 429),
        (Unavailable(reasons.MEDIUM_FULL), 503),
        (Unavailable(reasons.OVERLOADED), 503),
        (Unavailable(reasons.STOPPING), 503),
        (Unavailable(reasons.VALIDATOR_UNAVAILABLE), 503),
        (Unavailable(reasons.INTAKE_FAULT), 503),
    ],
)
def test_each_refusal_has_its_status(failure, status) -> None:
    answer = problem(failure)
    body = json.loads(answer.body)
    assert answer.status == body["status"] == status
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert body["reason"] == failure.reason.code
    assert body["title"] == failure.reason.meaning
    assert body["detail"] == failure.reason.action
    assert body["type"] == f"urn:ferry:reason:{failure.reason.code}"
    assert body.get("place", "") == failure.where


def test_no_reason_that_may_pass_later_is_told_as_final_nor_the_other_way_round() -> None:
    for reason in reasons.BY_CODE.values():
        status = problem(Refused(reason)).status
        assert (status in {429, 503}) == (reason.actor in {Actor.RETRY, Actor.OPERATOR})
        assert 400 <= status < 600


def test_what_http_itself_refuses_keeps_only_what_a_client_needs() -> None:
    answer = plain(405, "Method Not Allowed", {"Allow": "POST", "Content-Type": "text/plain"})
    assert answer.headers == {"Allow": "POST"}
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Method Not Allowed",
        "status": 405,
    }
