"""The one way in: order of its steps, repetitions, what is counted, logged and audited."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from outer_agent.admission import ObjectSubmission, Receipt, Submission
from tests.simulator.messages import adt
from tests.simulator.outer_inside import HL7, OuterInside, channel, unavailable
from validators.policy import ContentPolicy

SECRET = "ZHANG^SAN"


def submission(payload: bytes = b"{}", **fields) -> Submission:
    values = {
        "channel": "orders",
        "sender": "his-front",
        "content_type": None,
        "duplicate_key": None,
        "received_at_ms": 1_700_000_000_000,
    } | fields
    return Submission(payload=payload, **values)


def hl7(control_id: str = "1", text: str = "张三", **fields) -> Submission:
    return submission(adt(control_id, text), channel="adt", **fields)


async def refusal_of(inside: OuterInside, sent: Submission):
    with pytest.raises((Refused, Unavailable)) as refusal:
        await inside.intake.submit(sent)
    return refusal.value


async def test_what_crosses_is_the_rebuilt_message_under_a_new_id() -> None:
    inside = OuterInside()
    receipt = await inside.intake.submit(submission(b'{"a":1}', received_at_ms=0x0123456789AB))
    (taken,) = inside.publisher.taken
    assert receipt == Receipt(taken.message_id, duplicate=False)
    assert taken.message_id[:6] == bytes.fromhex("0123456789AB")
    assert taken.payload == b'rebuilt:{"a":1}'
    assert (taken.channel, taken.content_type) == ("orders", "application/json")
    assert taken.accepted_at_ms == 0x0123456789AB
    assert inside.count("admitted", channel="orders") == 1


async def test_no_receipt_before_the_publisher_is_done() -> None:
    inside = OuterInside()
    inside.publisher.may_commit.clear()
    submitting = asyncio.create_task(inside.intake.submit(submission()))
    await asyncio.sleep(0.02)
    assert not submitting.done()
    assert inside.audit.records == []
    inside.publisher.may_commit.set()
    assert isinstance(await submitting, Receipt)


async def test_what_is_turned_away_is_not_even_validated() -> None:
    inside = OuterInside()
    inside.fill()
    failure = await refusal_of(inside, submission())
    assert isinstance(failure, Unavailable)
    assert failure.reason is reasons.MEDIUM_FULL
    assert inside.pool.seen == []
    assert inside.count("deferred", reasons.MEDIUM_FULL, channel="orders") == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"channel": "none"}, reasons.CHANNEL_UNKNOWN),
        ({"sender": "pacs"}, reasons.SENDER_NOT_ALLOWED),
        ({"payload": b""}, reasons.MESSAGE_EMPTY),
        ({"payload": b"x" * 100_001}, reasons.MESSAGE_TOO_LARGE),
        ({"content_type": "text/plain"}, reasons.CONTENT_TYPE_NOT_ALLOWED),
    ],
)
async def test_what_admission_refuses_is_not_validated(fields, reason) -> None:
    inside = OuterInside()
    assert (await refusal_of(inside, submission(**fields))).reason is reason
    assert inside.pool.seen == []
    assert inside.publisher.calls == 0


async def test_what_the_validator_rejects_is_refused_with_reason_and_place() -> None:
    inside = OuterInside()
    failure = await refusal_of(inside, submission(b"REFUSE"))
    assert isinstance(failure, Refused)
    assert (failure.reason, failure.where) == (reasons.SEGMENT_NOT_ALLOWED, "segment 2")
    assert inside.publisher.calls == 0
    assert inside.count("refused", reasons.SEGMENT_NOT_ALLOWED, channel="orders") == 1


async def test_what_grows_beyond_the_channels_limit_is_refused_before_custody_is_taken() -> None:
    inside = OuterInside()
    most = b"x" * (100_000 - len(b"rebuilt:"))
    assert isinstance(await inside.intake.submit(submission(most)), Receipt)
    failure = await refusal_of(inside, submission(most + b"x"))
    assert (failure.reason, failure.where) == (reasons.MESSAGE_TOO_LARGE, "rebuilt message")
    assert len(inside.publisher.taken) == 1


async def test_a_repetition_gets_the_first_receipt_and_crosses_once() -> None:
    inside = OuterInside()
    first = await inside.intake.submit(hl7())
    again = await inside.intake.submit(hl7())
    assert again == Receipt(first.message_id, duplicate=True)
    assert len(inside.publisher.taken) == 1
    assert (inside.count("admitted"), inside.count("repeated")) == (1, 1)
    assert inside.audit.events == ["message_admitted", "message_repeated"]


async def test_custody_once_taken_is_told_again_even_if_the_message_would_be_refused_today() -> (
    None
):
    inside = OuterInside()
    first = await inside.intake.submit(hl7(text="refuse"))
    inside.pool.validate = rejecting  # the security administrator changed the policy
    assert await inside.intake.submit(hl7(text="refuse")) == Receipt(
        first.message_id, duplicate=True
    )
    assert (await refusal_of(inside, hl7("2"))).reason is reasons.VERSION_NOT_ALLOWED
    assert inside.audit.events == ["message_admitted", "message_repeated", "message_refused"]


async def rejecting(_channel: str, _payload: bytes):
    from validators.verdict import Rejected

    return Rejected(reasons.VERSION_NOT_ALLOWED, "MSH-12")


async def test_an_old_id_opens_no_way_around_validation() -> None:
    inside = OuterInside()
    await inside.intake.submit(hl7("1", "good"))
    failure = await refusal_of(inside, hl7("1", "REFUSE"))
    assert failure.reason is reasons.SEGMENT_NOT_ALLOWED
    assert len(inside.publisher.taken) == 1


async def test_nor_does_it_for_a_sender_that_lost_its_channel() -> None:
    inside = OuterInside()
    await inside.intake.submit(hl7())
    assert (await refusal_of(inside, hl7(sender="pacs"))).reason is reasons.SENDER_NOT_ALLOWED


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (hl7("1"), hl7("1"), True),
        (hl7("1"), hl7("2"), False),
        (hl7("1", "a"), hl7("1", "b"), False),
        # The header counts for HL7, whatever name the protocol has for it.
        (hl7("1", duplicate_key=b"x"), hl7("1", duplicate_key=b"y"), True),
        (submission(b"1", duplicate_key=b"x"), submission(b"1", duplicate_key=b"x"), True),
        (submission(b"1", duplicate_key=b"x"), submission(b"1", duplicate_key=b"y"), False),
        (submission(b"1", duplicate_key=b"x"), submission(b"2", duplicate_key=b"x"), False),
        # Without any key nothing says that it is the same message again.
        (submission(b"1"), submission(b"1"), False),
    ],
)
async def test_which_messages_are_the_same(one, other, same) -> None:
    inside = OuterInside()
    first = await inside.intake.submit(one)
    assert ((await inside.intake.submit(other)).message_id == first.message_id) == same


async def test_an_hl7_message_without_an_id_is_known_by_its_protocols_key() -> None:
    inside = OuterInside()
    first = await inside.intake.submit(hl7("", duplicate_key=b"file-1"))
    again = await inside.intake.submit(hl7("", duplicate_key=b"file-1"))
    assert again == Receipt(first.message_id, duplicate=True)


async def test_an_id_used_again_is_refused_where_the_channel_says_so() -> None:
    inside = OuterInside([channel("adt", HL7, same_id_other_bytes="refuse")])
    await inside.intake.submit(hl7("1", "a"))
    assert (await refusal_of(inside, hl7("1", "b"))).reason is reasons.ID_REUSED


async def test_the_rate_is_held_per_sender_and_channel() -> None:
    rules = [
        channel("orders", rate_per_s=0.001, burst=2, senders=("his-front", "pacs")),
        channel("lab"),
    ]
    inside = OuterInside(rules)
    for _ in range(2):
        await inside.intake.submit(submission())
    failure = await refusal_of(inside, submission())
    assert isinstance(failure, Unavailable)
    assert failure.reason is reasons.RATE_LIMITED
    await inside.intake.submit(submission(sender="pacs"))
    await inside.intake.submit(submission(channel="lab"))


async def test_a_batch_keeps_its_order_however_its_validations_end() -> None:
    inside = OuterInside()
    payloads = [f"{n}".encode() for n in range(20)]
    inside.pool.slow = {payload: 0.02 - n * 0.001 for n, payload in enumerate(payloads)}
    outcomes = await inside.intake.submit_in_order([submission(each) for each in payloads])
    assert inside.publisher.payloads == payloads
    assert [outcome.message_id for outcome in outcomes] == [
        taken.message_id for taken in inside.publisher.taken
    ]


async def test_a_refused_message_of_a_batch_holds_nobody_up() -> None:
    inside = OuterInside()
    sent = [submission(payload) for payload in (b"1", b"REFUSE", b"3")]
    outcomes = await inside.intake.submit_in_order(sent)
    assert [type(outcome) for outcome in outcomes] == [Receipt, Refused, Receipt]
    assert inside.publisher.payloads == [b"1", b"3"]


async def test_behind_a_message_that_cannot_be_taken_now_all_wait_and_only_it_is_counted() -> None:
    inside = OuterInside([channel("orders", rate_per_s=0.001, burst=2)])
    sent = [submission(payload) for payload in (b"1", b"2", b"3", b"4", b"5")]
    outcomes = await inside.intake.submit_in_order(sent)
    assert [type(outcome) for outcome in outcomes] == [Receipt, Receipt, *[Unavailable] * 3]
    assert inside.publisher.payloads == [b"1", b"2"]
    assert inside.count("deferred", reasons.RATE_LIMITED, channel="orders") == 1


async def test_a_batch_of_nothing_is_nothing() -> None:
    assert await OuterInside().intake.submit_in_order([]) == []


async def test_a_failed_commit_is_told_to_each_of_its_messages() -> None:
    inside = OuterInside()
    inside.publisher.failing = [unavailable(), unavailable()]
    outcomes = await inside.intake.submit_in_order([submission(b"1"), submission(b"2")])
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert inside.count("deferred", reasons.MEDIUM_UNAVAILABLE, channel="orders") == 2


async def test_a_defect_of_ours_is_told_as_not_now() -> None:
    inside = OuterInside()
    inside.pool.failing = ZeroDivisionError(SECRET)
    failure = await refusal_of(inside, submission())
    assert isinstance(failure, Unavailable)
    assert failure.reason is reasons.INTAKE_FAULT
    (outcome,) = await inside.intake.submit_in_order([submission()])
    assert outcome.reason is reasons.INTAKE_FAULT
    assert SECRET not in str(outcome)


async def test_nothing_of_a_message_is_logged_counted_or_audited_but_its_ids(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    inside = OuterInside()
    secret = SECRET.replace("^", "")
    await inside.intake.submit(hl7("ID-1", secret))
    await refusal_of(inside, hl7("2", secret + "REFUSE"))
    await refusal_of(inside, submission(secret.encode(), channel=secret, sender="his-front"))
    from prometheus_client import generate_latest

    told = json.dumps([repr(record.__dict__) for record in caplog.records])
    told += repr(inside.audit.records) + generate_latest(inside.registry).decode()
    assert secret not in told
    assert "ID-1" in told


async def test_an_unknown_channel_makes_no_label() -> None:
    inside = OuterInside()
    await refusal_of(inside, submission(channel="made-up"))
    assert inside.count("refused", reasons.CHANNEL_UNKNOWN, channel="unknown") == 1


async def test_the_sources_learn_each_channels_limit() -> None:
    inside = OuterInside([channel("orders", message_bytes_max=7)])
    assert inside.intake.message_bytes_max("orders") == 7
    assert inside.intake.message_bytes_max("none") == 0


async def test_a_slow_sender_of_objects_leaves_room_for_the_others() -> None:
    scans = ContentPolicy.model_validate({"object": {"type": "application/pdf", "bytes_max": 100}})
    inside = OuterInside([channel("scan", scans, senders=("slow", "other"))])
    read: asyncio.Queue[int] = asyncio.Queue()

    async def dribbled(size: int) -> bytes:
        read.put_nowait(size)
        await asyncio.Event().wait()
        return b""

    def sent(sender: str) -> asyncio.Task[Receipt]:
        what = ObjectSubmission("scan", sender, 100, None, None, 1_700_000_000_000)
        return asyncio.create_task(inside.intake.submit_object(what, dribbled))

    tasks = [sent("slow") for _ in range(8)]
    done, pending = await asyncio.wait(tasks, timeout=0.1)
    refusals = [task.exception() for task in done]
    assert [isinstance(one, Unavailable) and one.where for one in refusals] == [
        "4 objects of this sender are on their way"
    ] * 4
    tasks.append(sent("other"))
    for _ in range(len(pending) + 1):
        await read.get()
    assert not tasks[-1].done()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
