"""One batch, one ferry file, durable or refused: the order of steps and what failures leave."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.container import GENESIS_DIGEST, Opener, Sealer
from ferry_format.envelope import Content, Envelope, Tombstone
from ferry_format.identifiers import new_message_id
from ferry_format.keys import KeyKind, TrustedSender, TrustStore, generate
from ferry_format.medium import layout
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.writer import MediumWriter, Staged
from ferry_format.reasons import Refused, StorageFault, Unavailable
from outer_agent.admission import Admitted, Fingerprint, Receipt
from outer_agent.commit import Committer, Waiting
from outer_agent.spool import Spool

SIGN = generate(KeyKind.SIGN, "front-1", datetime.now(UTC))
RECEIVE = generate(KeyKind.RECEIVE, "inner-1", datetime.now(UTC))
NOW_MS = 1_700_000_000_000


class FaultyMedium(MediumWriter):
    """A real medium whose steps fail when told to."""

    fail_stage: Exception | None = None
    fail_sync: list[Exception]
    synced_by: list[str]
    fail_publish: Exception | None = None
    publish_failures = 10**6
    visibility_unknown = False

    def write_aside(self, stream_id, sequence, data):
        if self.fail_stage:
            raise self.fail_stage
        return super().write_aside(stream_id, sequence, data)

    def sync(self, aside):
        self.synced_by.append(threading.current_thread().name)
        if self.fail_sync:
            os.close(aside.descriptor)
            Path(aside.path).unlink()
            raise self.fail_sync.pop(0)
        return super().sync(aside)

    def publish(self, staged):
        if self.fail_publish and self.publish_failures:
            self.publish_failures -= 1
            raise self.fail_publish
        return super().publish(staged)

    def is_visible(self, stream_id, sequence):
        if self.visibility_unknown:
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)
        return super().is_visible(stream_id, sequence)


class Outer:
    """Spool, medium and committer in a folder, and the far side's view of the medium."""

    def __init__(self, folder: Path, *, sync_apart_s: float = float("inf")) -> None:
        self.folder = folder
        self.sync_apart_s = sync_apart_s
        (folder / "medium").mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        self.spool = Spool(self.folder / "spool.db", NOW_MS)
        self.medium = FaultyMedium(self.folder / "medium")
        self.medium.fail_sync, self.medium.synced_by = [], []
        self.committer = Committer(
            self.spool,
            self.medium,
            lambda stream_id: Sealer(SIGN, RECEIVE.public, "lane", stream_id),
            lambda: NOW_MS,
            sync_apart_s=self.sync_apart_s,
        )
        self.committer.recover()

    def restart(self) -> None:
        self.spool.close()
        self.start()

    def files(self) -> list[Content]:
        """Every published file, verified and unsealed, its chain checked."""
        trust = TrustedSender("front-1", SIGN.public, frozenset({1}), frozenset({"adt", "lab"}))
        opener = Opener(TrustStore([trust]), [RECEIVE], "lane")
        reader = MediumReader(self.folder / "medium", None)
        contents, digest = [], GENESIS_DIGEST
        while (file := reader.read(self.committer.stream_id, len(contents) + 1)) is not None:
            verified = opener.verify(file.data, NOW_MS)
            assert verified.header.previous_digest == digest
            digest = verified.digest
            contents.append(opener.unseal(verified))
        return contents


@pytest.fixture(params=[float("inf"), -1.0], ids=["one after the other", "at the same time"])
def outer(tmp_path: Path, request: pytest.FixtureRequest) -> Outer:
    return Outer(tmp_path, sync_apart_s=request.param)


def test_a_slow_disk_is_synchronised_while_the_spool_commits(tmp_path: Path) -> None:
    outer = Outer(tmp_path, sync_apart_s=0.0)
    outer.committer.commit([message("adt")])
    outer.committer.commit([message("adt")])
    assert outer.medium.synced_by[0] == threading.current_thread().name
    assert outer.medium.synced_by[1].startswith("sync")
    assert len(outer.files()) == 2


def test_what_was_not_synchronised_beside_the_spool_is_written_anew(tmp_path: Path) -> None:
    outer = Outer(tmp_path, sync_apart_s=-1.0)
    outer.medium.fail_sync = [Unavailable(reasons.MEDIUM_FULL)]
    [outcome] = outer.committer.commit([message("adt")])
    assert isinstance(outcome, Receipt)
    assert [len(content.entries) for content in outer.files()] == [1]


def test_what_can_be_synchronised_neither_time_is_withdrawn(tmp_path: Path) -> None:
    outer = Outer(tmp_path, sync_apart_s=-1.0)
    outer.medium.fail_sync = [Unavailable(reasons.MEDIUM_FULL)] * 2
    waiting = message(key=b"k")
    [outcome] = outer.committer.commit([waiting])
    assert isinstance(outcome, Unavailable)
    [again] = outer.committer.commit([waiting])
    assert again == Receipt(waiting.admitted.message_id, duplicate=False)
    withdrawn, sent = outer.files()
    assert isinstance(withdrawn.entries[0], Tombstone)
    assert isinstance(sent.entries[0], Envelope)


def test_a_disk_that_fails_beside_the_spool_stops_the_agent_and_loses_nothing(
    tmp_path: Path,
) -> None:
    outer = Outer(tmp_path, sync_apart_s=-1.0)
    outer.medium.fail_sync = [StorageFault(reasons.STORAGE_FAILED)]
    with pytest.raises(StorageFault):
        outer.committer.commit([message("adt")])
    outer.restart()
    assert [len(content.entries) for content in outer.files()] == [1]


def message(channel: str = "adt", key: bytes | None = None, body: bytes = b"body") -> Waiting:
    fingerprint = None if key is None else Fingerprint(key.ljust(32), body.ljust(32))
    admitted = Admitted(new_message_id(NOW_MS), channel, NOW_MS, "text/plain", body, fingerprint)
    return Waiting(admitted, "new")


def test_a_batch_crosses_as_one_file_in_order(outer: Outer) -> None:
    batch = [message("adt"), message("lab"), message("adt")]
    outcomes = outer.committer.commit(batch)
    assert outcomes == [Receipt(w.admitted.message_id, duplicate=False) for w in batch]
    [content] = outer.files()
    assert [(e.channel, e.channel_sequence) for e in content.entries] == [
        ("adt", 1),
        ("lab", 1),
        ("adt", 2),
    ]
    assert content.beacon.channel_counts == (("adt", 2), ("lab", 1))


def test_numbers_go_on_after_a_restart(outer: Outer) -> None:
    outer.committer.commit([message("adt")])
    outer.restart()
    outer.committer.commit([message("adt")])
    first, second = outer.files()
    assert second.entries[0].channel_sequence == 2
    assert len(first.entries) == 1


def test_a_repeated_message_gets_its_first_receipt_and_crosses_once(outer: Outer) -> None:
    [first] = outer.committer.commit([message(key=b"k")])
    outer.restart()
    [second] = outer.committer.commit([message(key=b"k")])
    assert second == replace(first, duplicate=True)
    assert len(outer.files()) == 1


def test_a_message_repeated_within_one_batch_crosses_once(outer: Outer) -> None:
    first, second = outer.committer.commit([message(key=b"k"), message(key=b"k")])
    assert (first.message_id, first.duplicate) == (second.message_id, False)
    assert second.duplicate
    assert [len(content.entries) for content in outer.files()] == [1]


def test_the_same_key_with_other_bytes_is_a_new_message_or_refused(outer: Outer) -> None:
    outer.committer.commit([message(key=b"k", body=b"one")])
    [new] = outer.committer.commit([message(key=b"k", body=b"two")])
    assert isinstance(new, Receipt)
    assert not new.duplicate
    [refused] = outer.committer.commit([replace(message(key=b"k", body=b"three"), reuse="refuse")])
    assert isinstance(refused, Refused)
    assert refused.reason is reasons.ID_REUSED


def test_a_full_medium_uses_up_nothing(outer: Outer) -> None:
    outer.medium.fail_stage = Unavailable(reasons.MEDIUM_FULL)
    [outcome] = outer.committer.commit([message(key=b"k")])
    assert isinstance(outcome, Unavailable)
    outer.medium.fail_stage = None
    [again] = outer.committer.commit([message(key=b"k")])
    assert isinstance(again, Receipt)
    assert not again.duplicate
    assert [content.entries[0].channel_sequence for content in outer.files()] == [1]


def test_a_spooled_file_that_cannot_be_published_is_withdrawn_by_tombstones(outer: Outer) -> None:
    waiting = message(key=b"k")
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    [outcome] = outer.committer.commit([waiting])
    assert isinstance(outcome, Unavailable)
    assert outer.files() == []
    outer.medium.fail_publish = None
    [again] = outer.committer.commit([waiting])
    assert again == Receipt(waiting.admitted.message_id, duplicate=False)
    withdrawn, sent = outer.files()
    assert isinstance(withdrawn.entries[0], Tombstone)
    assert isinstance(sent.entries[0], Envelope)
    assert [withdrawn.entries[0].channel_sequence, sent.entries[0].channel_sequence] == [1, 2]


def test_a_withdrawal_survives_a_restart(outer: Outer) -> None:
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.committer.commit([message()])
    outer.restart()
    [content] = outer.files()
    assert isinstance(content.entries[0], Tombstone)


def test_an_undecided_publication_is_pursued_until_it_is_certain(
    outer: Outer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outer_agent.commit._UNDECIDED_PAUSE_S", 0.01)
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.publish_failures = 3
    outer.medium.visibility_unknown = True
    [outcome] = outer.committer.commit([message()])
    assert isinstance(outcome, Receipt)
    assert len(outer.files()) == 1


@pytest.mark.parametrize("first_answer", ["visible", "unknown"])
def test_a_file_that_may_have_been_seen_is_not_withdrawn_once_its_name_is_gone(
    outer: Outer, monkeypatch: pytest.MonkeyPatch, first_answer: str
) -> None:
    monkeypatch.setattr("outer_agent.commit._UNDECIDED_PAUSE_S", 0.01)
    publish, attempts = outer.medium.publish, []

    def publish_at_last(staged: Staged) -> None:
        attempts.append(staged)
        if len(attempts) == 2:
            [published] = (outer.folder / "medium").rglob(layout.file_name(staged.sequence))
            published.unlink()
            outer.medium.visibility_unknown = False
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)
        publish(staged)
        if len(attempts) == 1:
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)

    monkeypatch.setattr(outer.medium, "publish", publish_at_last)
    outer.medium.visibility_unknown = first_answer == "unknown"
    waiting = message()
    assert outer.committer.commit([waiting]) == [
        Receipt(waiting.admitted.message_id, duplicate=False)
    ]
    [content] = outer.files()
    assert content.entries[0].message_id == waiting.admitted.message_id


def test_a_crash_between_spool_and_medium_is_made_good_at_start(outer: Outer) -> None:
    outer.medium.fail_publish = StorageFault(reasons.STORAGE_FAILED)
    with pytest.raises(StorageFault):
        outer.committer.commit([message(key=b"k")])
    assert outer.files() == []
    outer.restart()
    assert len(outer.files()) == 1
    [repeated] = outer.committer.commit([message(key=b"k")])
    assert repeated.duplicate


def test_a_heartbeat_carries_the_counts_and_no_entries(outer: Outer) -> None:
    outer.committer.commit([message("adt"), message("adt")])
    outer.committer.heartbeat()
    _, heartbeat = outer.files()
    assert heartbeat.entries == ()
    assert heartbeat.beacon.channel_counts == (("adt", 2),)


def test_a_message_that_the_format_refuses_spoils_no_other(outer: Outer) -> None:
    bad = message("adt")
    bad = replace(bad, admitted=replace(bad.admitted, content_type="no type"))
    outcomes = outer.committer.commit([message("adt"), bad, message("adt")])
    assert [type(outcome).__name__ for outcome in outcomes] == ["Receipt", "Refused", "Receipt"]
    sequences = [content.entries[0].channel_sequence for content in outer.files()]
    assert sequences == [1, 2]


def test_a_spool_that_went_back_in_time_publishes_nothing(outer: Outer) -> None:
    asked = []

    def check_fresh(stream_id: bytes, last_sequence: int) -> None:
        asked.append((stream_id, last_sequence))
        if len(asked) == 1:
            raise Unavailable(reasons.MEDIUM_UNREADABLE)
        if len(asked) == 2:
            raise StorageFault(reasons.SPOOL_BEHIND)

    outer.committer._check_fresh = check_fresh
    outer.committer._is_fresh = False
    [first] = outer.committer.commit([message()])
    assert isinstance(first, Unavailable)
    with pytest.raises(StorageFault):
        outer.committer.commit([message()])
    assert outer.files() == []
    for _ in range(2):
        [taken] = outer.committer.commit([message()])
        assert isinstance(taken, Receipt)
    assert asked == [(outer.committer.stream_id, 0)] * 3


def test_nothing_passes_a_file_that_was_undecided_when_the_agent_stopped(
    outer: Outer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outer_agent.commit._UNDECIDED_PAUSE_S", 0.01)
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.visibility_unknown = True
    outer.committer.stop_waiting()
    first = message(key=b"k")
    [undecided] = outer.committer.commit([first])
    assert isinstance(undecided, Unavailable)
    [second] = outer.committer.commit([message()])
    assert isinstance(second, Unavailable), "it would have passed the undecided one"
    [repeated] = outer.committer.commit([first])
    assert isinstance(repeated, Unavailable), "it is not on the medium yet"
    outer.restart()
    [content] = outer.files()
    assert content.entries[0].message_id == first.admitted.message_id
    [again] = outer.committer.commit([first])
    assert again == Receipt(first.admitted.message_id, duplicate=True)


def test_a_file_that_cannot_even_be_withdrawn_stays_first(
    outer: Outer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outer_agent.commit._UNDECIDED_PAUSE_S", 0.01)
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    full = Unavailable(reasons.MEDIUM_FULL)

    def no_room(*_: object) -> None:
        outer.committer.stop_waiting()
        raise full

    monkeypatch.setattr(outer.spool, "replace", no_room)
    with pytest.raises(Unavailable):
        outer.committer.heartbeat()
    outer.medium.fail_publish = None
    outcomes = outer.committer.commit([message()])
    assert isinstance(outcomes[0], Receipt)
    assert [len(content.entries) for content in outer.files()] == [0, 1]
