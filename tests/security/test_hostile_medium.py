"""Whoever holds the medium, or even a trusted key, gets no further than the policy lets them."""

import os
import time

import pytest

from ferry_format.container import GENESIS_DIGEST
from inner_agent import known_streams
from inner_agent.known_streams import STREAMS_EXAMINED_MAX
from tests.simulator.sending_side import SendingSide, opener, trusted
from tests.simulator.verifying_side import VerifyingSide


@pytest.fixture
def places(tmp_path):
    root, state = tmp_path / "medium", tmp_path / "state"
    root.mkdir()
    state.mkdir()
    return root, state


@pytest.fixture
def make(places):
    sides = []

    def make(**options):
        sides.append(VerifyingSide(*places, **options))
        return sides[-1]

    yield make
    for side in sides:
        side.close()


@pytest.fixture
def sender(places):
    sender = SendingSide(places[0])
    sender.send(b"one")
    return sender


def test_an_old_file_under_the_next_name_is_no_replay(sender, make):
    side = make()
    side.pass_()
    sender.place(2, sender.sealed[1].data)
    side.pass_()
    assert side.reasons() == ["name_mismatch"]
    assert side.payloads() == [b"one"]


def test_old_files_put_back_in_their_places_are_not_read_again(sender, make):
    side = make()
    side.pass_()
    for _ in range(3):
        sender.publish(1)
        side.pass_(31)
    assert side.payloads() == [b"one"]


def test_files_in_another_order_are_refused_in_each_others_places(sender, make):
    side = make()
    second, third = (sender.seal(sender.envelope(name)) for name in (b"two", b"three"))
    sender.place(2, third.data)
    sender.place(3, second.data)
    side.pass_()
    assert set(side.reasons()) == {"name_mismatch"}
    assert side.payloads() == [b"one"]
    sender.publish(2)
    sender.publish(3)
    side.pass_()
    assert side.payloads() == [b"one", b"two", b"three"]


def test_a_file_of_another_stream_of_the_sender_is_not_spliced_in(sender, make, places):
    side = make()
    side.pass_()
    other = SendingSide(places[0], sequence=1, previous_digest=sender.previous_digest)
    sender.place(2, other.seal(other.envelope(b"spliced")).data)
    side.pass_()
    assert side.reasons() == ["name_mismatch"]
    assert side.payloads() == [b"one"]


def test_another_trusted_sender_cannot_continue_the_stream(sender, make, places):
    side = make(opener=opener(trusted(), trusted("ward", "ward-1")))
    side.pass_()
    ward = SendingSide(
        places[0], key_name="ward-1", stream_id=sender.stream_id, sequence=1,
        previous_digest=sender.previous_digest, counts={"adt": 1},
    )  # fmt: skip
    ward.send(b"hijacked")
    side.pass_()
    assert side.reasons() == ["unknown_stream"]
    assert side.payloads() == [b"one"]


def test_a_second_history_of_the_stream_is_refused(sender, make, places):
    side = make()
    side.pass_()
    forked = SendingSide(
        places[0], stream_id=sender.stream_id, sequence=1, previous_digest=b"x" * 32,
        counts={"adt": 1},
    )  # fmt: skip
    forked.send(b"of another past")
    side.pass_()
    assert side.reasons() == ["chain_broken"]
    assert side.payloads() == [b"one"]


def test_a_forged_late_file_does_not_fill_a_gap(sender, make, places):
    side = make(on_gap="continue")
    sender.lose(b"two")
    sender.send(b"three")
    side.pass_()
    side.pass_(31)
    assert side.gaps() == [(2, 2, True)]
    forged = SendingSide(
        places[0], stream_id=sender.stream_id, sequence=1, previous_digest=GENESIS_DIGEST
    )
    forged.send(b"forged")
    side.pass_()
    assert side.reasons() == ["chain_broken"]
    assert side.gaps() == [(2, 2, True)]
    sender.publish(2)
    side.pass_()
    assert side.payloads() == [b"one", b"three", b"two"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"lane": "another-lane"}, "wrong_lane"),
        ({"receiver": "inner-2"}, "wrong_receiver"),
        ({"key_name": "stranger"}, "unknown_sender"),
    ],
)
def test_files_for_others_and_of_strangers_are_refused(places, make, options, reason):
    SendingSide(places[0], **options).send(b"x")
    side = make()
    side.pass_()
    side.pass_()
    assert side.reasons() == [reason]
    assert side.streams.records() == []


def test_a_revoked_key_is_refused_at_once_and_its_place_held(sender, make):
    side = make()
    side.pass_()
    side.close()
    sender.send(b"after the theft")
    side = make(opener=opener(trusted(revoked=True)))
    side.pass_()
    assert side.reasons() == ["key_revoked"]
    assert side.payloads() == [b"one"]


def test_a_key_does_not_speak_on_a_channel_that_is_not_its_own(sender, make):
    side = make()
    side.pass_()
    sender.send(b"x", channel="pacs")
    side.pass_()
    assert side.reasons() == ["channel_not_authorised"]


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "folder", "sparse", "short"])
def test_what_is_no_ferry_file_holds_the_place_and_is_told_once(sender, make, places, kind):
    side = make()
    side.pass_()
    path = sender.path(2)
    good = sender.seal(sender.envelope(b"two"))
    if kind == "link":
        (places[1] / "elsewhere").write_bytes(good.data)
        path.symlink_to(places[1] / "elsewhere")
    elif kind == "hard link":
        (places[0] / "elsewhere").write_bytes(good.data)
        path.hardlink_to(places[0] / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path.write_bytes(b"short")
    for _ in range(3):
        side.pass_(1)
    assert side.reasons() == [
        {
            "link": "not_a_regular_file",
            "hard link": "hard_linked",
            "fifo": "not_a_regular_file",
            "folder": "not_a_regular_file",
            "sparse": "file_too_large",
            "short": "file_too_short",
        }[kind]
    ]
    assert len(side.audit.of("file_refused")) == 1
    side.pass_(31)
    assert side.gaps() == [(2, 2, False)]
    path.rmdir() if kind == "folder" else path.unlink()
    sender.publish(2)
    side.pass_()
    assert side.payloads() == [b"one", b"two"]


def test_hostile_names_make_neither_streams_nor_gaps(sender, make, places):
    root = places[0]
    (root / "../outside").mkdir()
    for name in ("f" * 32, "F" * 32, "0" * 31, "e" * 32):
        (root / name).mkdir()
    (root / ("a" * 32)).symlink_to(places[1])
    (root / ("b" * 32)).write_bytes(b"")
    stream = sender.path(1).parent.parent
    (stream / ("9" * 16)).mkdir()
    shard = sender.path(1).parent
    for name in ("..ferry", "00000000000000000009.ferry.tmp", "١" * 20 + ".ferry"):
        (shard / name).write_bytes(b"x")
    side = make()
    side.pass_()
    side.pass_(31)
    assert side.payloads() == [b"one"]
    assert [one.stream_id for one in side.streams.records()] == [sender.stream_id]
    assert side.gaps() == []


def test_many_foreign_stream_directories_cost_bounded_work_and_hide_nothing(make, places):
    root = places[0]
    for number in range(3 * STREAMS_EXAMINED_MAX):
        stranger = SendingSide(root, stream_id=number.to_bytes(16, "big"))
        stranger.place(1, b"garbage" * 300)
    side = make()
    last = SendingSide(root, stream_id=b"\xff" * 16)
    last.send(b"the real one")
    for _ in range(5):
        side.pass_()
    assert side.payloads() == [b"the real one"]


def test_the_streams_that_a_stolen_key_begins_are_bounded_on_record(
    sender, make, places, monkeypatch
):
    monkeypatch.setattr(known_streams, "REFUSED_KEPT_MAX", 3)
    side = make()
    side.pass_()
    for _ in range(6):
        SendingSide(places[0]).send(b"another stream")
    for _ in range(3):
        side.pass_()
    assert side.streams.refused() == 3
    assert len(side.audit.of("stream_refused")) == 3
    sender.send(b"two")
    side.pass_()
    assert side.payloads() == [b"one", b"two"]


def test_of_two_streams_at_the_first_start_the_newest_is_pinned_and_the_other_told(make, places):
    old, new = SendingSide(places[0]), SendingSide(places[0])
    old.send(b"old")
    time.sleep(0.002)
    new.send(b"new")
    side = make()
    side.pass_()
    states = {one.stream_id: one.state for one in side.streams.records()}
    assert states == {old.stream_id: "refused", new.stream_id: "trusted"}
    assert side.payloads() == [b"new"]
