"""An object on its way out: parts in order, one ahead of what is durable, withdrawn if it fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ferry_format import limits, reasons
from ferry_format.envelope import Part, Tombstone
from ferry_format.identifiers import new_message_id
from ferry_format.parts import object_digest, part_digest
from ferry_format.reasons import FerryError, Refused, Unavailable
from outer_agent.admission import Admitted, Fingerprint, ObjectSubmission, PartOf, Receipt
from outer_agent.commit import Waiting
from outer_agent.object_crossing import ObjectCrossing
from tests.unit.outer_agent.test_commit import NOW_MS, Outer, message
from validators.verdict import Accepted, Rejected, Verdict

SIZE = 10


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PART_BYTES", 4)


@pytest.fixture
def outer(tmp_path: Path) -> Outer:
    return Outer(tmp_path)


def parts_of(message_id: bytes, channel: str = "adt") -> list[Waiting]:
    """The parts of an object of SIZE bytes."""
    cut = [b"abcd", b"efgh", b"ij"]
    digest = object_digest(map(part_digest, cut))
    return [
        Waiting(
            Admitted(
                message_id,
                channel,
                NOW_MS,
                "a/b",
                payload,
                None,
                PartOf(SIZE, number, digest if number == len(cut) else b""),
            ),
            "refuse",
        )
        for number, payload in enumerate(cut, start=1)
    ]


def entries(outer: Outer) -> list[tuple[str, int, object]]:
    return [
        (type(entry).__name__, entry.channel_sequence, getattr(entry, "number", None))
        for content in outer.files()
        for entry in content.entries
    ]


def test_each_part_has_a_channel_sequence_of_its_own(outer: Outer) -> None:
    first, second, last = parts_of(new_message_id(NOW_MS))
    for batch in ([message()], [first], [message(), second], [last, message()]):
        assert all(isinstance(one, Receipt) for one in outer.committer.commit(batch))
    assert entries(outer) == [
        ("Envelope", 1, None),
        ("Part", 2, 1),
        ("Envelope", 3, None),
        ("Part", 4, 2),
        ("Part", 5, 3),
        ("Envelope", 6, None),
    ]
    assert outer.spool.open_objects() == {}


def test_what_was_abandoned_is_withdrawn_by_the_next_file_be_it_a_heartbeat(outer: Outer) -> None:
    message_id = new_message_id(NOW_MS)
    outer.committer.commit([parts_of(message_id)[0]])
    outer.committer.abandon(message_id)
    outer.committer.heartbeat()
    [tombstone] = outer.files()[-1].entries
    assert isinstance(tombstone, Tombstone)
    assert (tombstone.message_id, tombstone.channel_sequence) == (message_id, 2)
    assert tombstone.reason == "object_abandoned"
    outer.committer.heartbeat()
    assert outer.files()[-1].entries == ()
    assert outer.spool.open_objects() == {}


def test_nothing_is_withdrawn_of_an_object_that_never_began_or_is_whole(outer: Outer) -> None:
    message_id = new_message_id(NOW_MS)
    for part in parts_of(message_id):
        outer.committer.commit([part])
    outer.committer.abandon(message_id)
    outer.committer.abandon(new_message_id(NOW_MS))
    outer.committer.heartbeat()
    assert outer.files()[-1].entries == ()


def test_after_a_crash_what_was_half_sent_is_withdrawn(outer: Outer) -> None:
    message_id = new_message_id(NOW_MS)
    outer.committer.commit(parts_of(message_id)[:1])
    outer.restart()
    assert outer.spool.open_objects() == {message_id: "adt"}
    outer.committer.commit([message("lab")])
    tombstone, other = outer.files()[-1].entries
    assert (tombstone.message_id, tombstone.channel, other.channel) == (message_id, "adt", "lab")
    outer.restart()
    assert outer.spool.open_objects() == {}


def test_a_tombstone_that_could_not_be_stored_is_written_later(outer: Outer) -> None:
    message_id = new_message_id(NOW_MS)
    outer.committer.commit(parts_of(message_id)[:1])
    outer.committer.abandon(message_id)
    outer.medium.fail_stage = Unavailable(reasons.MEDIUM_FULL)
    assert isinstance(outer.committer.commit([message()])[0], Unavailable)
    outer.medium.fail_stage = None
    outer.committer.commit([message()])
    assert [entry[0] for entry in entries(outer)] == ["Part", "Tombstone", "Envelope"]


def test_a_part_whose_file_nobody_saw_is_withdrawn_and_then_the_object(outer: Outer) -> None:
    message_id = new_message_id(NOW_MS)
    first, second, _ = parts_of(message_id)
    outer.committer.commit([first])
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.publish_failures = 1
    assert isinstance(outer.committer.commit([second])[0], Unavailable)
    outer.committer.abandon(message_id)
    outer.committer.heartbeat()
    assert [entry[:2] for entry in entries(outer)] == [
        ("Part", 1),
        ("Tombstone", 2),
        ("Tombstone", 3),
    ]


class InMemory:
    """Validation and publication that keep what they are given."""

    def __init__(self) -> None:
        self.published: list[Admitted] = []
        self.abandoned: list[bytes] = []
        self.known: dict[Fingerprint, bytes] = {}
        self.judged: list[bytes] = []
        self.verdict: Verdict | None = None
        self.fails_at: int | None = None
        self.durable = asyncio.Semaphore(1000)
        self.taken_by_another = False

    async def validate(self, _channel: str, payload: bytes) -> Verdict:
        self.judged.append(payload)
        return self.verdict or Accepted(payload.upper(), "a/b", None)

    async def publish(self, admitted: Admitted, *, reuse: str) -> Receipt:
        await self.durable.acquire()
        assert admitted.part is not None
        if admitted.part.number == self.fails_at:
            raise Unavailable(reasons.MEDIUM_FULL)
        self.published.append(admitted)
        if admitted.fingerprint is not None:
            if self.taken_by_another:
                return Receipt(b"another", duplicate=True)
            self.known[admitted.fingerprint] = admitted.message_id
        return Receipt(admitted.message_id, duplicate=False)

    async def find(self, fingerprint: Fingerprint) -> Receipt | None:
        known = self.known.get(fingerprint)
        return None if known is None else Receipt(known, duplicate=True)

    async def knows_key(self, key_digest: bytes) -> bool:
        return any(one.key_digest == key_digest for one in self.known)

    async def abandon(self, message_id: bytes) -> None:
        self.abandoned.append(message_id)

    def crossing(self, message_id: bytes = b"one", key: bytes | None = b"key") -> ObjectCrossing:
        submission = ObjectSubmission("image", "pacs", SIZE, None, key, NOW_MS)
        return ObjectCrossing(submission, message_id, "a/b", self, self, bytes(32))


class Body:
    """A sender's bytes; counts what was read, and may end early."""

    def __init__(self, data: bytes, ends_with: FerryError | None = None) -> None:
        self.left = data
        self.ends_with = ends_with

    async def read(self, size: int) -> bytes:
        if len(self.left) < size:
            raise self.ends_with or AssertionError("read beyond the end")
        piece, self.left = self.left[:size], self.left[size:]
        return piece


async def test_an_object_is_cut_judged_by_its_beginning_and_digested() -> None:
    site = InMemory()
    crossing = await site.crossing().carry(Body(b"abcdefghij").read)
    assert crossing.receipt == Receipt(b"one", duplicate=False)
    assert site.judged == [b"abcd"]
    assert [one.payload for one in site.published] == [b"ABCD", b"efgh", b"ij"]
    places = [one.part for one in site.published]
    digest = object_digest(map(part_digest, [b"ABCD", b"efgh", b"ij"]))
    assert places == [PartOf(10, 1, b""), PartOf(10, 2, b""), PartOf(10, 3, digest)]
    assert [one.fingerprint is None for one in site.published] == [True, True, False]
    assert site.abandoned == []


async def test_no_more_than_one_part_is_read_ahead_of_what_is_durable() -> None:
    site, body = InMemory(), Body(b"abcdefghij")
    site.durable = asyncio.Semaphore(0)
    carrying = asyncio.create_task(site.crossing().carry(body.read))
    await asyncio.sleep(0.3)
    assert body.left == b"ij"  # part 1 waits to be durable, part 2 is in hand, part 3 is not read
    for _ in range(3):
        site.durable.release()
    assert (await carrying).receipt == Receipt(b"one", duplicate=False)


@pytest.mark.parametrize("failure", [Unavailable(reasons.STOPPING), Refused(reasons.NOT_DECODABLE)])
async def test_a_body_that_ends_early_withdraws_what_was_published(failure: FerryError) -> None:
    site = InMemory()
    with pytest.raises(type(failure)):
        await site.crossing().carry(Body(b"abcdef", failure).read)
    assert len(site.published) == 1
    assert site.abandoned == [b"one"]


async def test_a_part_that_cannot_be_published_withdraws_the_object() -> None:
    site = InMemory()
    site.fails_at = 2
    with pytest.raises(Unavailable, match="medium_full"):
        await site.crossing().carry(Body(b"abcdefghij").read)
    assert site.abandoned == [b"one"]


async def test_what_the_validator_refuses_is_not_published() -> None:
    site = InMemory()
    site.verdict = Rejected(reasons.NOT_WELL_FORMED, "not a/b")
    with pytest.raises(Refused, match="not a/b"):
        await site.crossing().carry(Body(b"abcdefghij").read)
    assert site.published == []


async def test_a_beginning_that_would_change_its_length_is_refused() -> None:
    site = InMemory()
    site.verdict = Accepted(b"abc", "a/b", None)
    with pytest.raises(Refused, match="not_well_formed"):
        await site.crossing().carry(Body(b"abcdefghij").read)


async def test_the_same_object_again_gets_its_receipt_and_is_not_published() -> None:
    site = InMemory()
    await site.crossing().carry(Body(b"abcdefghij").read)
    again = await site.crossing(b"two").carry(Body(b"abcdefghij").read)
    assert (again.receipt, again.admitted) == (Receipt(b"one", duplicate=True), None)
    with pytest.raises(Refused, match="id_reused"):
        await site.crossing(b"three").carry(Body(b"abcdefghiX").read)
    assert len(site.published) == 3


async def test_of_two_equal_ones_at_the_same_time_the_second_is_withdrawn() -> None:
    site = InMemory()
    site.taken_by_another = True
    crossing = await site.crossing().carry(Body(b"abcdefghij").read)
    assert crossing.receipt == Receipt(b"another", duplicate=True)
    assert site.abandoned == [b"one"]


def test_a_part_is_of_the_size_that_the_format_says(outer: Outer) -> None:
    [first, *_] = parts_of(new_message_id(NOW_MS))
    short = replace(first, admitted=replace(first.admitted, payload=b"abc"))
    [outcome] = outer.committer.commit([short])
    assert isinstance(outcome, Refused)
    assert outer.spool.open_objects() == {}
    outer.committer.commit([first])
    assert isinstance(outer.files()[-1].entries[0], Part)
