"""Who may send what, how much and how often; by which digests a repetition is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry_format.reasons import Refused
from outer_agent import admission
from outer_agent.admission import RateState, Submission
from outer_agent.policy import OuterChannel

CHANNEL = OuterChannel.model_validate(
    {
        "name": "adt",
        "senders": ["his"],
        "message_bytes_max": 10,
        "content": {"hl7v2": {"messages": ["ADT^A01"], "segments": ["MSH"]}},
    }
)
GOOD = Submission("adt", "his", b"payload", "application/hl7-v2", None, 0)


def check(submission: Submission, channel: OuterChannel | None = CHANNEL) -> OuterChannel:
    return admission.check(submission, channel, "application/hl7-v2")


def test_a_lawful_submission_passes() -> None:
    assert check(GOOD) is CHANNEL


@pytest.mark.parametrize(
    ("submission", "code"),
    [
        (replace(GOOD, sender="stranger"), "sender_not_allowed"),
        (replace(GOOD, payload=b""), "message_empty"),
        (replace(GOOD, payload=b"x" * 11), "message_too_large"),
        (replace(GOOD, content_type="text/html"), "content_type_not_allowed"),
    ],
)
def test_each_unlawful_submission_is_refused_for_its_reason(
    submission: Submission, code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        check(submission)
    assert refusal.value.reason.code == code


def test_a_structured_type_may_be_called_by_its_syntax() -> None:
    for declared in ("application/fhir+json", "application/json"):
        admission.check(replace(GOOD, content_type=declared), CHANNEL, "application/fhir+json")
    for declared in ("application/xml", "application/fhir+xml", "json"):
        with pytest.raises(Refused, match="content_type_not_allowed"):
            admission.check(replace(GOOD, content_type=declared), CHANNEL, "application/fhir+json")


def test_a_multipart_form_is_no_form() -> None:
    form = "application/x-www-form-urlencoded"
    admission.check(replace(GOOD, content_type=form), CHANNEL, form)
    with pytest.raises(Refused, match="content_type_not_allowed"):
        admission.check(
            replace(GOOD, content_type="multipart/form-data; boundary=here"), CHANNEL, form
        )


def test_an_unknown_channel_is_refused() -> None:
    with pytest.raises(Refused, match="channel_unknown"):
        check(GOOD, None)


@pytest.mark.parametrize(
    "declared",
    [None, "application/octet-stream", "APPLICATION/hl7-v2", "application/hl7-v2; charset=utf-8"],
)
def test_a_content_type_may_be_silent_or_carry_parameters(declared: str | None) -> None:
    check(replace(GOOD, content_type=declared))


@given(
    st.lists(st.floats(-5, 5, allow_nan=False), max_size=60),
    st.floats(0.1, 100),
    st.floats(1, 50),
)
def test_no_sender_gets_more_than_burst_and_rate_allow(
    steps: list[float], rate_per_s: float, burst: float
) -> None:
    """Whatever the clock does, going back included."""
    first_s = now_s = latest_s = 1000.0
    state, granted = admission.spend(None, rate_per_s, burst, now_s)
    granted_count = int(granted)
    for step in steps:
        now_s += step
        latest_s = max(latest_s, now_s)
        state, granted = admission.spend(state, rate_per_s, burst, now_s)
        granted_count += granted
        assert granted_count <= burst + rate_per_s * (latest_s - first_s) + 1e-6
        assert 0 <= state.tokens <= burst


def test_the_bucket_gives_the_burst_at_once_and_then_the_rate() -> None:
    state, grants = None, []
    for now_s in [0.0] * 5 + [1.0, 1.0, 1.0]:
        state, granted = admission.spend(state, 2.0, 3.0, now_s)
        grants.append(granted)
    assert grants == [True, True, True, False, False, True, True, False]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    state, _ = admission.spend(RateState(0.0, 100.0), 10.0, 10.0, 50.0)
    _, granted = admission.spend(state, 10.0, 10.0, 100.0)
    assert not granted


@given(st.binary(min_size=1), st.binary(), st.binary(min_size=1))
def test_a_fingerprint_depends_on_key_sender_channel_and_bytes(
    payload: bytes, key: bytes, other: bytes
) -> None:
    submission = replace(GOOD, payload=payload)
    first = admission.fingerprint(b"k" * 32, submission, key)
    assert first == admission.fingerprint(b"k" * 32, submission, key)
    changed = [
        admission.fingerprint(b"o" * 32, submission, key),
        admission.fingerprint(b"k" * 32, replace(submission, sender="other"), key),
        admission.fingerprint(b"k" * 32, replace(submission, channel="lab"), key),
        admission.fingerprint(b"k" * 32, submission, key + other),
        admission.fingerprint(b"k" * 32, replace(submission, payload=payload + other), key),
    ]
    assert first not in changed
