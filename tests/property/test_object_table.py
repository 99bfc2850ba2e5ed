"""Parts in any order, again, after withdrawals and over crashes: an object is whole or nothing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ferry_format import limits
from ferry_format.container import GENESIS_DIGEST
from ferry_format.envelope import Part, Tombstone
from ferry_format.parts import object_digest, part_bytes, part_count, part_digest
from ferry_format.stream import Link
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal import JournalReader, StreamRecord
from inner_agent.journal_batch import Batch, TakenFile
from inner_agent.journal_writer import JournalWriter
from inner_agent.object_table import NewPart

CIPHER = PayloadCipher(bytes(32))
STREAM = b"s" * 16
SMALL_PART_BYTES = 4


def parts_of(number: int, size: int) -> list[Part]:
    """All parts of an object; its bytes follow from its number."""
    data = bytes((number * 31 + at) % 251 for at in range(size))
    count = part_count(size)
    cut, at = [], 0
    for one in range(1, count + 1):
        cut.append(data[at : at + part_bytes(size, one)])
        at += len(cut[-1])
    digest = object_digest(map(part_digest, cut))
    return [
        Part(
            number.to_bytes(16, "big"),
            "image",
            number * 100 + one,
            7,
            "application/dicom",
            size,
            one,
            digest if one == count else b"",
            cut[one - 1],
        )
        for one in range(1, count + 1)
    ]


@dataclass
class Expected:
    """What a receiver that had all the time in the world would hold of one object."""

    parts: list[Part]
    seen: set[int] = field(default_factory=set)
    closed: bool = False
    whole: bool = False


class Objects(RuleBasedStateMachine):
    """The journal's objects against a reference that keeps everything in memory."""

    @initialize(sizes=st.lists(st.integers(1, 19), min_size=1, max_size=3))
    def begin(self, sizes: list[int]) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "PART_BYTES", SMALL_PART_BYTES)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        self.expected = [Expected(parts_of(n, size)) for n, size in enumerate(sizes, start=1)]
        self.files = 0
        self.order: list[int] = []
        self.open()

    def open(self) -> None:
        self.writer = JournalWriter(self.path, CIPHER)

    def file(self, parts: tuple[Part, ...] = (), tombstones: tuple[Tombstone, ...] = ()) -> Batch:
        self.files += 1
        link = Link(self.files.to_bytes(32, "big"), GENESIS_DIGEST)
        new = tuple(NewPart(part, part.payload) for part in parts)
        file = TakenFile(
            self.files,
            link,
            len(new),
            late=False,
            messages=(),
            tombstones=tombstones,
            refused=(),
            parts=new,
        )
        stream = StreamRecord(STREAM, "front", "trusted", self.files + 1, b"d" * 32, 1, 2, 3)
        return Batch(1000 + self.files, stream, (file,), {})

    def one(self, data: st.DataObject) -> Expected:
        return self.expected[data.draw(st.integers(0, len(self.expected) - 1))]

    @rule(data=st.data())
    def a_part_comes(self, data: st.DataObject) -> None:
        one = self.one(data)
        part = data.draw(st.sampled_from(one.parts))
        taken = self.writer.take(self.file((part,)))
        is_news = not one.closed and not one.whole and part.number not in one.seen
        if is_news:
            one.seen.add(part.number)
            one.whole = len(one.seen) == len(one.parts)
        assert [ended.message_id for ended in taken.objects] == (
            [part.message_id] if is_news and one.whole else []
        )
        if is_news and one.whole:
            self.order.append(int.from_bytes(part.message_id, "big"))

    @rule(data=st.data())
    def a_part_that_contradicts_the_others_comes(self, data: st.DataObject) -> None:
        one = self.one(data)
        if len(one.parts) == 1 and not one.seen:
            return  # a lawful object of its own
        odd = replace(data.draw(st.sampled_from(one.parts)), accepted_at_ms=8)
        taken = self.writer.take(self.file((odd,)))
        if one.seen and not one.closed and not one.whole:
            one.closed = True
            assert [ended.refused.code for ended in taken.objects if ended.refused] == [
                "object_broken"
            ]
        elif not one.seen and not one.closed:
            # The first part that comes is the one that the others are held against.
            self.writer.take(self.file(tombstones=(self.tombstone(one),)))
            one.closed = True

    @rule(data=st.data())
    def it_is_withdrawn(self, data: st.DataObject) -> None:
        one = self.one(data)
        self.writer.take(self.file(tombstones=(self.tombstone(one),)))
        one.closed = one.closed or (bool(one.seen) and not one.whole)

    def tombstone(self, one: Expected) -> Tombstone:
        return Tombstone(one.parts[0].message_id, "image", 99_000 + self.files, 9, "gone")

    @rule()
    def the_verifier_crashes(self) -> None:
        self.writer.close()
        self.open()

    @rule(data=st.data())
    def it_crashes_before_the_commit(self, data: st.DataObject) -> None:
        """The part's file is there, and no row that names it."""
        part = data.draw(st.sampled_from(self.one(data).parts))
        batch = self.file((part,))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.writer, "_progress", self.interrupted)
            with pytest.raises(KeyboardInterrupt):
                self.writer.take(batch)

    @staticmethod
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    @invariant()
    @precondition(lambda self: hasattr(self, "writer"))
    def what_is_whole_reads_as_it_was_sent_and_nothing_else_is_a_message(self) -> None:
        with JournalReader(self.path, CIPHER) as reader:
            messages = reader.waiting("image", 0, 100)
            assert [int.from_bytes(one.message_id, "big") for one in messages] == self.order
            for message in messages:
                parts = self.expected[int.from_bytes(message.message_id, "big") - 1].parts
                assert message.large is not None
                numbers = range(1, message.large.parts + 1)
                assert [message.large.read(n) for n in numbers] == [part.payload for part in parts]
                assert message.channel_sequence == parts[-1].channel_sequence

    @rule()
    def after_a_restart_only_the_parts_of_living_objects_are_kept(self) -> None:
        self.the_verifier_crashes()
        kept = {path.name for path in (self.path.parent / "objects").iterdir()}
        living = {
            one.parts[0].message_id.hex()
            for one in self.expected
            if one.whole or (one.seen and not one.closed)
        }
        assert kept == living

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self.writer.close()
            self.folder.cleanup()
            self.patch.undo()


TestObjects = Objects.TestCase
TestObjects.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
