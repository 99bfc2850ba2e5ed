"""Real ferry files on a real medium into a real journal; only the validators are stand-ins."""

from dataclasses import replace

import pytest

from ferry_format.reasons import Unavailable
from inner_agent.journal import JournalReader
from inner_agent.workplace import BatchLimits
from tests.simulator.sending_side import SendingSide, opener, trusted
from tests.simulator.verifying_side import CIPHER, VerifyingSide


@pytest.fixture
def places(tmp_path):
    root, state = tmp_path / "medium", tmp_path / "state"
    root.mkdir()
    state.mkdir()
    return root, state


@pytest.fixture
def sender(places):
    return SendingSide(places[0])


@pytest.fixture
def make(places):
    sides = []

    def make(**options):
        sides.append(VerifyingSide(*places, **options))
        return sides[-1]

    yield make
    for side in sides:
        side.close()


def test_messages_of_several_files_are_journaled_once_in_order(sender, make):
    side = make()
    for number in range(10):
        sender.send(*(f"{number}-{i}".encode() for i in range(3)))
    assert side.pass_() == 10
    assert side.pass_() == 0
    assert side.payloads() == [f"{n}-{i}".encode() for n in range(10) for i in range(3)]
    assert side.audit.names().count("file_taken") == 10
    assert side.metric("ferry_inner_files_total", outcome="taken", reason="") == 10
    assert (
        side.metric("ferry_inner_messages_total", channel="adt", outcome="journaled", reason="")
        == 30
    )


def test_files_that_wait_together_are_committed_together_within_the_limits(sender, make):
    side = make(limits=BatchLimits(files_max=4))
    for number in range(10):
        sender.send(b"%d" % number)
    side.streams.look()
    (intake,) = side.streams.trusted
    assert [intake.take_next() for _ in range(4)] == [4, 4, 2, 0]
    small = make(limits=BatchLimits(bytes_max=1))
    sender.send(b"a")
    sender.send(b"b")
    (intake,) = small.streams.trusted
    assert [intake.take_next() for _ in range(3)] == [1, 1, 0]


def test_a_restart_goes_on_where_the_journal_stands(sender, make):
    side = make()
    sender.send(b"1")
    side.pass_()
    sender.send(b"2")
    side.restart()
    assert side.pass_() == 1
    assert side.payloads() == [b"1", b"2"]


def test_heartbeats_and_tombstones_move_the_stream_and_journal_nothing(sender, make):
    side = make()
    sender.send_entries()
    sender.send_entries(sender.tombstone(), sender.envelope(b"after"))
    sender.send(b"last")
    assert side.pass_() == 3
    assert side.payloads() == [b"after", b"last"]
    assert "channel_sequence_broken" not in side.audit.names()


def test_a_refused_message_does_not_stop_the_others(sender, make):
    side = make()
    sender.send_entries(
        sender.envelope(b"one"),
        sender.envelope(b"bad two"),
        sender.envelope(bytes(1001)),
        sender.envelope(b"four", content_type="application/hl7-v2"),
        sender.envelope(b"five", channel="lab"),
    )
    sender.send(b"six")
    side.pass_()
    assert side.payloads() == [b"one", b"six"]
    assert side.payloads("lab") == [b"five"]
    assert side.reasons() == ["not_well_formed", "message_too_large", "content_type_not_allowed"]
    assert {entry.kind for entry in side.quarantine()} == {"message"}
    assert len(side.audit.of("message_refused")) == 3
    assert all(b"bad" not in str(fields).encode() for _, fields in side.audit.events)


def test_a_repeated_id_in_a_new_file_is_counted_and_dropped(sender, make):
    side = make()
    first = sender.envelope(b"first")
    sender.send_entries(first)
    sender.send_entries(sender.envelope(b"again", message_id=first.message_id))
    side.pass_()
    assert side.payloads() == [b"first"]
    assert (
        side.metric("ferry_inner_messages_total", channel="adt", outcome="repeated", reason="") == 1
    )


def test_without_validators_the_file_keeps_its_place(sender, make):
    side = make()
    sender.send(b"1")
    side.streams.look()
    side.validators.available = False
    with pytest.raises(Unavailable):
        side.pass_()
    assert side.quarantine() == []
    side.validators.available = True
    side.pass_()
    assert side.payloads() == [b"1"]


def test_bad_messages_of_one_file_are_told_together_and_quarantined_apart(sender, make):
    side = make()
    sender.send(*(b"bad %d" % number for number in range(50)))
    side.pass_()
    assert len(side.reasons()) == 50
    (told,) = side.audit.of("message_refused")
    assert (told["messages"], told["reason"], told["sequence"]) == (50, "not_well_formed", 1)
    refused = {"channel": "adt", "outcome": "refused", "reason": "not_well_formed"}
    assert side.metric("ferry_inner_messages_total", **refused) == 50


def test_names_of_channels_that_a_sender_may_not_use_are_kept_nowhere(sender, make):
    side = make()
    sender.counts |= {f"made-up-{number}": 7 for number in range(1000)}
    sender.send(b"1")
    sender.counts |= {f"other-{number}": 7 for number in range(20)}
    sender.send(b"2")
    side.pass_()
    assert side.payloads() == [b"1", b"2"]
    assert set(side.journal.progress(sender.stream_id)) == {"adt"}
    assert "channel_sequence_broken" not in side.audit.names()


# --- gaps ---------------------------------------------------------------------------------------


def test_a_missing_file_holds_the_stream_and_is_told_once_after_the_wait(sender, make):
    side = make()
    sender.send(b"1")
    sender.lose(b"2")
    sender.lose(b"3")
    sender.send(b"4")
    side.pass_()
    side.pass_(29)
    assert (side.payloads(), side.gaps()) == ([b"1"], [])
    side.pass_(2)
    side.pass_(100)
    assert side.gaps() == [(2, 3, False)]
    assert [(e["first"], e["last"]) for e in side.audit.of("gap_opened")] == [(2, 3)]
    side.restart()
    side.pass_(100)
    assert len(side.audit.of("gap_opened")) == 1
    sender.publish(2)
    side.pass_()
    assert side.gaps() == [(3, 3, False)]
    side.pass_(100)
    assert len(side.audit.of("gap_opened")) == 1
    sender.publish(3)
    side.pass_()
    assert side.payloads() == [b"1", b"2", b"3", b"4"]
    assert side.gaps() == []
    assert len(side.audit.of("gap_closed")) == 1
    assert "gap_given_up" not in side.audit.names()


def test_a_gap_that_closes_within_the_wait_is_never_told(sender, make):
    side = make()
    sender.lose(b"1")
    sender.send(b"2")
    side.pass_()
    side.pass_(10)
    sender.publish(1)
    side.pass_(1)
    side.pass_(100)
    assert side.payloads() == [b"1", b"2"]
    assert not {"gap_opened", "gap_closed"} & set(side.audit.names())


def test_with_continue_the_stream_goes_on_and_late_files_are_taken_and_marked(sender, make, places):
    side = make(on_gap="continue")
    sender.send(b"1")
    for number in (2, 3, 4):
        sender.lose(b"%d" % number, b"%d'" % number)
    sender.send(b"5")
    side.pass_()
    side.pass_(31)
    assert side.payloads() == [b"1", b"5"]
    assert side.gaps() == [(2, 4, True)]
    (missing,) = side.audit.of("messages_missing")
    assert (missing["first"], missing["last"], missing["messages"]) == (2, 7, 6)
    sender.publish(3)
    side.pass_()
    assert side.gaps() == [(2, 2, True), (4, 4, True)]
    side.restart()
    sender.publish(4)
    sender.publish(2)
    sender.send(b"6")
    side.pass_()
    assert side.payloads() == [b"1", b"5", b"3", b"3'", b"6", b"2", b"2'", b"4", b"4'"]
    assert side.gaps() == []
    with JournalReader(places[1] / "journal.db", CIPHER) as reader:
        late = [m.payload for m in reader.waiting("adt", 0, 99) if m.late]
    assert late == [b"3", b"3'", b"2", b"2'", b"4", b"4'"]
    assert len(side.audit.of("messages_missing")) == 1
    assert "channel_sequence_broken" not in side.audit.names()


# --- what a gap means for each channel ------------------------------------------------------------


@pytest.fixture
def two_channels(sender, make):
    """A verifier that passed a gap, file 2, with a message of adt and none of lab."""
    side = make()
    sender.send_entries(sender.envelope(b"a1"), sender.envelope(b"l1", "lab"))
    sender.lose(b"a2")
    sender.send_entries(sender.envelope(b"a3"), sender.envelope(b"l2", "lab"))
    side.pass_()
    side.pass_(31)
    return side


def test_a_channel_waits_for_its_own_missing_messages_only(sender, two_channels):
    side = two_channels
    assert (side.payloads("adt"), side.payloads("lab")) == ([b"a1"], [b"l1", b"l2"])
    assert side.gaps() == [(2, 2, False)]
    assert [one["channel"] for one in side.audit.of("channel_held")] == ["adt"]
    assert side.metric("ferry_inner_held_messages", channel="adt") == 1
    sender.send_entries(sender.envelope(b"l3", "lab"), sender.envelope(b"a4"))
    side.pass_()
    assert (side.payloads("adt"), side.payloads("lab")) == ([b"a1"], [b"l1", b"l2", b"l3"])
    sender.publish(2)
    side.pass_()
    assert side.payloads("adt") == [b"a1", b"a2", b"a3", b"a4"]
    assert side.gaps() == []
    assert [one["channel"] for one in side.audit.of("channel_released")] == ["adt"]
    assert side.metric("ferry_inner_held_messages", channel="adt") == 0
    sender.send(b"a5")
    side.pass_()
    assert side.payloads("adt")[-1] == b"a5"


def test_what_waits_is_in_order_and_not_marked_late(sender, make, places):
    side = make()
    sender.send(b"1")
    for number in (2, 3, 4):
        sender.lose(b"%d" % number)
    sender.send(b"5")
    side.pass_()
    side.pass_(31)
    for sequence, arrived in ((4, 1), (2, 2), (3, 5)):
        side.restart()
        sender.publish(sequence)
        side.pass_()
        assert len(side.payloads()) == arrived
    with JournalReader(places[1] / "journal.db", CIPHER) as reader:
        journaled = reader.waiting("adt", 0, 99)
    assert [one.payload for one in journaled] == [b"1", b"2", b"3", b"4", b"5"]
    assert not any(one.late for one in journaled)


def test_what_is_withdrawn_or_refused_late_is_waited_for_no_longer(sender, make):
    side = make()
    sender.send(b"1")
    sender.seal(sender.tombstone(), sender.envelope(b"bad"))
    sender.send(b"4")
    side.pass_()
    side.pass_(31)
    assert side.payloads() == [b"1"]
    sender.publish(2)
    side.pass_()
    assert side.payloads() == [b"1", b"4"]
    assert side.gaps() == []


def test_an_operators_order_releases_what_waits_and_what_comes_late_is_marked(
    sender, two_channels, places
):
    side = two_channels
    assert side.streams.give_up(sender.stream_id, "wang").done
    assert side.payloads("adt") == [b"a1", b"a3"]
    assert side.gaps() == [(2, 2, True)]
    assert not side.streams.give_up(sender.stream_id, "wang").done
    side.restart()
    sender.publish(2)
    sender.send(b"a4")
    side.pass_()
    with JournalReader(places[1] / "journal.db", CIPHER) as reader:
        journaled = [(one.payload, one.late) for one in reader.waiting("adt", 0, 99)]
    assert sorted(journaled) == [(b"a1", 0), (b"a2", 1), (b"a3", 0), (b"a4", 0)]


def test_many_held_messages_are_released_some_at_a_time_and_in_order(sender, make, monkeypatch):
    monkeypatch.setattr("inner_agent.held_messages.RELEASED_PER_COMMIT", 7)
    side = make()
    sender.lose(b"0")
    numbers = [b"%03d" % number for number in range(1, 51)]
    for number in numbers:
        sender.send(number)
    side.pass_()
    side.pass_(31)
    assert side.payloads() == []
    sender.publish(1)
    (intake,) = side.streams.trusted
    assert intake.look() == 1 + 7, "one file, and the next few after those of its own commit"
    assert len(side.payloads()) == 14
    sender.send(b"051")
    intake.take_next()
    side.restart()
    side.pass_()
    assert side.payloads() == [b"0", *numbers, b"051"]


def test_a_held_message_is_found_and_its_id_is_taken_once(sender, two_channels, places):
    side = two_channels
    with JournalReader(places[1] / "journal.db", CIPHER) as reader:
        (held,) = reader.held(control_id="a3")
        assert (held.position, held.channel, held.payload_kept) == (0, "adt", True)
        assert reader.held_counts() == {"adt": 1}
        assert reader.waiting_channels(sender.stream_id) == ["adt"]
    sender.send_entries(
        sender.envelope(b"again", "lab", message_id=held.message_id), sender.envelope(b"a4")
    )
    sender.send_entries(sender.envelope(b"and again", message_id=held.message_id))
    sender.publish(2)
    side.pass_()
    assert side.payloads("adt") == [b"a1", b"a2", b"a3", b"a4"]
    assert side.payloads("lab") == [b"l1", b"l2"]


def test_a_policy_that_no_longer_holds_releases_what_waits(sender, two_channels):
    side = two_channels
    side.rules = {name: replace(rule, holds_on_gap=False) for name, rule in side.rules.items()}
    side.restart()
    side.pass_()
    assert side.payloads("adt") == [b"a1", b"a3"]


def test_a_lost_heartbeat_holds_nobody(sender, make):
    side = make()
    sender.send(b"1")
    sender.lose()
    sender.send(b"2")
    side.pass_()
    side.pass_(31)
    assert side.payloads() == [b"1", b"2"]
    assert side.gaps() == [(2, 2, True)]
    assert "channel_held" not in side.audit.names()


def test_a_file_that_vanishes_before_it_is_taken_changes_nothing(sender, make):
    side = make()
    sender.send(b"1")
    sender.lose(b"2")
    sender.send(b"3")
    side.pass_()
    (intake,) = side.streams.trusted
    opening = side.workplace.files.open
    side.now_s += 31
    intake.look()
    side.now_s += 31

    def vanishing(stream_id, sequence):
        opened = opening(stream_id, sequence)
        sender.path(3).unlink(missing_ok=True)
        return opened

    side.workplace.files.open = vanishing
    before = intake.state
    intake.look()
    assert intake.state == before
    side.workplace.files.open = opening
    sender.publish(3)
    side.pass_()
    assert side.gaps() == [(2, 2, False)]


def test_a_heartbeat_reveals_that_the_last_file_was_lost(sender, make):
    side = make(on_gap="continue")
    sender.send(b"1")
    sender.lose(b"2")
    sender.send_entries()
    side.pass_()
    side.pass_(31)
    assert side.gaps() == [(2, 2, True)]
    (missing,) = side.audit.of("messages_missing")
    assert (missing["channel"], missing["first"], missing["last"]) == ("adt", 2, 2)


@pytest.mark.parametrize("lawful_after", [True, False])
def test_garbage_after_a_missing_file_hides_no_gap(sender, make, lawful_after):
    side = make()
    sender.send(b"1")
    side.pass_()
    sender.lose(b"2")
    for sequence in range(3, 33):
        sender.lose(b"x")
        sender.place(sequence, b"garbage" * 500)
    if lawful_after:
        sender.send(b"33")
    for _ in range(10):
        side.pass_(31)
    last = 32 if lawful_after else 2
    assert side.gaps() == [(2, last, False)]
    assert len(side.audit.of("gap_opened")) == (2 if lawful_after else 1)
    assert (side.streams.give_up(sender.stream_id, "wang").done) is lawful_after
    for sequence in range(2, 34 if lawful_after else 33):
        sender.publish(sequence)
    side.pass_()
    assert side.gaps() == []


def test_a_stream_that_moves_without_end_still_takes_late_files(sender, make, places):
    side = make(on_gap="continue", gap_wait_s=1.0)
    sender.send(b"1")
    late = sender.lose(b"2")
    sender.send(b"3")
    side.pass_()
    side.pass_(2)
    assert side.gaps() == [(2, 2, True)]
    sender.publish(late)
    (intake,) = side.streams.trusted
    for number in range(20):
        side.now_s += 1
        sender.send(b"busy %d" % number)
        assert intake.take_next() == 1
        intake.look()
    assert side.gaps() == []


def test_what_is_missing_is_exact_when_only_part_of_a_gap_is_there(sender, make):
    side = make(on_gap="continue")
    for number in range(1, 11):
        (sender.send if number in {1, 4, 7, 10} else sender.lose)(b"%d" % number)
    for _ in range(8):
        side.pass_(31)
    assert side.gaps() == [(2, 3, True), (5, 6, True), (8, 9, True)]
    assert side.payloads() == [b"1", b"4", b"7", b"10"]
    assert side.metric("ferry_inner_missing_messages_total", channel="adt") == 6


def test_an_operator_gives_a_held_gap_up(sender, make):
    side = make()
    sender.send(b"1")
    sender.lose(b"2")
    sender.send(b"3")
    side.pass_()
    side.pass_(31)
    given = side.streams.give_up(sender.stream_id, "wang")
    assert given.done
    assert given.detail == "gave up files 2 to 2"
    side.pass_()
    assert side.payloads() == [b"1", b"3"]
    assert side.gaps() == [(2, 2, True)]
    (event,) = side.audit.of("gap_given_up")
    assert event["by"] == "wang"
    assert len(side.audit.of("gap_opened")) == 1
    assert not side.streams.give_up(sender.stream_id, "wang").done


# --- refused files ------------------------------------------------------------------------------


def test_a_damaged_file_is_quarantined_once_and_its_place_held_until_a_resend(sender, make):
    side = make()
    sender.send(b"1")
    data = sender.seal(sender.envelope(b"2")).data
    sender.place(2, data[:-1] + bytes([data[-1] ^ 1]))
    sender.send(b"3")
    for _ in range(3):
        side.pass_(1)
    assert side.reasons() == ["bad_signature"]
    assert side.payloads() == [b"1"]
    side.restart()
    side.pass_(31)
    side.pass_(31)
    assert side.reasons() == ["bad_signature"]
    assert len(side.audit.of("file_refused")) == 1
    assert side.gaps() == [(2, 2, False)]
    (event,) = side.audit.of("gap_opened")
    assert event["refused_file"]
    sender.publish(2)
    side.pass_()
    assert side.payloads() == [b"1", b"2", b"3"]
    assert side.gaps() == []


def test_a_bad_file_alone_makes_no_gap_be_given_up(sender, make):
    side = make(on_gap="continue")
    sender.send(b"1")
    sender.place(2, b"garbage" * 1000)
    sender.place(50, b"garbage" * 1000)
    for _ in range(3):
        side.pass_(31)
    assert side.gaps() == [(2, 2, False)]
    (intake,) = side.streams.trusted
    assert intake.state.next_sequence == 2
    assert not side.streams.give_up(sender.stream_id, "wang").done
    sender.send(b"2")
    side.pass_()
    assert side.payloads() == [b"1", b"2"]


def test_a_file_of_a_key_that_is_not_yet_valid_is_taken_once_it_is(sender, make):
    later = make(opener=opener(trusted(not_before_ms=2**52)))
    sender.send(b"1")
    later.pass_()
    later.pass_()
    assert later.reasons() == ["key_not_valid_now"]
    later.close()
    side = make()
    side.pass_()
    assert side.payloads() == [b"1"]


# --- streams ------------------------------------------------------------------------------------


def test_another_stream_of_the_sender_waits_for_an_operator(sender, make, places):
    side = make()
    sender.send(b"old")
    side.pass_()
    new = SendingSide(places[0])
    new.send(b"new")
    for _ in range(3):
        side.pass_()
    side.restart()
    side.pass_()
    assert side.payloads() == [b"old"]
    assert side.reasons() == ["unknown_stream"]
    assert len(side.audit.of("stream_refused")) == 1
    assert side.streams.accept(new.stream_id, "wang").done
    new.send(b"newer")
    side.pass_()
    sender.send(b"from the retired one")
    side.pass_()
    assert side.payloads() == [b"old", b"new", b"newer"]
    side.restart()
    assert {r.stream_id: r.state for r in side.streams.records()} == {
        sender.stream_id: "retired",
        new.stream_id: "trusted",
    }
    assert not side.streams.accept(new.stream_id, "wang").done
    assert not side.streams.accept(b"?" * 16, "wang").done


def test_a_stream_that_still_waits_for_files_is_not_retired(sender, make, places):
    side = make()
    sender.send(b"1")
    sender.lose(b"2")
    sender.send(b"3")
    side.pass_()
    new = SendingSide(places[0])
    new.send(b"new")
    side.pass_()
    given = side.streams.accept(new.stream_id, "wang")
    assert not given.done
    assert "give the gap up" in given.detail
    side.streams.give_up(sender.stream_id, "wang")
    side.pass_()
    assert side.streams.accept(new.stream_id, "wang").done
    side.pass_()
    assert side.payloads() == [b"1", b"3", b"new"]


def test_a_stream_is_read_to_its_end_before_another_takes_its_place(sender, make, places):
    side = make()
    sender.send(b"1")
    side.pass_()
    new = SendingSide(places[0])
    new.send(b"new")
    side.pass_()
    sender.send(b"2")
    sender.send(b"3")
    assert side.streams.accept(new.stream_id, "wang").done
    side.pass_()
    assert side.payloads() == [b"1", b"2", b"3", b"new"]


@pytest.mark.parametrize("case", ["garbage", "revoked key"])
def test_what_is_refused_in_the_old_streams_place_keeps_no_new_one_out(places, make, case):
    old = SendingSide(places[0])
    side = make()
    old.send(b"1")
    side.pass_()
    if case == "garbage":
        old.place(2, b"garbage" * 1000)
        new = SendingSide(places[0])
    else:
        old.send(b"by who stole the key")
        old.send(b"by who stole the key too")
        side.opener = opener(trusted(revoked=True), trusted(key_name="front-2"))
        side.restart()
        new = SendingSide(places[0], key_name="front-2")
    new.send(b"new")
    side.pass_(31)
    side.pass_(31)
    assert side.streams.accept(new.stream_id, "wang").done
    side.pass_()
    assert side.payloads() == [b"1", b"new"]
    (given_up,) = side.audit.of("gap_given_up")
    assert given_up["by"] == "wang"


def test_a_stream_beyond_those_on_record_can_be_accepted(sender, make, places, monkeypatch):
    monkeypatch.setattr("inner_agent.known_streams.REFUSED_KEPT_MAX", 2)
    side = make()
    sender.send(b"old")
    side.pass_()
    for _ in range(2):
        SendingSide(places[0]).send(b"made up")
    side.pass_()
    new = SendingSide(places[0])
    new.send(b"new")
    side.pass_()
    assert side.streams.refused() == 2
    assert side.streams.accept(new.stream_id, "wang").done
    side.pass_()
    assert side.payloads() == [b"old", b"new"]


def test_two_senders_have_a_stream_each(places, make):
    side = make(opener=opener(trusted(), trusted("ward", "ward-1", channels=frozenset({"lab"}))))
    front, ward = SendingSide(places[0]), SendingSide(places[0], key_name="ward-1")
    front.send(b"f")
    ward.send(b"w", channel="lab")
    side.pass_()
    assert (side.payloads(), side.payloads("lab")) == ([b"f"], [b"w"])


def test_a_sender_changes_its_key_within_its_stream(places, make):
    side = make(opener=opener(trusted(), trusted(key_name="front-2")))
    first = SendingSide(places[0])
    first.send(b"1")
    side.pass_()
    second = SendingSide(
        places[0], key_name="front-2", stream_id=first.stream_id, sequence=first.sequence,
        previous_digest=first.previous_digest, counts=first.counts,
    )  # fmt: skip
    second.send(b"2")
    side.pass_()
    assert side.payloads() == [b"1", b"2"]
