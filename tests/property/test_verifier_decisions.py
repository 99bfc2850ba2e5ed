"""The intake's pure decisions against plain models, and the whole intake against a simple one."""

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry_format import reasons
from ferry_format.container import GENESIS_DIGEST
from ferry_format.envelope import Beacon, Content, Envelope
from ferry_format.limits import SEQUENCE_MAX
from ferry_format.reasons import Refused
from ferry_format.stream import Gap, Link, StreamState, skip_to
from inner_agent import gap_watch
from inner_agent.gap_watch import GoOn, Missing, Report, Wait
from inner_agent.intake_decisions import (
    ChannelRule,
    Drop,
    Hold,
    OpenedFile,
    Standing,
    Take,
    count,
    judge_file,
    screen,
    settle,
    storable,
)
from inner_agent.journal_batch import NewMessage
from tests.simulator.sending_side import SendingSide
from tests.simulator.verifying_side import VerifyingSide
from validators.verdict import Accepted, Rejected

STREAM = b"s" * 16
EMPTY = Content(0, (), Beacon(()))


def link(sequence, flavour=0):
    previous = GENESIS_DIGEST if sequence == 1 else bytes([flavour]) + (sequence - 1).to_bytes(31)
    return Link(bytes([flavour]) + sequence.to_bytes(31), previous)


@given(
    st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), max_size=40),
)
def test_no_order_of_arrival_takes_a_sequence_twice_or_leaves_the_gaps_wrong(arrivals):
    """`gives_up`: an Ahead file is gone on to. `forged`: the file is of another chain."""
    standing = Standing(StreamState(STREAM), "front", {})
    taken: dict[int, Link] = {}
    for sequence, gives_up, forged in arrivals:
        opened = OpenedFile(STREAM, sequence, link(sequence, forged), "front", EMPTY)
        try:
            judgement = judge_file(standing, opened, taken.get)
        except Refused as error:
            assert error.reason in {reasons.CHAIN_BROKEN, reasons.SEQUENCE_REUSED}  # noqa: PT017
            continue
        match judgement:
            case Take():
                assert sequence not in taken
                taken[sequence] = opened.link
                standing = judgement.standing
            case Drop():
                assert taken[sequence] == opened.link
            case Hold(missing):
                assert missing == Gap(standing.state.next_sequence, sequence - 1)
                if gives_up:
                    state = skip_to(standing.state, sequence)
                    standing = Standing(state, standing.sender, standing.progress)
        expected = set(range(1, standing.state.next_sequence)) - taken.keys()
        assert {n for g in standing.state.gaps for n in range(g.first, g.last + 1)} == expected
    ordered = sorted(taken)
    for one, following in itertools.pairwise(ordered):
        if following == one + 1:
            assert taken[following].previous_digest == taken[one].digest


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_file_whose_record_was_pruned_is_dropped_and_never_taken_again(next_sequence, sequence):
    state = StreamState(STREAM, next_sequence, b"d" * 32)
    opened = OpenedFile(STREAM, sequence, link(sequence), "front", EMPTY)
    if sequence < next_sequence:
        assert judge_file(Standing(state, "front", {}), opened, lambda _: None) == Drop()


@given(st.binary(min_size=16, max_size=16), st.sampled_from(["front", "ward"]))
def test_a_file_of_another_stream_or_sender_is_refused(stream_id, sender):
    opened = OpenedFile(stream_id, 1, link(1), sender, EMPTY)
    standing = Standing(StreamState(STREAM), "front", {})
    if (stream_id, sender) == (STREAM, "front"):
        assert isinstance(judge_file(standing, opened, {}.get), Take)
        return
    with pytest.raises(Refused) as caught:
        judge_file(standing, opened, {}.get)
    assert caught.value.reason is reasons.UNKNOWN_STREAM


def test_the_last_sequence_of_all_is_refused_so_that_a_next_one_always_exists():
    standing = Standing(StreamState(STREAM, SEQUENCE_MAX, None), "front", {})
    opened = OpenedFile(STREAM, SEQUENCE_MAX, link(SEQUENCE_MAX), "front", EMPTY)
    with pytest.raises(Refused) as caught:
        judge_file(standing, opened, {}.get)
    assert caught.value.reason is reasons.BAD_FRAME


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=20))
def test_missing_channel_sequences_are_counted_exactly(files):
    """Each file: a channel, how many messages it carries, and whether it is lost."""
    given_out, received, lost, missing = {}, {}, {}, {}
    for channel, number, is_lost in files:
        first = given_out.get(channel, 0) + 1
        given_out[channel] = first + number - 1
        if is_lost:
            lost[channel] = lost.get(channel, 0) + number
            continue
        entries = tuple(
            Envelope(bytes(16), channel, first + i, 0, "a/b", b"x") for i in range(number)
        )
        beacon = Beacon(tuple(sorted((c, n) for c, n in given_out.items() if n)))
        received, shortfalls = count(received, Content(0, entries, beacon))
        for one in shortfalls:
            missing[one.channel] = missing.get(one.channel, 0) + one.messages
            assert one.last >= one.first
        # What was lost since the channel's last beacon is known now.
        assert missing == {c: n for c, n in lost.items() if n}


@given(st.sampled_from(["adt", "lab", "other"]), st.integers(1, 20), st.text(max_size=20))
def test_only_what_the_channels_rule_names_reaches_a_validator(channel, size, content_type):
    rules = {"adt": ChannelRule("application/json", 10)}
    envelope = Envelope(bytes(16), channel, 1, 0, content_type, bytes(size))
    refusal = screen(envelope, rules)
    good_type = content_type.partition(";")[0].strip().lower() == "application/json"
    assert (refusal is None) == (channel == "adt" and size <= 10 and good_type)


@given(st.binary(max_size=20), st.text(), st.none() | st.text())
def test_what_enters_the_journal_is_the_validators_and_always_storable(payload, kind, control_id):
    rules = {"adt": ChannelRule("application/json", 10)}
    envelope = Envelope(b"i" * 16, "adt", 7, 5, "application/json; charset=x", b"original")
    result = settle(envelope, Accepted(payload, kind, control_id), rules)
    if len(payload) > 10:
        assert isinstance(result, Rejected)
        return
    assert isinstance(result, NewMessage)
    assert (result.payload, result.content_type) == (payload, "application/json")
    result.message_type.encode()
    assert (result.control_id is None) == (control_id is None)


@given(st.text(st.characters(), max_size=300), st.integers(0, 50))
def test_any_text_becomes_storable_within_its_length(text, chars_max):
    stored = storable(text + "\ud800", chars_max)
    assert len(stored) <= chars_max
    stored.encode()


# --- the gap watch ------------------------------------------------------------------------------

MISSING = st.none() | st.builds(
    lambda first, more, can: Missing(Gap(first, first + more), can),
    st.integers(1, 5),
    st.integers(0, 3),
    st.booleans(),
)


@given(st.lists(st.tuples(MISSING, st.floats(0, 40)), max_size=30))
def test_a_gap_is_never_told_before_the_wait_nor_passed_without_a_later_file(looks):
    watch, now_s, since = None, 0.0, {}
    for missing, passed_s in looks:
        now_s += passed_s
        since = {} if missing is None else {missing.gap.first: since.get(missing.gap.first, now_s)}
        watch, step = gap_watch.look(watch, missing, now_s, 30.0)
        if isinstance(step, Wait):
            continue
        assert step.gap == missing.gap
        assert now_s - since[missing.gap.first] >= 30.0
        assert isinstance(step, GoOn) == missing.can_continue


@given(st.integers(1, 5), st.integers(0, 5), st.lists(st.floats(0, 40), max_size=20))
def test_an_unchanging_gap_is_told_exactly_once(first, more, passes):
    watch, now_s, told = None, 0.0, 0
    missing = Missing(Gap(first, first + more), can_continue=False)
    for passed_s in [*passes, 0, 31, 31]:
        now_s += passed_s
        watch, step = gap_watch.look(watch, missing, now_s, 30.0)
        told += isinstance(step, Report)
    assert told == 1


# --- the whole intake, real files -----------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 3)),
        st.tuples(st.just("lose"), st.integers(1, 2)),
        st.tuples(st.just("resend"), st.integers(1, 12)),
        st.tuples(st.just("damage"), st.integers(1, 12)),
        st.tuples(st.just("pass"), st.sampled_from([0, 1, 31])),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=50, deadline=None)
@given(STEPS, st.sampled_from(["hold", "continue"]))
def test_whatever_happens_on_the_medium_every_message_arrives_once_after_a_full_resend(
    steps, on_gap
):
    with tempfile.TemporaryDirectory() as folder:
        root, state = Path(folder, "medium"), Path(folder, "state")
        root.mkdir()
        state.mkdir()
        sender = SendingSide(root)
        side = VerifyingSide(root, state, on_gap=on_gap)
        try:
            sent = run_steps(steps, sender, side)
            # The operator's resend of everything mends whatever went wrong.
            for sequence in range(1, sender.sequence + 1):
                sender.publish(sequence)
            side.pass_()
            arrived = side.payloads()
            assert sorted(arrived) == sorted(sent)
            assert side.gaps() == []
            if on_gap == "hold":
                assert arrived == sent
        finally:
            side.close()


def run_steps(steps, sender, side):
    sent = []
    for step, value in [("send", 1), *steps]:
        if step in {"send", "lose"}:
            payloads = [b"%d.%d" % (sender.sequence, i) for i in range(value)]
            (sender.send if step == "send" else sender.lose)(*payloads)
            sent += payloads
        elif step == "resend" and value in sender.sealed:
            sender.publish(value)
        elif step == "damage" and value in sender.sealed:
            data = sender.sealed[value].data
            sender.place(value, data[:-1] + bytes([data[-1] ^ 1]))
        elif step == "pass":
            side.pass_(value)
        elif step == "restart":
            side.restart()
        journaled = side.payloads()
        assert len(journaled) == len(set(journaled))
    return sent
