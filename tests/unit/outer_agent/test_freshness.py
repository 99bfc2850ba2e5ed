"""A spool that has gone back in time is told from a stranger's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.keys import KeyKind
from ferry_format.medium.reader import MediumReader
from ferry_format.reasons import StorageFault, Unavailable
from outer_agent import freshness
from tests.simulator.sending_side import SendingSide, key


@pytest.fixture
def sender(tmp_path: Path) -> SendingSide:
    (tmp_path / "medium").mkdir()
    sender = SendingSide(tmp_path / "medium")
    for payload in (b"1", b"2", b"3"):
        sender.send(payload)
    return sender


def check(sender: SendingSide, last_sequence: int, signer: str = "front-1") -> None:
    public = key(KeyKind.SIGN, signer).public
    assert public is not None
    freshness.check(MediumReader(sender.root, None), public, sender.stream_id, last_sequence)


def test_a_spool_that_knows_every_file_is_fresh(sender: SendingSide) -> None:
    check(sender, 3)
    check(sender, 9)


@pytest.mark.parametrize("last_sequence", [0, 1, 2])
def test_one_that_lacks_a_file_is_behind(sender: SendingSide, last_sequence: int) -> None:
    with pytest.raises(StorageFault) as caught:
        check(sender, last_sequence)
    assert caught.value.reason is reasons.SPOOL_BEHIND
    assert f"ends at file {last_sequence}" in caught.value.where


def test_what_strangers_put_there_proves_nothing(sender: SendingSide) -> None:
    sender.place(4, b"garbage" * 1000)
    sender.place(5, sender.sealed[2].data)
    sender.path(6).symlink_to(sender.path(3))
    other = SendingSide(sender.root, key_name="front-2", stream_id=sender.stream_id, sequence=6)
    other.send(b"by another key")
    check(sender, 3)
    with pytest.raises(StorageFault):
        check(sender, 3, signer="front-2")


def test_without_the_medium_nothing_can_be_told(sender: SendingSide) -> None:
    sender.root.rename(sender.root.with_name("away"))
    with pytest.raises(Unavailable):
        check(sender, 3)
