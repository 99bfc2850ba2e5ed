"""Container, envelopes and sequence logic for inputs that nobody thought of."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ferry_format import envelope
from ferry_format.container import FRAME_BYTES, GENESIS_DIGEST, MAGIC, Opener
from ferry_format.container import read_untrusted_header as read_header
from ferry_format.keys import KeyKind, TrustedSender, TrustStore, generate
from ferry_format.reasons import Refused
from ferry_format.stream import (
    Ahead,
    Gap,
    Late,
    Link,
    Next,
    Repeated,
    StreamState,
    advance,
    fill,
    judge,
    missing_files,
    skip_to,
)
from tests.unit.ferry_format.test_independent_reader import contents

KEYS = [generate(kind, "k", datetime.now(UTC)) for kind in (KeyKind.SIGN, KeyKind.RECEIVE)]


@given(st.binary(max_size=FRAME_BYTES + 200))
def test_no_bytes_make_the_frame_reader_do_anything_but_refuse(data: bytes) -> None:
    for candidate in (data, b"\x9c\xc4\x08" + MAGIC + b"\xcc\x01\xcc\x01" + data):
        try:
            read_header(candidate)
        except Refused:
            continue
        raise AssertionError("random bytes passed for a frame")


@given(st.binary(min_size=FRAME_BYTES, max_size=FRAME_BYTES + 200))
def test_no_bytes_pass_verification(data: bytes) -> None:
    sign, receive = KEYS
    assert sign.public is not None
    trusted = TrustedSender("s", sign.public, frozenset({1}), frozenset())
    try:
        Opener(TrustStore([trusted]), [receive], "lane").verify(data, 0)
    except Refused:
        return
    raise AssertionError("random bytes passed verification")


@given(st.binary(max_size=400))
def test_no_plaintext_raises_anything_but_a_refusal(data: bytes) -> None:
    try:
        content = envelope.decode(data)
    except Refused:
        return
    assert envelope.encode(content) == data


@given(contents())
def test_each_content_has_one_encoding_which_decodes_to_it(content: envelope.Content) -> None:
    assert envelope.decode(envelope.encode(content)) == content


@given(contents(), st.data())
def test_no_two_encodings_decode_to_one_content(
    content: envelope.Content, data: st.DataObject
) -> None:
    encoded = envelope.encode(content)
    at = data.draw(st.integers(0, len(encoded) - 1))
    other = encoded[:at] + bytes((data.draw(st.integers(0, 255)),)) + encoded[at + 1 :]
    try:
        decoded = envelope.decode(other)
    except Refused:
        return
    assert (decoded == content) == (other == encoded)


class AnyArrival(RuleBasedStateMachine):
    """Files of one stream come in any order, twice, late or never; a plain set is the reference."""

    last = 40

    @initialize()
    def begin(self) -> None:
        self.state = StreamState(bytes(16))
        self.links: dict[int, Link] = {}
        self.given_up: set[int] = set()

    def link(self, sequence: int) -> Link:
        """The one true chain: a file's digest is its sequence."""
        previous = GENESIS_DIGEST if sequence == 1 else (sequence - 1).to_bytes(32, "big")
        return Link(sequence.to_bytes(32, "big"), previous)

    @rule(sequence=st.integers(1, last))
    def arrive(self, sequence: int) -> None:
        link = self.link(sequence)
        verdict = judge(self.state, sequence, link, self.links.get)
        if sequence in self.links:
            assert verdict == Repeated()
        elif sequence in self.given_up:
            assert verdict == Late()
            self.state = fill(self.state, sequence, link.digest)
            self.links[sequence] = link
        elif sequence == self.state.next_sequence:
            assert verdict == Next()
            self.state = advance(self.state, link.digest)
            self.links[sequence] = link
        else:
            assert verdict == Ahead(Gap(self.state.next_sequence, sequence - 1))

    @rule(sequence=st.integers(1, last))
    def give_up(self, sequence: int) -> None:
        if sequence > self.state.next_sequence:
            self.given_up |= set(range(self.state.next_sequence, sequence))
            self.state = skip_to(self.state, sequence)

    @rule(sequence=st.integers(1, last), which=st.sampled_from(["digest", "previous"]))
    def forge(self, sequence: int, which: str) -> None:
        """A file of the trusted key that is not the stream's: never taken where it can be known."""
        true = self.link(sequence)
        wrong = b"\xff" * 32
        forged = (
            Link(wrong, true.previous_digest) if which == "digest" else Link(true.digest, wrong)
        )
        before = sequence == 1 or sequence - 1 in self.links
        known = sequence in self.links or (which == "previous" and before)
        known |= which == "digest" and sequence + 1 in self.links
        if sequence > self.state.next_sequence or not known:
            return
        if sequence in self.links and which == "previous":
            return  # same digest: it is the very file, whatever the caller says of its predecessor
        try:
            judge(self.state, sequence, forged, self.links.get)
        except Refused:
            return
        raise AssertionError(f"{which} of {sequence} was forged and taken")

    @invariant()
    def gaps_are_exact(self) -> None:
        missing = {n for gap in self.state.gaps for n in range(gap.first, gap.last + 1)}
        assert missing == self.given_up - self.links.keys()
        assert missing_files(self.state) == len(missing)
        edges = [edge for gap in self.state.gaps for edge in (gap.first, gap.last)]
        assert edges == sorted(edges)
        assert all(
            later.first > earlier.last + 1
            for earlier, later in zip(self.state.gaps, self.state.gaps[1:], strict=False)
        )


AnyArrival.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyArrival = AnyArrival.TestCase
