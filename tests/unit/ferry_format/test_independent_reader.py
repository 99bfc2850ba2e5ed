"""A second implementation, written from the specification, agrees with the package."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry_format import envelope
from ferry_format.container import Opener, Sealer
from ferry_format.envelope import Content, Envelope, Part, Tombstone
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
from tests.simulator.lawful_contents import CHANNELS, contents, plaintexts
from tests.simulator.vectors import Vector, all_vectors, key, manifest

NOW_MS = manifest()["now_ms"]
STREAM = bytes.fromhex(manifest()["stream"])
SIGN = generate(KeyKind.SIGN, "front-1", datetime.now(UTC))
RECEIVE = generate(KeyKind.RECEIVE, "inner-1", datetime.now(UTC))


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


def outcome(vector: Vector) -> tuple[str | None, str]:
    """Stage and reason at which the second reader refuses; None and the decision if it does not."""
    try:
        stream = Stream(STREAM)
        for data in vector.received:
            before = read_file(data, receiver(vector), NOW_MS)
            stream.give_up_before(before.sequence)
            assert stream.decide(before) == "accept"
        opened = read_file(vector.data, receiver(vector), NOW_MS)
        decision = stream.decide(opened)
    except Refusal as refusal:
        return refusal.stage, refusal.code
    if vector.row.get("name_sequence", opened.sequence) != opened.sequence:
        return "medium", "name_mismatch"
    return ("stream" if decision == "sequence_replayed" else None), decision


@pytest.mark.parametrize("vector", all_vectors(), ids=lambda vector: vector.name)
def test_it_does_with_each_vector_what_the_manifest_says(vector: Vector) -> None:
    assert outcome(vector) == (vector.stage, vector.reason or vector.decision)


def as_lists(content: Content) -> list[list[object]]:
    kinds = {Envelope: 0, Tombstone: 1, Part: 2}
    return [[kinds[type(entry)], *astuple(entry)] for entry in content.entries]


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
    unsealed = opener.unseal(opener.verify(sealed.data, NOW_MS))
    assert (unsealed.sealed_at_ms, unsealed.entries) == (content.sealed_at_ms, content.entries)
    opened = read_file(sealed.data, second, NOW_MS)
    assert (opened.stream_id, opened.sequence) == (STREAM, sequence)
    assert (opened.previous, opened.digest) == (previous, sealed.digest)
    assert opened.content[0] == content.sealed_at_ms
    assert opened.content[1] == list(map(list, unsealed.beacon.channel_counts))
    assert opened.content[2] == as_lists(content)


@settings(max_examples=400)
@given(plaintexts() | st.binary(max_size=60))
def test_both_judge_any_plaintext_alike_and_for_the_same_reason(plaintext: bytes) -> None:
    try:
        ours: object = as_lists(envelope.decode(plaintext))
    except Refused as refused:
        ours = refused.reason.code
    try:
        theirs: object = decode(plaintext)[2]
    except Refusal as refusal:
        theirs = refusal.code
    # 6.3, step 4: a content that breaks several rules of 6.2 is refused for any one of them.
    either = {"bad_content", "content_limit"}
    assert ours == theirs or (isinstance(ours, str) and {ours, theirs} == either)
