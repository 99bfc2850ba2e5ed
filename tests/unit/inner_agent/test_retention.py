from dataclasses import replace

import pytest

from ferry_format import limits
from ferry_format.envelope import Part
from ferry_format.parts import object_digest, part_digest
from ferry_format.stream import Link
from inner_agent import retention as retention_module
from inner_agent.at_rest import PayloadCipher
from inner_agent.channel_gaps import MissingMessages
from inner_agent.delivery import Progress, State
from inner_agent.delivery_store import DeliveryStore, Outcome
from inner_agent.journal import GapRecord, JournalReader, StreamRecord
from inner_agent.journal_batch import Batch, NewMessage, TakenFile
from inner_agent.journal_writer import JournalWriter
from inner_agent.object_table import NewPart
from inner_agent.quarantine import QuarantineReader
from inner_agent.retention import Retention, RetentionPolicy, settled

CIPHER = PayloadCipher(bytes(32))
STREAM = b"s" * 16
HOUR_MS = 3_600_000
NOW_MS = 1_000_000 * HOUR_MS
ROOMY = 1 << 40
POLICY = RetentionPolicy(keep_hours=10, keep_record_hours=100, bytes_max=ROOMY)


@pytest.fixture
def journal(tmp_path):
    writer = JournalWriter(tmp_path / "journal.db", CIPHER)
    yield writer
    writer.close()


@pytest.fixture
def reader(tmp_path, journal):
    with JournalReader(tmp_path / "journal.db", CIPHER) as reader:
        yield reader


def journaled(writer, number, age_hours, gaps=None):
    """One file with one message; its position is `number`."""
    message = NewMessage(
        number.to_bytes(16, "big"), "adt", number, 0, "a/b", "t", None, bytes(2000)
    )
    file = TakenFile(
        number,
        Link(number.to_bytes(32, "big"), bytes(32)),
        1,
        late=False,
        messages=(message,),
        tombstones=(),
        refused=(),
    )
    stream = StreamRecord(STREAM, "front", "trusted", number + 1, b"d" * 32, 0, 0, 0)
    writer.take(Batch(NOW_MS - age_hours * HOUR_MS, stream, (file,), {}, gaps))


def delivery(tmp_path, cursor, **states):
    store = DeliveryStore(tmp_path / "delivery.db")
    for position in range(1, cursor + 1):
        state = State(states.get(f"p{position}", "delivered"))
        store.commit([Outcome(position, bytes(16), "adt", state, Progress(1), None, None, cursor)])
    store.close()


def retention(tmp_path, journal, policy=POLICY):
    return Retention(journal, tmp_path / "delivery.db", policy, NOW_MS)


def test_only_old_and_settled_payloads_go(tmp_path, journal, reader):
    for number, age in enumerate([50, 40, 30, 20, 5, 1], start=1):
        journaled(journal, number, age)
    delivery(tmp_path, 5, p2="dead", p3="delivering")
    pruned = retention(tmp_path, journal).prune(NOW_MS)
    assert (pruned.payloads, pruned.records) == (2, 0)
    assert [m.position for m in reader.waiting("adt", 0, 9)] == [2, 3, 5, 6]
    record = reader.record(1)
    assert (record.payload_kept, record.payload_bytes) == (False, 2000)
    assert reader.get(1) is None


def test_what_waits_above_the_cursor_is_kept_whatever_its_age(tmp_path, journal, reader):
    for number in (1, 2, 3):
        journaled(journal, number, 50)
    delivery(tmp_path, 1)
    retention(tmp_path, journal).prune(NOW_MS)
    assert [m.position for m in reader.waiting("adt", 0, 9)] == [2, 3]


@pytest.mark.parametrize("content", [None, b"", b"no database" * 500])
def test_without_a_readable_delivery_db_nothing_goes(tmp_path, journal, content):
    journaled(journal, 1, 50)
    if content is not None:
        (tmp_path / "delivery.db").write_bytes(content)
    assert retention(tmp_path, journal).prune(NOW_MS).payloads == 0


def test_records_go_much_later_and_their_ids_stay_known_until_then(tmp_path, journal, reader):
    journaled(journal, 1, 101)
    journaled(journal, 2, 99)
    delivery(tmp_path, 2)
    keeper = retention(tmp_path, journal)
    assert keeper.prune(NOW_MS).payloads == 2
    assert [r.position for r in reader.find()] == [2]
    assert reader.highest_position() == 2


def test_a_dead_letters_record_is_never_forgotten(tmp_path, journal, reader):
    journaled(journal, 1, 1000)
    delivery(tmp_path, 1, p1="dead")
    keeper = retention(tmp_path, journal)
    for _ in range(3):
        keeper.prune(NOW_MS)
    assert reader.get(1).payload == bytes(2000)


def test_links_go_but_those_that_the_chain_is_held_against_stay(tmp_path, journal):
    for number in (1, 2, 3, 7, 8, 9):
        gaps = (GapRecord(STREAM, 4, 6, 0, given_up=True),) if number == 9 else None
        journaled(journal, number, 1000, gaps)
    retention(tmp_path, journal).prune(NOW_MS)
    kept = [n for n in range(1, 10) if journal.link(STREAM, n) is not None]
    assert kept == [3, 7, 9]


def test_above_its_size_the_journal_lets_settled_payloads_go_early(tmp_path, journal, reader):
    for number in (1, 2):
        journaled(journal, number, 0)
    delivery(tmp_path, 1)
    small = replace(POLICY, bytes_max=1)
    retention(tmp_path, journal, small).prune(NOW_MS)
    assert [m.position for m in reader.waiting("adt", 0, 9)] == [2]


def test_a_sweep_comes_past_what_is_not_settled(tmp_path, journal, monkeypatch):
    monkeypatch.setattr("inner_agent.retention.LOOKED_AT_PER_CALL", 2)
    for number in range(1, 6):
        journaled(journal, number, 50)
    delivery(tmp_path, 5, p1="dead", p2="dead")
    keeper = retention(tmp_path, journal)
    assert sum(keeper.prune(NOW_MS).payloads for _ in range(4)) == 3


def test_an_unknown_channel_is_not_settled(tmp_path):
    delivery(tmp_path, 5)
    assert settled(tmp_path / "delivery.db", [(1, "adt"), (2, "lab")]) == [1]


def test_what_was_pruned_gives_its_room_back(tmp_path, journal):
    empty = journal.used_bytes()
    for number in range(1, 201):
        journaled(journal, number, 50)
    full = journal.used_bytes()
    assert full > empty + 200 * 2000
    delivery(tmp_path, 200)
    assert retention(tmp_path, journal).prune(NOW_MS).payloads == 200
    assert journal.used_bytes() < empty + (full - empty) / 5


def test_a_clock_that_jumps_ahead_erases_nothing_early(tmp_path, journal, reader):
    journaled(journal, 1, 0)
    delivery(tmp_path, 1)
    keeper = retention(tmp_path, journal)
    for _ in range(3):
        keeper.prune(NOW_MS + 5000 * HOUR_MS)
    assert reader.get(1) is not None
    again = Retention(journal, tmp_path / "delivery.db", POLICY, NOW_MS + 5000 * HOUR_MS)
    again.prune(NOW_MS + 5000 * HOUR_MS)
    assert reader.get(1) is not None
    assert reader.retention_at_ms() <= NOW_MS + 2 * HOUR_MS


def test_a_sweep_comes_past_what_waits_in_front(tmp_path, journal, reader, monkeypatch):
    monkeypatch.setattr("inner_agent.retention.LOOKED_AT_PER_CALL", 2)
    for number in range(1, 8):
        journaled(journal, number, 1000)
    delivery(tmp_path, 7, p1="dead", p2="dead", p3="dead")
    keeper = retention(tmp_path, journal)
    while keeper.prune(NOW_MS).more:
        pass
    assert [record.position for record in reader.find()] == [3, 2, 1]


def arrives(writer, number, age_hours, *, parts, of=2, missing=None, state="trusted"):
    """A file with some parts of object `number`, which has `of` parts of 4 bytes."""
    payloads = [b"abcd"] * of
    digest = object_digest(map(part_digest, payloads))
    new = []
    for one in parts:
        part = Part(
            number.to_bytes(16, "big"), "adt", number * 10 + one, 0, "a/b", of * 4, one,
            digest if one == of else b"", payloads[one - 1],
        )  # fmt: skip
        new.append(NewPart(part, part.payload))
    file = TakenFile(
        number * 10 + parts[0], Link(bytes([number]) * 32, bytes(32)), 1, late=False,
        messages=(), tombstones=(), refused=(), parts=tuple(new),
    )  # fmt: skip
    at_ms = NOW_MS - age_hours * HOUR_MS
    stream = StreamRecord(STREAM, "front", state, number * 10 + 9, b"d" * 32, 0, at_ms, at_ms)
    writer.take(Batch(at_ms, stream, (file,), {}, missing=missing))


def kept_objects(tmp_path):
    return sorted(int(path.name, 16) for path in (tmp_path / "objects").iterdir())


@pytest.fixture
def _small_parts(monkeypatch):
    monkeypatch.setattr(limits, "PART_BYTES", 4)


@pytest.mark.usefixtures("_small_parts")
def test_an_objects_parts_go_with_its_payload(tmp_path, journal, reader):
    arrives(journal, 1, 50, parts=[1, 2])
    arrives(journal, 2, 5, parts=[1, 2])
    assert journal.used_bytes() > 16
    delivery(tmp_path, 2)
    assert retention(tmp_path, journal).prune(NOW_MS).payloads == 1
    assert kept_objects(tmp_path) == [2]
    [left] = reader.waiting("adt", 0, 10)
    assert left.large.read(2) == b"abcd"


@pytest.mark.usefixtures("_small_parts")
def test_an_object_that_waits_too_long_for_parts_is_given_up_and_entered(tmp_path, journal):
    arrives(journal, 1, 50, parts=[1])
    arrives(journal, 2, 5, parts=[2])
    pruned = retention(tmp_path, journal).prune(NOW_MS)
    assert [one.message_id for one in pruned.incomplete] == [(1).to_bytes(16, "big")]
    assert kept_objects(tmp_path) == [2]
    with QuarantineReader(journal.path, CIPHER) as quarantine:
        [entry] = quarantine.newest()
    assert (entry.reason, entry.channel) == ("object_incomplete", "adt")
    arrives(journal, 1, 0, parts=[2])
    assert kept_objects(tmp_path) == [2]


@pytest.mark.usefixtures("_small_parts")
def test_an_object_is_kept_while_nothing_newer_came_of_its_stream(tmp_path, journal):
    arrives(journal, 1, 50, parts=[1])
    arrives(journal, 2, 45, parts=[1])
    assert retention(tmp_path, journal).prune(NOW_MS).incomplete == ()
    assert kept_objects(tmp_path) == [1, 2]


@pytest.mark.usefixtures("_small_parts")
def test_an_object_is_kept_while_its_channel_holds_for_missing_messages(tmp_path, journal):
    arrives(journal, 1, 50, parts=[1])
    arrives(journal, 2, 5, parts=[1], missing=(MissingMessages("adt", 12, 12, holds=True),))
    assert retention(tmp_path, journal).prune(NOW_MS).incomplete == ()
    arrives(journal, 3, 4, parts=[1], missing=(MissingMessages("adt", 12, 12, holds=False),))
    assert len(retention(tmp_path, journal).prune(NOW_MS).incomplete) == 1


@pytest.mark.usefixtures("_small_parts")
def test_an_object_of_a_stream_that_is_over_waits_for_nothing(tmp_path, journal):
    arrives(journal, 1, 50, parts=[1], state="retired")
    assert len(retention(tmp_path, journal).prune(NOW_MS).incomplete) == 1


@pytest.mark.usefixtures("_small_parts")
def test_parts_count_against_the_journals_size(tmp_path, journal):
    before = journal.used_bytes()
    arrives(journal, 1, 1, parts=[1], of=1000)
    one_part = journal.used_bytes()
    assert one_part - before >= 4
    arrives(journal, 2, 1, parts=[1, 2])
    assert journal.used_bytes() - one_part >= 8


@pytest.mark.usefixtures("_small_parts")
def test_a_call_removes_objects_up_to_a_bound(tmp_path, journal, monkeypatch):
    monkeypatch.setattr(retention_module, "OBJECT_BYTES_PER_CALL", 10)
    for number in (1, 2, 3, 4):
        arrives(journal, number, 50, parts=[1, 2])
    delivery(tmp_path, 4)
    pruning = retention(tmp_path, journal)
    told = [pruning.prune(NOW_MS) for _ in range(3)]
    assert [one.payloads for one in told] == [2, 2, 0]
    assert [one.more for one in told] == [True, True, False]
    assert kept_objects(tmp_path) == []
