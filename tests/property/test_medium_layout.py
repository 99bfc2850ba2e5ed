"""Names on the medium: each (stream, sequence) has one path, and no other spelling is taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ferry_format.limits import SEQUENCE_MAX
from ferry_format.medium import layout

STREAMS = st.binary(min_size=16, max_size=16)
SEQUENCES = st.integers(1, SEQUENCE_MAX)
DIGITS_AND_FRIENDS = st.text("0123456789abcdefABCDEF٣².ferry/-\n", max_size=40)


@given(STREAMS, SEQUENCES)
def test_a_path_is_parsed_back_to_what_it_was_made_of(stream_id: bytes, sequence: int) -> None:
    stream, shard, name = layout.file_path(stream_id, sequence).split("/")
    number = layout.parse_shard(shard)
    assert layout.parse_stream(stream) == stream_id
    assert number is not None
    assert layout.parse_file(number, name) == sequence


@given(st.integers(0, 10**25), DIGITS_AND_FRIENDS | st.text(max_size=40))
def test_what_parses_is_spelt_canonically(shard: int, name: str) -> None:
    stream_id, number = layout.parse_stream(name), layout.parse_shard(name)
    sequence = layout.parse_file(shard, name)
    assert stream_id is None or layout.stream_name(stream_id) == name
    assert number is None or layout.shard_name(number * layout.FILES_PER_SHARD) == name
    assert sequence is None or (
        layout.file_name(sequence) == name and layout.shard_number(sequence) == shard
    )


@given(SEQUENCES, st.sampled_from(["{}\n", " {}", "{}.", "{}x", "+{}", "{}/", "\x00{}"]))
def test_a_lawful_name_with_anything_around_it_is_foreign(sequence: int, around: str) -> None:
    shard = layout.shard_number(sequence)
    assert layout.parse_file(shard, around.format(layout.file_name(sequence))) is None
    assert layout.parse_shard(around.format(layout.shard_name(sequence))) is None


@given(SEQUENCES, SEQUENCES)
def test_a_file_in_another_shard_than_its_own_is_foreign(sequence: int, other: int) -> None:
    shard = layout.shard_number(other)
    if shard != layout.shard_number(sequence):
        assert layout.parse_file(shard, layout.file_name(sequence)) is None


def test_sequences_begin_at_one_and_end_at_the_limit() -> None:
    assert layout.parse_file(0, layout.file_name(0)) is None
    assert layout.parse_file(0, layout.file_name(1)) == 1
    last = layout.shard_number(SEQUENCE_MAX)
    assert layout.parse_file(last, layout.file_name(SEQUENCE_MAX)) == SEQUENCE_MAX
    assert layout.parse_file(last + 1, layout.file_name(SEQUENCE_MAX + 1)) is None
    assert layout.parse_shard(f"{last + 1:016d}") is None


@given(SEQUENCES, st.binary(min_size=8, max_size=8))
def test_staging_names_are_told_from_all_published_ones(sequence: int, nonce: bytes) -> None:
    name = layout.staging_name(sequence, nonce)
    assert layout.is_staging_name(name)
    assert layout.parse_file(layout.shard_number(sequence), name) is None
    assert not layout.is_staging_name(layout.file_name(sequence))
