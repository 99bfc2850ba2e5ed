"""The running verifier: real medium, watch, journal, worker processes and hint."""

import select
import threading
import time
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from ferry_format.medium.reader import MediumReader
from ferry_format.medium.watch import Watch
from ferry_format.reasons import StorageFault
from inner_agent import stream_orders
from inner_agent.hint import HintReader
from inner_agent.intake_decisions import ChannelRule
from inner_agent.journal import JournalReader
from inner_agent.journal_writer import JournalWriter
from inner_agent.retention import RetentionPolicy
from inner_agent.stream_orders import Order
from inner_agent.verifier import Verifier, VerifierSettings
from inner_agent.verifier_metrics import VerifierMetrics
from tests.simulator.sending_side import SendingSide, opener
from tests.simulator.verifying_side import CIPHER, RULES, Recorded, StandInValidators
from validators.policy import ContentPolicy
from validators.worker import ContentSpec, WorkerPool

HL7 = "MSH|^~\\&|HIS|H|LIS|L|20260101120000||ADT^A01|{}|P|2.5\rPID|1||7^^^H||王^小明\r"


ROOMY = RetentionPolicy(keep_hours=1, keep_record_hours=2, bytes_max=1 << 30)


class Running:
    def __init__(self, root, state, **options):
        self.root, self.state = root, state
        self.audit = Recorded()
        self.error = None
        settings = {
            "rules": RULES, "look_s": 0.05, "gap_wait_s": 0.2,
            "retention": ROOMY,
        } | {k: v for k, v in options.items() if k in {"rules", "retention", "look_s"}}  # fmt: skip
        self.validators = options.get("validators") or StandInValidators()
        self.watch = options.get("watch") or Watch()
        self._settings = VerifierSettings(state, **settings)
        self.started = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.started.wait(10)

    def _run(self):
        journal = JournalWriter(self.state / "journal.db", CIPHER)
        self.verifier = Verifier(
            self._settings,
            medium=MediumReader(self.root, None),
            watch=self.watch,
            opener=opener(),
            validators=self.validators,
            journal=journal,
            metrics=VerifierMetrics(CollectorRegistry()),
            audit=self.audit,
        )
        self.started.set()
        try:
            self.verifier.run()
        except StorageFault as error:
            self.error = error
        finally:
            journal.close()

    def stop(self):
        self.verifier.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def payloads(self):
        with JournalReader(self.state / "journal.db", CIPHER) as reader:
            return [message.payload for message in reader.waiting("adt", 0, 1000)]

    def until(self, condition, timeout_s=10):
        ends_at = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < ends_at, "did not happen in time"
            time.sleep(0.01)


class NoEvents:
    """The watch on a filesystem that delivers no events."""

    def follow(self, root, stream_id, sequence):
        return False

    def wait(self, timeout_s):
        time.sleep(timeout_s)
        return False


@pytest.fixture
def places(tmp_path):
    root, state = tmp_path / "medium", tmp_path / "state"
    root.mkdir()
    state.mkdir()
    return root, state


@pytest.fixture
def run(places):
    running = []

    def run(**options):
        running.append(Running(*places, **options))
        return running[-1]

    yield run
    for one in running:
        one.stop()


def test_a_message_is_journaled_and_the_replayer_poked(places, run):
    side, sender = run(), SendingSide(places[0])
    hint = HintReader(places[1] / "hint")
    sender.send(b"one")
    assert select.select([hint.fileno()], [], [], 10)[0]
    assert side.payloads() == [b"one"]
    hint.close()


def test_an_event_is_faster_than_the_look(places, run):
    sender = SendingSide(places[0])
    sender.send(b"0")
    side = run(look_s=60.0)
    side.until(lambda: side.payloads() == [b"0"])
    time.sleep(0.3)
    began = time.monotonic()
    for number in range(1, 6):
        sender.send(b"%d" % number)
        side.until(lambda number=number: len(side.payloads()) > number)
    assert time.monotonic() - began < 30
    assert side.payloads() == [b"%d" % n for n in range(6)]


def test_without_events_the_look_finds_everything(places, run):
    sender = SendingSide(places[0])
    side = run(watch=NoEvents())
    for number in range(3):
        sender.send(b"%d" % number)
        side.until(lambda number=number: len(side.payloads()) > number)


def test_the_medium_may_come_later_and_go_away(places, run):
    root = places[0]
    root.rmdir()
    side = run()
    side.until(lambda: 'reason="medium_unreadable"} 1' in metrics(side))
    root.mkdir()
    sender = SendingSide(root)
    sender.send(b"one")
    side.until(lambda: side.payloads() == [b"one"])
    root.rename(root.parent / "unmounted")
    time.sleep(0.1)
    (root.parent / "unmounted").rename(root)
    sender.send(b"two")
    side.until(lambda: side.payloads() == [b"one", b"two"])
    side.until(lambda: 'reason="medium_unreadable"} 0' in metrics(side))


def metrics(side):
    path = side.state / "verifier.prom"
    return path.read_text() if path.exists() else ""


def test_metrics_are_written_each_second(places, run):
    side, sender = run(), SendingSide(places[0])
    sender.send(b"one")
    wanted = 'ferry_inner_messages_total{channel="adt",outcome="journaled",reason=""} 1.0'
    side.until(lambda: wanted in metrics(side))
    text = metrics(side)
    for name in (
        "ferry_inner_files_total", "ferry_inner_crossing_seconds_bucket", "ferry_inner_gap_files",
        "ferry_inner_last_heartbeat_age_seconds", "ferry_inner_clock_skew_seconds",
        "ferry_inner_quarantine_entries", "ferry_inner_medium_entries_ignored",
    ):  # fmt: skip
        assert name in text
    before = (side.state / "verifier.prom").stat().st_mtime_ns
    side.until(lambda: (side.state / "verifier.prom").stat().st_mtime_ns > before)


def test_an_operators_order_is_executed_and_answered(places, run):
    side, sender = run(), SendingSide(places[0])
    sender.send(b"1")
    sender.lose(b"2")
    sender.send(b"3")
    side.until(lambda: side.audit.of("gap_opened"))
    name = stream_orders.submit(
        places[1] / "orders", Order("give_up_gap", sender.stream_id, "wang")
    )
    given = stream_orders.wait_for_answer(places[1] / "orders", name, 10)
    assert given.done
    side.until(lambda: side.payloads() == [b"1", b"3"])
    assert side.audit.of("order_executed")[0]["operator"] == "wang"


def test_validators_that_are_away_lose_nothing(places, run):
    validators = StandInValidators()
    validators.available = False
    side, sender = run(validators=validators), SendingSide(places[0])
    sender.send(b"one")
    side.until(lambda: validators.calls > 1)
    assert side.payloads() == []
    validators.available = True
    side.until(lambda: side.payloads() == [b"one"])


def test_a_full_journal_holds_its_place(places, run):
    sender = SendingSide(places[0])
    side = run(retention=replace(ROOMY, bytes_max=1))
    sender.send(b"one")
    side.until(lambda: 'reason="journal_full"} 1' in metrics(side))
    time.sleep(0.3)
    assert side.payloads() == []
    assert side.error is None


def test_a_journal_that_cannot_be_written_ends_the_verifier(places, run):
    side, sender = run(), SendingSide(places[0])
    sender.send(b"one")
    side.until(lambda: side.payloads() == [b"one"])

    def failing(_batch):
        raise StorageFault(__import__("ferry_format.reasons").reasons.STORAGE_FAILED)

    side.verifier._journal.take = failing
    sender.send(b"two")
    side.until(lambda: side.error is not None)
    assert side.payloads() == [b"one"]


def test_real_workers_validate_again_and_rebuild(places, run):
    policy = ContentPolicy.model_validate(
        {"hl7v2": {"messages": ["ADT^*"], "segments": ["MSH", "PID"]}}
    )
    rules = {"adt": ChannelRule("application/hl7-v2", 10_000)}
    with WorkerPool({"adt": ContentSpec(policy)}) as pool:
        side, sender = run(validators=pool, rules=rules), SendingSide(places[0])
        good, bad = HL7.format("4711"), HL7.format("4712").replace("ADT^A01", "ORU^R01")
        sender.send_entries(
            *(
                sender.envelope(text.encode(), content_type="application/hl7-v2")
                for text in (good, bad)
            )
        )
        side.until(lambda: side.audit.of("message_refused"))
        side.until(lambda: len(side.payloads()) == 1)
        with JournalReader(places[1] / "journal.db", CIPHER) as reader:
            (record,) = reader.find(control_id="4711")
        assert record.message_type.startswith("ADT^A01")
        assert side.audit.of("message_refused")[0]["reason"] == "message_type_not_allowed"
        side.stop()
