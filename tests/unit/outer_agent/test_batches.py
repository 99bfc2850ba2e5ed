"""An HL7 batch at the intake: its messages are admitted one by one, and once."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from outer_agent.admission import Receipt, Submission
from tests.simulator.messages import adt
from tests.simulator.outer_inside import HL7, OuterInside, channel

BHS = b"BHS|^~\\&|LAB|NET|HIS|HOSP|20260101||||BATCH-1|\r"


def batch(*messages: bytes) -> bytes:
    return BHS + b"".join(messages) + b"BTS|%d\r" % len(messages)


def submission(payload: bytes, **fields) -> Submission:
    values = {
        "channel": "adt",
        "sender": "his-front",
        "content_type": None,
        "duplicate_key": None,
        "received_at_ms": 1_700_000_000_000,
    }
    return Submission(payload=payload, **(values | fields))


def inside(**fields) -> OuterInside:
    return OuterInside([channel("adt", HL7, batches="split", **fields)])


async def test_each_message_crosses_by_itself_in_the_batchs_order() -> None:
    outer = inside()
    outer.pool.slow[adt("1")] = 0.02
    taken = await outer.intake.submit_batch(submission(batch(adt("1"), adt("2"), adt("3"))))
    assert taken.is_taken
    assert outer.publisher.payloads == [adt("1"), adt("2"), adt("3")]
    assert outer.count("admitted") == 3


async def test_a_refused_message_does_not_hold_up_the_others() -> None:
    outer = inside()
    sent = batch(adt("1"), adt("2", "REFUSE"), adt("3"))
    taken = await outer.intake.submit_batch(submission(sent))
    assert not taken.is_taken
    assert taken.deferred is None
    assert [number for number, _ in taken.refused] == [2]
    assert outer.publisher.payloads == [adt("1"), adt("3")]


async def test_a_batch_that_is_sent_again_after_half_of_it_was_taken_crosses_once() -> None:
    outer = inside()
    sent = batch(*(adt(str(number)) for number in range(6)))
    outer.publisher.failing = [None, None, Unavailable(reasons.MEDIUM_FULL)] * 2
    first = await outer.intake.submit_batch(submission(sent))
    assert first.deferred is not None
    outer.publisher.failing = []
    again = await outer.intake.submit_batch(submission(sent))
    assert again.is_taken
    assert sorted(outer.publisher.payloads) == [adt(str(number)) for number in range(6)]
    for before, after in zip(first.outcomes, again.outcomes, strict=True):
        if isinstance(before, Receipt):
            assert after == Receipt(before.message_id, duplicate=True)


async def test_messages_without_ids_are_told_apart_by_their_place() -> None:
    outer = inside()
    anonymous = adt("")
    sent = submission(batch(anonymous, anonymous), duplicate_key=b"night.hl7")
    assert (await outer.intake.submit_batch(sent)).is_taken
    assert (await outer.intake.submit_batch(sent)).is_taken
    assert outer.publisher.payloads == [anonymous, anonymous]


async def test_a_batch_spends_its_messages_or_nothing() -> None:
    outer = inside(rate_per_s=0.001, burst=3, batch_messages_max=3)
    assert (await outer.intake.submit_batch(submission(batch(adt("1"), adt("2"))))).is_taken
    with pytest.raises(Unavailable) as later:
        await outer.intake.submit_batch(submission(batch(adt("3"), adt("4"))))
    assert later.value.reason is reasons.RATE_LIMITED
    assert (await outer.intake.submit_batch(submission(batch(adt("5"))))).is_taken
    assert outer.publisher.payloads == [adt("1"), adt("2"), adt("5")]


@pytest.mark.parametrize(
    ("payload", "fields", "reason"),
    [
        (batch(adt("1")), {"sender": "stranger"}, reasons.SENDER_NOT_ALLOWED),
        (batch(adt("1")) + b"x" * 3000, {}, reasons.MESSAGE_TOO_LARGE),
        (BHS + adt("1"), {}, reasons.NOT_WELL_FORMED),
        (batch(adt("1"), adt("2"), adt("3")), {}, reasons.LIMIT_EXCEEDED),
        (batch(adt("1")), {"content_type": "text/html"}, reasons.CONTENT_TYPE_NOT_ALLOWED),
    ],
)
async def test_what_is_wrong_with_a_batch_is_told_before_any_message_is_looked_at(
    payload, fields, reason
) -> None:
    outer = inside(batch_bytes_max=3000, batch_messages_max=2)
    with pytest.raises(Refused) as refused:
        await outer.intake.submit_batch(submission(payload, **fields))
    assert refused.value.reason is reason
    assert outer.pool.seen == []
    assert outer.count("refused", reason) == 1


async def test_a_message_of_a_batch_is_held_to_the_size_of_a_message() -> None:
    outer = inside(message_bytes_max=250)
    taken = await outer.intake.submit_batch(submission(batch(adt("1"), adt("2", "x" * 300))))
    assert [failure.reason for _, failure in taken.refused] == [reasons.MESSAGE_TOO_LARGE]
    assert outer.intake.message_bytes_max("adt") == 4 * 1024 * 1024


def test_a_channel_takes_batches_apart_only_where_it_says_so() -> None:
    assert inside().intake.is_batch("adt", batch(adt("1")))
    assert not inside().intake.is_batch("adt", adt("1"))
    assert not inside().intake.is_batch("other", batch(adt("1")))
    assert not OuterInside([channel("adt", HL7)]).intake.is_batch("adt", batch(adt("1")))
