"""Names and ids: what may be a name, and that ids differ and sort."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from ferry_format.identifiers import is_name, lane_id, new_message_id, new_stream_id


@pytest.mark.parametrize("name", ["adt", "a", "0", "a.b-c_d", "x" * 64])
def test_lawful_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "A", "-a", ".", "..", "_a", "a/b", "a b", "a\0", "x" * 65, "患者", "a\n", "é", "a٣"],
)
def test_unlawful_names(name: str) -> None:
    assert not is_name(name)


def test_message_ids_are_uuids_of_version_7_that_hold_their_time() -> None:
    made = uuid.UUID(bytes=new_message_id(1_795_000_000_123))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_795_000_000_123


def test_message_ids_sort_by_time() -> None:
    times = [0, 1, 255, 256, 65_536, 2**32, 2**48 - 1]
    made = [new_message_id(at_ms) for at_ms in times]
    assert made == sorted(made)


def test_message_ids_of_one_millisecond_differ() -> None:
    assert len({new_message_id(5) for _ in range(1000)}) == 1000


def test_stream_ids_are_random() -> None:
    made = {new_stream_id() for _ in range(100)}
    assert len(made) == 100
    assert {len(stream_id) for stream_id in made} == {16}


def test_a_lanes_id_is_what_the_specification_says() -> None:
    assert lane_id("a") == hashlib.sha256(b"ferry-lane-1\0a").digest()
    assert lane_id("a") != lane_id("b")
