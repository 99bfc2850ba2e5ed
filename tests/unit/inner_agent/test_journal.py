import hashlib
import shutil
import sqlite3
import stat

import pytest

from ferry_format.container import GENESIS_DIGEST
from ferry_format.reasons import (
    BAD_SIGNATURE,
    JOURNAL_FULL,
    SCHEMA_MISMATCH,
    StorageFault,
    Unavailable,
)
from ferry_format.stream import Link
from inner_agent.at_rest import PayloadCipher
from inner_agent.journal import GapRecord, JournalReader, StreamRecord
from inner_agent.journal_batch import Batch, NewMessage, TakenFile
from inner_agent.journal_schema import VERSION
from inner_agent.journal_writer import JournalWriter
from inner_agent.quarantine import QuarantineLimits, QuarantineReader, RefusedThing

STREAM = b"s" * 16
CIPHER = PayloadCipher(bytes(32))


def stream(next_sequence=2, *, state="trusted", stream_id=STREAM, sender="front"):
    return StreamRecord(stream_id, sender, state, next_sequence, b"d" * 32, 1, 2, 3)


def message(number, *, channel="adt", payload=b"payload", control_id=None, order_key=None):
    return NewMessage(
        number.to_bytes(16, "big"), channel, number, 5, "application/hl7-v2", "ADT^A01",
        control_id, payload, order_key,
    )  # fmt: skip


def taken(sequence, *messages, tombstones=(), refused=(), late=False):
    link = Link(sequence.to_bytes(32, "big"), GENESIS_DIGEST)
    return TakenFile(sequence, link, len(messages), late, messages, tombstones, refused)


def batch(*files, received_at_ms=1000, gaps=None, progress=None):
    return Batch(
        received_at_ms, stream(max(f.sequence for f in files) + 1), files, progress or {}, gaps
    )


def refused(content=b"bad", *, kind="file", reason=BAD_SIGNATURE, name="n", digest=b"x" * 32):
    return RefusedThing(kind, reason, "place", digest, content, STREAM, 1, None, None, name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def writer(path):
    writer = JournalWriter(path, CIPHER, QuarantineLimits(100, 3))
    yield writer
    writer.close()


@pytest.fixture
def reader(path, writer):
    with JournalReader(path, CIPHER) as reader:
        yield reader


def test_messages_come_back_in_channel_order_while_the_writer_is_open(writer, reader):
    writer.take(batch(taken(1, message(1), message(1001, channel="lab"), message(2))))
    writer.take(batch(taken(2, message(3)), received_at_ms=2000))
    assert [m.channel_sequence for m in reader.waiting("adt", 0, 10)] == [1, 2, 3]
    first, second = reader.waiting("adt", 0, 2)
    assert (first.payload, first.received_at_ms, first.late) == (b"payload", 1000, False)
    assert [m.channel_sequence for m in reader.waiting("adt", second.position, 10)] == [3]
    assert reader.waiting_count("adt", first.position) == 2
    assert reader.get(first.position) == first
    assert reader.get(999) is None


def test_what_a_crash_left_in_the_wal_alone_is_written_anew_at_the_next_start(writer, tmp_path):
    writer.take(batch(taken(1, message(1))))
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"journal.db{suffix}", tmp_path / f"crashed.db{suffix}")
    started = JournalWriter(tmp_path / "crashed.db", CIPHER)
    shutil.copy(tmp_path / "crashed.db", tmp_path / "without-wal.db")
    started.close()
    with JournalReader(tmp_path / "without-wal.db", CIPHER) as left:
        assert [one.channel_sequence for one in left.waiting("adt", 0, 9)] == [1]


def test_an_id_that_was_journaled_is_never_journaled_again(writer, reader):
    writer.take(batch(taken(1, message(1))))
    told = writer.take(batch(taken(2, message(1, payload=b"other"), message(2))))
    assert told.repeated == {(2, (1).to_bytes(16, "big"))}
    assert [m.payload for m in reader.waiting("adt", 0, 10)] == [b"payload", b"payload"]
    assert reader.counts().messages == {"adt": 2}


def test_payloads_are_not_readable_in_the_files(writer, path):
    writer.take(batch(taken(1, message(1, payload="王小明".encode() * 3))))
    writer.refuse(refused("王小明".encode()), 1)
    files = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
    assert "王小明".encode() not in files
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_a_batch_is_journaled_whole_or_not_at_all(writer, reader):
    writer.take(batch(taken(1, message(1))))
    with pytest.raises(StorageFault):  # the second file's place is taken
        writer.take(batch(taken(2, message(2)), taken(1, message(3))))
    assert [m.channel_sequence for m in reader.waiting("adt", 0, 10)] == [1]
    assert reader.streams()[0].next_sequence == 2


def test_a_full_disk_takes_nothing_and_passes(writer, reader):
    writer.take(batch(taken(1, message(1))))
    pages = writer.connection.execute("PRAGMA page_count").fetchone()[0]
    writer.connection.execute(f"PRAGMA max_page_count = {pages}")
    big = batch(taken(2, message(2, payload=bytes(1_000_000))))
    with pytest.raises(Unavailable) as caught:
        writer.take(big)
    assert caught.value.reason is JOURNAL_FULL
    assert [m.channel_sequence for m in reader.waiting("adt", 0, 10)] == [1]
    assert writer.link(STREAM, 2) is None
    writer.connection.execute(f"PRAGMA max_page_count = {2**30}")
    writer.take(big)
    assert [m.channel_sequence for m in reader.waiting("adt", 0, 10)] == [1, 2]


def test_search_by_business_key_id_channel_and_time(writer, reader):
    for number in range(1, 51):
        writer.take(
            batch(
                taken(number, message(number, control_id=f"C{number % 5}")),
                received_at_ms=number * 100,
            )
        )
    assert [r.channel_sequence for r in reader.find(control_id="C4", limit=3)] == [49, 44, 39]
    assert [r.channel_sequence for r in reader.find(message_id=(7).to_bytes(16, "big"))] == [7]
    assert [r.channel_sequence for r in reader.find(channel="adt", since_ms=4_801)] == [50, 49]
    assert reader.find(since_ms=5_001) == []
    assert len(reader.find(since_ms=0, limit=5_000)) == 50
    assert reader.find(channel="lab") == []
    assert not hasattr(reader.find(limit=1)[0], "payload")


def test_every_time_bound_finds_exactly_what_a_scan_finds(writer, reader):
    for number in range(1, 21):
        writer.take(batch(taken(number, message(number)), received_at_ms=(number // 3) * 10))
    for since_ms in range(-5, 90, 5):
        expected = [n for n in range(20, 0, -1) if (n // 3) * 10 >= since_ms]
        assert [r.channel_sequence for r in reader.find(since_ms=since_ms)] == expected


def test_streams_gaps_progress_and_links_come_back(writer, reader):
    gaps = (GapRecord(STREAM, 2, 4, 77, given_up=True), GapRecord(STREAM, 9, 9, 78, given_up=False))
    writer.take(batch(taken(1, message(1)), gaps=gaps, progress={"adt": 7}))
    writer.take(batch(taken(5, message(2)), progress={"adt": 6, "lab": 1}))
    assert writer.gaps(STREAM) == gaps
    assert reader.gaps() == list(gaps)
    assert writer.progress(STREAM) == {"adt": 7, "lab": 1}
    assert writer.link(STREAM, 1) == Link((1).to_bytes(32, "big"), GENESIS_DIGEST)
    assert reader.counts().gap_files == 4
    writer.set_streams([stream(state="retired")], {STREAM: ()})
    assert reader.streams()[0].state == "retired"
    assert reader.gaps() == []


def test_an_order_key_is_stored_as_a_keyed_digest(writer, reader):
    key = hashlib.sha256(b"4711").digest()
    same = [message(number, order_key=key) for number in (1, 2)]
    writer.take(batch(taken(1, *same, message(3, order_key=bytes(32)), message(4))))
    keys = [reader.order_key(position) for position in range(1, 6)]
    assert keys[0] == keys[1] != keys[2]
    assert [len(each or b"") for each in keys] == [16, 16, 16, 0, 0]
    assert keys[0] not in (key[:16], hashlib.sha256(key).digest()[:16])
    assert [each.order_key for each in reader.waiting("adt", 0, 9)] == keys[:4]


def test_a_sender_never_has_two_trusted_streams(writer):
    writer.set_streams([stream()])
    with pytest.raises(StorageFault):
        writer.set_streams([stream(stream_id=b"t" * 16)])


def test_positions_are_never_given_twice(writer, reader):
    writer.take(batch(taken(1, message(1), message(2))))
    writer.connection.execute("DELETE FROM messages")
    writer.take(batch(taken(2, message(3))))
    assert reader.highest_position() == 3
    assert [m.position for m in reader.waiting("adt", 0, 9)] == [3]


def test_with_another_journal_key_every_message_waits(writer, path):
    writer.take(batch(taken(1, message(1))))
    with JournalReader(path, PayloadCipher(b"k" * 32)) as reader, pytest.raises(StorageFault):
        reader.waiting("adt", 0, 10)


def test_the_reader_cannot_write(reader):
    with pytest.raises(sqlite3.OperationalError):
        reader._connection.execute("DELETE FROM messages")


def test_a_journal_of_a_newer_version_is_refused_with_a_word(path):
    JournalWriter(path, CIPHER).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    for attempt in (JournalWriter, JournalReader):
        with pytest.raises(StorageFault, match="install the newer program"):
            attempt(path, CIPHER)


def test_a_reader_before_the_verifier_is_told_so(path):
    with pytest.raises(StorageFault, match="verifier"):
        JournalReader(path, CIPHER)


def test_a_file_that_is_no_database_is_a_storage_fault(path):
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageFault):
        JournalWriter(path, CIPHER)


def test_a_refused_file_is_entered_once_and_its_bytes_can_be_had(writer, path):
    assert writer.refuse(refused(), 5)
    assert not writer.refuse(refused(), 6)
    assert writer.refuse(refused(digest=b"y" * 32), 7)
    assert writer.refuse(refused(reason=SCHEMA_MISMATCH), 8)
    with QuarantineReader(path, CIPHER) as reader:
        assert [entry.at_ms for entry in reader.newest()] == [8, 7, 5]
        assert [e.at_ms for e in reader.newest(reason="bad_signature", before=2)] == [5]
        assert reader.content(1) == b"bad"
        assert reader.content(99) is None


def test_a_full_quarantine_keeps_no_more_bytes_and_then_counts(writer, path):
    for number in range(6):
        assert writer.refuse(refused(bytes(60), digest=bytes([number]) * 32), number)
    with QuarantineReader(path, CIPHER) as reader:
        assert [entry.content_kept for entry in reader.newest()] == [False, False, True]
        (overflow,) = reader.overflow()
    assert (overflow.number, overflow.first_at_ms, overflow.last_at_ms) == (3, 3, 5)
    assert writer.quarantine_number == 6
    writer.close()
    again = JournalWriter(path, CIPHER, QuarantineLimits(100, 3))
    assert again.quarantine_number == 6
    again.close()


def test_no_value_shows_a_payload_when_printed(writer, reader):
    writer.take(batch(taken(1, message(1, payload=b"SECRET"))))
    shown = repr((reader.waiting("adt", 0, 1), message(1, payload=b"SECRET"), refused(b"SECRET")))
    assert "SECRET" not in shown
