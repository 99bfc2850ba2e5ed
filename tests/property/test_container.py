"""The container for inputs that nobody thought of: round trips, and nothing but refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ferry_format.container import FRAME_BYTES, Opener, Sealer, read_untrusted_header
from ferry_format.envelope import Beacon, Content, encode
from ferry_format.keys import KeyKind, TrustedSender, TrustStore, generate
from ferry_format.reasons import Refused
from tests.simulator.frames import LANE, NOW_MS, STREAM
from tests.simulator.lawful_contents import CHANNELS, contents
from tests.simulator.vectors import all_vectors, site

MADE = datetime(2026, 11, 23, tzinfo=UTC)
SIGN, RECEIVE = (generate(kind, "k", MADE) for kind in (KeyKind.SIGN, KeyKind.RECEIVE))
LAWFUL = next(vector.data for vector in all_vectors() if vector.name == "stream-1")


def opener() -> Opener:
    assert SIGN.public is not None
    trusted = TrustedSender("front-1", SIGN.public, frozenset({1}), frozenset(CHANNELS))
    return Opener(TrustStore([trusted]), [RECEIVE], "lane")


@settings(max_examples=60)
@given(contents(), st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens_to_the_same(content: Content, sequence: int, previous: bytes) -> None:
    assert RECEIVE.public is not None
    sealed = Sealer(SIGN, RECEIVE.public, "lane", STREAM).seal(sequence, previous, content)
    reader = opener()
    verified = reader.verify(sealed.data, NOW_MS)
    assert (verified.header.sequence, verified.header.previous_digest) == (sequence, previous)
    assert (verified.header.stream_id, verified.digest) == (STREAM, sealed.digest)
    counts = tuple(each for each in content.beacon.channel_counts if each[0] in CHANNELS)
    assert reader.unseal(verified) == replace(content, beacon=Beacon(counts))


@given(st.binary(max_size=FRAME_BYTES + 200), st.integers(0, 200))
def test_no_bytes_make_the_frame_reader_do_anything_but_refuse(data: bytes, kept: int) -> None:
    """Random bytes, and random bytes behind the beginning of a lawful file."""
    for candidate in (data, LAWFUL[:kept] + data):
        try:
            read_untrusted_header(candidate)
        except Refused:
            continue
        raise AssertionError("random bytes passed for a frame")


@given(st.integers(0, len(LAWFUL)), st.integers(0, 8), st.binary(min_size=1, max_size=8))
def test_no_splice_of_a_lawful_file_passes_verification(at: int, taken: int, put: bytes) -> None:
    spliced = LAWFUL[:at] + put + LAWFUL[at + taken :]
    if spliced == LAWFUL:
        return
    published = site()
    trusted = TrustedSender("s", published.public("sender"), frozenset({1}), frozenset())
    try:
        Opener(TrustStore([trusted]), [published.keys["receiver"]], LANE).verify(spliced, NOW_MS)
    except Refused:
        return
    raise AssertionError("a spliced file passed verification")


ENCAPSULATIONS = st.none() | st.binary(min_size=1168, max_size=1168)


@settings(max_examples=60)
@given(st.binary(max_size=300), ENCAPSULATIONS)
def test_whatever_a_trusted_key_signs_only_lawful_contents_or_refusals_come_of_it(
    noise: bytes, encapsulation: bytes | None
) -> None:
    published = site()
    parts = published.parts(noise)
    if encapsulation is not None:
        parts = replace(parts, encapsulation=encapsulation)
    signed = parts.signed(published.keys["sender"])
    trusted = TrustedSender("s", published.public("sender"), frozenset({1}), frozenset(CHANNELS))
    reader = Opener(TrustStore([trusted]), [published.keys["receiver"]], LANE)
    verified = reader.verify(signed, NOW_MS)
    try:
        content = reader.unseal(verified)
    except Refused:
        return
    assert encapsulation is None
    assert encode(content) == noise
