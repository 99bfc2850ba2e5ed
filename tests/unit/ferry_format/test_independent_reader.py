"""A second implementation, written from the specification, agrees with the package."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry_format import envelope
from ferry_format.container import Opener, Sealer
from ferry_format.envelope import Beacon, Content, Envelope, Tombstone
from ferry_format.keys import KeyKind, TrustedSender, TrustStore, generate
from ferry_format.reasons import Refused
from tests.simulator.independent_reader import (
    Receiver,
    Refusal,
    Sender,
    Stream,
    decode,
    read_file,
)
from tests.simulator.vectors import Vector, all_vectors, key, manifest

NOW_MS = manifest()["now_ms"]
STREAM = bytes.fromhex(manifest()["stream"])
SIGN = generate(KeyKind.SIGN, "front-1", datetime.now(UTC))
RECEIVE = generate(KeyKind.RECEIVE, "inner-1", datetime.now(UTC))
CHANNELS = ("adt", "lab", "x")


def receiver(vector: Vector) -> Receiver:
    public, private = key(manifest()["sender_key"]).public, key(manifest()["receiver_key"]).private
    assert public is not None
    assert private is not None
    said = vector.trust
    sender = Sender(
        public.raw,
        said["channels"],
        said["suites"],
        said.get("not_before_ms"),
        said.get("not_after_ms"),
        said.get("revoked", False),
    )
    return Receiver(manifest()["lane"], [private], [sender])


def outcome(vector: Vector) -> tuple[str | None, str | None]:
    """Stage and reason at which the second reader refuses; (None, None) if it accepts."""
    try:
        stream = Stream(STREAM)
        for data in vector.received:
            stream.decide(read_file(data, receiver(vector), NOW_MS))
        opened = read_file(vector.data, receiver(vector), NOW_MS)
        decision = stream.decide(opened)
    except Refusal as refusal:
        return refusal.stage, refusal.code
    if vector.row.get("name_sequence", opened.sequence) != opened.sequence:
        return "medium", "name_mismatch"
    return (None, None) if decision == "accept" else ("stream", decision)


@pytest.mark.parametrize("vector", all_vectors(), ids=lambda vector: vector.name)
def test_it_does_with_each_vector_what_the_manifest_says(vector: Vector) -> None:
    stage, code = outcome(vector)
    # Whether a signature was looked at is inside the second reader's stage of trust.
    assert code == vector.reason
    assert stage == ("trust" if vector.stage == "signature" and stage == "trust" else vector.stage)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    last: dict[str, int] = {}
    entries: list[Envelope | Tombstone] = []
    ids = draw(st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=8))
    for message_id in ids:
        channel = draw(st.sampled_from(CHANNELS))
        start = draw(st.integers(1, 2**62))
        last[channel] = last.get(channel, start - 1) + 1
        at_ms = draw(st.integers(0, 2**53 - 1))
        if draw(st.booleans()):
            payload = draw(st.binary(min_size=1, max_size=300))
            entries.append(
                Envelope(message_id, channel, last[channel], at_ms, "text/plain", payload)
            )
        else:
            entries.append(Tombstone(message_id, channel, last[channel], at_ms, "medium_full"))
    return Content(
        draw(st.integers(0, 2**53 - 1)), tuple(entries), Beacon(tuple(sorted(last.items())))
    )


def as_lists(content: Content) -> list[list[object]]:
    return [
        [
            0,
            e.message_id,
            e.channel,
            e.channel_sequence,
            e.accepted_at_ms,
            e.content_type,
            e.payload,
        ]
        if isinstance(e, Envelope)
        else [1, e.message_id, e.channel, e.channel_sequence, e.withdrawn_at_ms, e.reason]
        for e in content.entries
    ]


def pair() -> tuple[Sealer, Opener, Receiver]:
    assert SIGN.public is not None
    assert RECEIVE.public is not None
    assert RECEIVE.private is not None
    trusted = TrustedSender("front-1", SIGN.public, frozenset({1}), frozenset(CHANNELS))
    return (
        Sealer(SIGN, RECEIVE.public, "lane", STREAM),
        Opener(TrustStore([trusted]), [RECEIVE], "lane"),
        Receiver("lane", [RECEIVE.private], [Sender(SIGN.public.raw, CHANNELS)]),
    )


@settings(max_examples=60)
@given(contents(), st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_whatever_is_sealed_both_open_to_the_same(
    content: Content, sequence: int, previous: bytes
) -> None:
    sealer, opener, second = pair()
    sealed = sealer.seal(sequence, previous, content)
    assert opener.unseal(opener.verify(sealed.data, NOW_MS)) == content
    opened = read_file(sealed.data, second, NOW_MS)
    assert (opened.stream_id, opened.sequence) == (STREAM, sequence)
    assert (opened.previous, opened.digest) == (previous, sealed.digest)
    assert opened.content[0] == content.sealed_at_ms
    assert list(map(list, opened.content[2])) == as_lists(content)


@settings(max_examples=300)
@given(st.binary(max_size=60) | contents().map(envelope.encode), st.data())
def test_both_judge_any_plaintext_alike(plaintext: bytes, data: st.DataObject) -> None:
    if plaintext and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(plaintext) - 1))
        changed = data.draw(st.integers(0, 255))
        plaintext = plaintext[:at] + bytes((changed,)) + plaintext[at + 1 :]
    try:
        ours: object = as_lists(envelope.decode(plaintext))
    except Refused:
        ours = "refused"
    try:
        theirs: object = list(map(list, decode(plaintext)[2]))
    except Refusal:
        theirs = "refused"
    assert ours == theirs
