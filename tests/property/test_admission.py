"""Properties of admission: the rate never exceeds its bucket, digests tell apart what differs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ferry_format import reasons
from ferry_format.reasons import Refused
from outer_agent import admission
from outer_agent.admission import RateState, Submission
from tests.simulator.outer_inside import channel

KEY = bytes(range(32))
RATES = st.floats(0.1, 1000)
BURSTS = st.floats(1, 100)
STEPS = st.lists(st.floats(-5, 20), max_size=200)
NAMES = st.sampled_from(["adt", "lab", "a", "ad"])
SMALL = st.binary(max_size=6)


def submission(**fields) -> Submission:
    values = {
        "channel": "orders",
        "sender": "his-front",
        "payload": b"{}",
        "content_type": None,
        "duplicate_key": None,
        "received_at_ms": 1,
    } | fields
    return Submission(**values)


@given(RATES, BURSTS, STEPS)
def test_no_more_is_granted_than_the_burst_and_what_the_time_earned(rate, burst, steps) -> None:
    times_s = list(itertools.accumulate(steps, initial=100.0))
    state, granted = None, 0
    for now_s in times_s:
        state, is_granted = admission.spend(state, rate, burst, now_s)
        granted += is_granted
    assert granted <= burst + (max(times_s) - times_s[0]) * rate + 1e-6


@given(RATES, BURSTS, STEPS)
def test_the_bucket_never_overflows_nor_owes(rate, burst, steps) -> None:
    state, now_s = None, 0.0
    for step in steps:
        now_s += step
        state, _ = admission.spend(state, rate, burst, now_s)
        assert -1e-9 <= state.tokens <= burst


@given(RATES, BURSTS, st.floats(0, 1e6))
def test_whoever_waits_long_enough_is_granted_one(rate, burst, now_s) -> None:
    _, is_granted = admission.spend(RateState(0.0, now_s), rate, burst, now_s + 1.001 / rate + 1e-3)
    assert is_granted


@given(RATES, BURSTS)
def test_a_new_sender_has_its_whole_burst_and_no_more(rate, burst) -> None:
    state, granted = None, 0
    for _ in range(int(burst) + 5):
        state, is_granted = admission.spend(state, rate, burst, 7.0)
        granted += is_granted
    assert granted == int(burst)


@given(
    st.tuples(NAMES, NAMES, SMALL, SMALL),
    st.tuples(NAMES, NAMES, SMALL, SMALL),
)
@example(("a", "ad", b"x", b""), ("a", "ad", b"", b"x"))
def test_fingerprints_are_equal_exactly_for_equal_messages(one, other) -> None:
    def digests(channel_name, sender, key, payload):
        sent = submission(channel=channel_name, sender=sender, payload=payload)
        return admission.fingerprint(KEY, sent, key)

    assert (digests(*one) == digests(*other)) == (one == other)
    assert (digests(*one).key_digest == digests(*other).key_digest) == (one[:3] == other[:3])
    assert (digests(*one).body_digest == digests(*other).body_digest) == (one[3] == other[3])


@given(st.binary(min_size=1, max_size=32), SMALL, SMALL)
def test_fingerprints_of_another_installation_tell_nothing(other_key, key, payload) -> None:
    sent = submission(payload=payload)
    ours, theirs = (
        admission.fingerprint(KEY, sent, key),
        admission.fingerprint(other_key, sent, key),
    )
    assert (ours == theirs) == (other_key == KEY)


@given(
    st.sampled_from(["his-front", "pacs", "his-fron", "HIS-FRONT", ""]),
    st.binary(max_size=20),
    st.integers(1, 20),
    st.sampled_from(
        [None, "application/json", "APPLICATION/JSON; charset=utf-8", "text/plain", "", "json"]
    ),
)
def test_what_passes_is_allowed_in_every_respect(sender, payload, limit, declared) -> None:
    rules = channel("orders", message_bytes_max=limit)
    sent = submission(sender=sender, payload=payload, content_type=declared)
    is_right_type = declared is None or declared.lower().startswith("application/json")
    allowed = sender == "his-front" and 0 < len(payload) <= limit and is_right_type
    try:
        admission.check(sent, rules, "application/json")
    except Refused:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sender": "pacs"}, reasons.SENDER_NOT_ALLOWED),
        ({"payload": b""}, reasons.MESSAGE_EMPTY),
        ({"payload": b"x" * 101}, reasons.MESSAGE_TOO_LARGE),
        ({"content_type": "text/plain"}, reasons.CONTENT_TYPE_NOT_ALLOWED),
        ({"content_type": "application/jsonp"}, reasons.CONTENT_TYPE_NOT_ALLOWED),
    ],
)
def test_each_refusal_has_its_reason(fields, reason) -> None:
    with pytest.raises(Refused) as refusal:
        admission.check(
            submission(**fields), channel("orders", message_bytes_max=100), "application/json"
        )
    assert refusal.value.reason is reason


def test_a_channel_that_is_not_there_is_told_before_anything_else() -> None:
    with pytest.raises(Refused) as refusal:
        admission.check(submission(payload=b""), None, "")
    assert refusal.value.reason is reasons.CHANNEL_UNKNOWN


def test_bytes_declared_as_bytes_are_left_to_the_validator() -> None:
    sent = submission(content_type="application/octet-stream")
    assert admission.check(sent, channel("orders"), "application/json").name == "orders"
