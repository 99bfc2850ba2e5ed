"""Reading: the next name, gaps by listing, and a medium that comes and goes."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.container import FRAME_BYTES
from ferry_format.medium import layout
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import Unavailable

STREAM = bytes(range(16))
OTHER = bytes(16)
DATA = b"d" * FRAME_BYTES


def put(root: Path, *sequences: int, stream_id: bytes = STREAM) -> None:
    writer = MediumWriter(root)
    for sequence in sequences:
        writer.publish(writer.stage(stream_id, sequence, DATA))


def test_sequences_are_listed_in_order_across_shards_from_the_one_asked_for(tmp_path: Path) -> None:
    shard = layout.FILES_PER_SHARD
    put(tmp_path, 3 * shard + 1, shard, 2, 7, shard - 1, 1)
    reader = MediumReader(tmp_path, None)
    assert list(reader.available(STREAM, 1)) == [1, 2, 7, shard - 1, shard, 3 * shard + 1]
    assert list(reader.available(STREAM, 7)) == [7, shard - 1, shard, 3 * shard + 1]
    assert list(reader.available(STREAM, 3 * shard + 2)) == []
    assert list(reader.available(OTHER, 1)) == []


def test_only_as_many_shards_are_listed_as_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, *(number * layout.FILES_PER_SHARD + 1 for number in range(5)))
    reader = MediumReader(tmp_path, None)
    listed = []
    names = reader._names
    monkeypatch.setattr(
        reader, "_names", lambda path, parse: (listed.append(path), names(path, parse))[1]
    )
    first_two = list(itertools.islice(reader.available(STREAM, 1), 2))
    assert first_two == [1, layout.FILES_PER_SHARD + 1]
    assert len(listed) <= 3  # the stream and two shards


def test_listing_ends_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferry_format.medium.reader._LISTED_MAX", 2)
    put(tmp_path, 1, 2, 3, layout.FILES_PER_SHARD)
    assert list(MediumReader(tmp_path, None).available(STREAM, 1)) == [1, 2, 3]


def test_streams_are_found_as_they_appear(tmp_path: Path) -> None:
    reader = MediumReader(tmp_path, None)
    assert reader.streams() == []
    put(tmp_path, 1)
    put(tmp_path, 1, stream_id=OTHER)
    assert reader.streams() == sorted([STREAM, OTHER])


def test_a_medium_that_is_mounted_later_is_read_then(tmp_path: Path) -> None:
    root = tmp_path / "medium"
    reader = MediumReader(root, None)
    for call in (
        lambda: reader.read(STREAM, 1),
        reader.streams,
        reader.foreign_names,
        lambda: list(reader.available(STREAM, 1)),
    ):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.reason is reasons.MEDIUM_UNREADABLE
    root.mkdir()
    put(root, 1)
    assert reader.read(STREAM, 1) is not None


def test_a_medium_that_is_exchanged_is_read_anew(tmp_path: Path) -> None:
    root, away = tmp_path / "medium", tmp_path / "away"
    root.mkdir()
    put(root, 1)
    reader = MediumReader(root, None)
    assert reader.read(STREAM, 1) is not None
    root.rename(away)
    with pytest.raises(Unavailable):
        reader.read(STREAM, 1)
    root.mkdir()
    assert reader.read(STREAM, 1) is None
    put(root, 1, 2)
    assert reader.read(STREAM, 2) is not None


def test_an_input_error_is_the_mediums_state_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, 1)
    reader = MediumReader(tmp_path, None)

    def failing(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "read", failing)
        with pytest.raises(Unavailable) as caught:
            reader.read(STREAM, 1)
    assert caught.value.reason is reasons.MEDIUM_UNREADABLE
    assert reader.read(STREAM, 1) is not None


def test_a_refused_files_identity_changes_with_the_file(tmp_path: Path) -> None:
    put(tmp_path, 1)
    reader = MediumReader(tmp_path, None)
    first, again = reader.read(STREAM, 1), reader.read(STREAM, 1)
    MediumWriter(tmp_path).publish_again(STREAM, 1, DATA)
    resent = reader.read(STREAM, 1)
    assert first is not None
    assert again is not None
    assert resent is not None
    assert first.identity == again.identity != resent.identity


def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 1)
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 100)))
    file = MediumReader(tmp_path, None).read(STREAM, 1)
    assert file is not None
    assert file.data == DATA
