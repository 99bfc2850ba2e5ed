"""Both agents' own code under a driver that draws every next step, and a reference beside them.

Real: admission's fingerprints, the committer, the spool, the format, the verifier's streams, gaps,
journal and holds, the replayer's queue, decisions and delivery store. Simulated: time, the medium,
senders, sinks, and death: a process is killed at any of the points that it passes, and all that it
had not committed is gone.

The reference is a list: what each channel's sender was acknowledged for, in its order.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ferry_format import reasons
from ferry_format.container import Sealer
from ferry_format.identifiers import new_message_id
from ferry_format.keys import KeyKind
from ferry_format.reasons import Unavailable
from inner_agent.delivery import SINK_TAKES_NOTHING, DeliveryPolicy, Progress, State, decide
from inner_agent.delivery_store import DeliveryStore, Outcome
from inner_agent.journal import JournalReader
from inner_agent.sinks.base import Delivered, Failed, SinkResult
from outer_agent.admission import Admitted, Fingerprint, Receipt
from outer_agent.commit import Committer, Waiting
from outer_agent.spool import Spool
from tests.simulation.medium import SimulatedMedium
from tests.simulator.sending_side import LANE, key
from tests.simulator.verifying_side import CIPHER, VerifyingSide
from validators.verdict import Accepted, Verdict

CHANNELS = {"adt": False, "lab": True}
"""Name, and whether its messages are ordered by key."""

STEPS = {
    "send": 30,
    "verify": 25,
    "deliver": 40,
    "commit_outcomes": 12,
    "heartbeat": 3,
    "time_passes": 8,
    "trouble": 4,
    "medium_changes": 4,
    "resend": 2,
    "kill_one": 2,
}
"""What can happen next, each a method of SimulatedPair, and how often against the others."""

PATIENTS = 3
ANSWERS: dict[str, SinkResult] = {
    "takes it": Delivered(),
    "fails": Failed(reasons.SINK_FAILED),
    "is away": Failed(reasons.SINK_UNREACHABLE),
    "does not answer": Failed(reasons.SINK_NO_ANSWER),
}
ANSWERS_DRAWN = [*["takes it"] * 12, "fails", "is away", "does not answer"]


class Killed(BaseException):
    """The process that was at work is no more."""


class Wrong(AssertionError):
    """The pair broke its promise."""


def patient_of(number: int) -> int:
    return number * 7 % PATIENTS


class Validators:
    """Takes everything; the order key is the patient."""

    def validate_many(self, items: list[tuple[str, bytes]]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for _, payload in items:
            patient = patient_of(int(payload))
            order_key = hashlib.sha256(b"%d" % patient).digest()
            verdicts.append(Accepted(payload, "ADT^A01", None, order_key))
        return verdicts


class Sink:
    """What each internal system has seen, and its own judgement of it."""

    def __init__(self) -> None:
        self.ids: dict[str, dict[int, bytes]] = {name: {} for name in CHANNELS}
        self.last: dict[tuple[str, int], int] = {}
        self.repeats = 0

    def take(self, channel: str, number: int, message_id: bytes) -> None:
        seen = self.ids[channel]
        if number in seen:
            self.repeats += 1
            if seen[number] != message_id:
                raise Wrong(f"{channel} {number} came under two ids")
            return
        line = (channel, patient_of(number) if CHANNELS[channel] else 0)
        if number <= self.last.get(line, -1):
            raise Wrong(f"{channel} {number} came after {self.last[line]}")
        self.last[line] = number
        seen[number] = message_id


class Outer:
    """The outer's process, its spool, and the senders before it."""

    def __init__(self, pair: SimulatedPair) -> None:
        self.pair = pair
        self.acknowledged = dict.fromkeys(CHANNELS, 0)
        self.committer: Committer | None = None
        self.spool: Spool | None = None

    def start(self) -> None:
        pair = self.pair
        self.stop()
        self.spool = Spool(pair.folder / "spool.db", pair.now_ms)
        commit = self.spool.commit

        def committing(*arguments: Any, **named: Any) -> None:
            pair.point("before the spool")
            commit(*arguments, **named)
            pair.point("spooled")

        self.spool.commit = committing
        receiver = key(KeyKind.RECEIVE, "inner-1").public
        assert receiver is not None
        committer = Committer(
            self.spool,
            pair.medium,
            lambda stream_id: Sealer(key(KeyKind.SIGN, "front-1"), receiver, LANE, stream_id),
            lambda: pair.now_ms,
            sync_apart_s=float("inf"),  # one thread: the steps must be the same each time
        )
        committer._stopping = _Patience(pair)
        committer.recover()
        self.committer = committer

    def stop(self) -> None:
        if self.spool is not None:
            self.spool.close()
        self.spool = self.committer = None

    def send(self, channels: list[str]) -> None:
        """One batch: each channel's sender sends what it was not acknowledged for yet."""
        assert self.committer is not None
        batch = [self._waiting(channel) for channel in channels]
        outcomes = self.committer.commit(batch)
        self.pair.point("before the acknowledgement")
        for channel, outcome in zip(channels, outcomes, strict=True):
            if isinstance(outcome, Receipt):
                self.acknowledged[channel] += 1
            elif not isinstance(outcome, Unavailable):
                raise Wrong(f"{channel}: {outcome}")

    def _waiting(self, channel: str) -> Waiting:
        now_ms = self.pair.now_ms
        payload = b"%d" % self.acknowledged[channel]
        fingerprint = Fingerprint(
            hashlib.sha256(channel.encode() + payload).digest(), hashlib.sha256(payload).digest()
        )
        admitted = Admitted(
            new_message_id(now_ms), channel, now_ms, "application/json", payload, fingerprint
        )
        return Waiting(admitted, "new")

    def resend(self, first: int, last: int) -> None:
        """An operator's order."""
        assert self.spool is not None
        head = self.spool.head()
        for file in self.spool.files(first, last):
            self.pair.medium.put((head.stream_id, file.sequence), file.sealed.data)


class _Patience:
    """The pause of an undecided publication: the medium may be well after it."""

    def __init__(self, pair: SimulatedPair) -> None:
        self._pair = pair

    def wait(self, _seconds: float) -> bool:
        self._pair.point("undecided")
        if self._pair.chance.random() < 0.5:
            self._pair.medium.heal()
        return False


class Inner:
    """The verifier's process."""

    def __init__(self, pair: SimulatedPair) -> None:
        self.pair = pair
        (pair.folder / "inner").mkdir()
        (pair.folder / "none").mkdir()
        self.side = VerifyingSide(pair.folder / "none", pair.folder / "inner")
        self.side.medium = pair.medium
        self.side.validators = Validators()
        self.start()

    def start(self) -> None:
        self.side.now_s = self.pair.now_s
        self.side.audit.events.clear()
        self.side.restart()
        journal = self.side.journal
        assert journal is not None
        take = journal.take

        def taking(batch: Any) -> Any:
            self.pair.point("before the journal")
            repeated = take(batch)
            self.pair.point("journaled")
            return repeated

        journal.take = taking

    def step(self) -> None:
        self.side.now_s = self.pair.now_s
        if not sum(one.take_next() for one in self.side.streams.trusted):
            self.side.streams.look()
            for one in self.side.streams.trusted:
                one.look()
        self.side.audit.events.clear()


class Replayer:
    """The replayer's process."""

    def __init__(self, pair: SimulatedPair) -> None:
        self.pair = pair
        self.policy = DeliveryPolicy(attempts_max=0)
        self.store: DeliveryStore | None = None
        self.start()

    def start(self) -> None:
        self.stop()
        folder = self.pair.folder / "inner"
        self.store = store = DeliveryStore(folder / "delivery.db")
        self.journal = JournalReader(folder / "journal.db", CIPHER)
        self.queues = {channel: store.load(channel) for channel in CHANNELS}
        self.pending: list[Outcome] = []

    def stop(self) -> None:
        if self.store is not None:
            self.store.close()
            self.journal.close()
        self.store = None

    def step(self, channel: str) -> bool:
        """One attempt; whether there was one to make."""
        queue, now_s = self.queues[channel], self.pair.now_s
        position = queue.next(now_s)
        if position is None and not queue.is_held(now_s) and queue.taken < 50:
            for message in self.journal.waiting(channel, queue.taken_up_to, 16):
                queue.take(message.position, message.order_key if CHANNELS[channel] else None)
            position = queue.next(now_s)
        if position is None:
            return False
        message = self.journal.get(position)
        if message is None:
            raise Wrong(f"{channel}: position {position} is gone")
        result = ANSWERS[self.pair.chance.choice(ANSWERS_DRAWN)]
        if isinstance(result, Delivered) or self.pair.chance.random() < 0.3:
            # Or the sink took it, and its answer was lost.
            self.pair.sink.take(channel, int(message.payload), message.message_id)
        self.pair.point("before the outcome")
        progress = queue.progress(position).after(result, self.pair.now_ms)
        decision = decide(result, progress, self.policy, self.pair.chance.random())
        if isinstance(decision, Delivered):
            queue.settle(position, progress)
            self._note(message, State.DELIVERED, progress)
        else:
            holds = decision.reason in SINK_TAKES_NOTHING
            at_s = now_s + decision.seconds
            queue.retry(position, progress, at_s, holds_channel=holds)
            self._note(message, State.DELIVERING, progress)
        return True

    def _note(self, message: Any, state: State, progress: Progress) -> None:
        settled = self.pair.now_ms if state is State.DELIVERED else None
        cursor = self.queues[message.channel].cursor
        self.pending.append(
            Outcome(
                message.position,
                message.message_id,
                message.channel,
                state,
                progress,
                None,
                settled,
                cursor,
            )
        )

    def commit(self) -> None:
        assert self.store is not None
        if self.pending:
            self.store.commit(self.pending)
            self.pending = []


class SimulatedPair:
    """Takes steps that a driver chooses; all else that is left to chance comes from `chance`.

    Steps raise Wrong where the promise is broken.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.chance = chance
        self.now_s = 1_000.0
        self.now_ms = 1_790_000_000_000
        self.steps = self.kills = 0
        self._dies_in: int | None = None
        self.medium = SimulatedMedium(self.chance, self.point)
        self.sink = Sink()
        self.outer = Outer(self)
        self._alive(self.outer.start)
        self.inner = Inner(self)
        self.replayer = Replayer(self)

    def close(self) -> None:
        self.outer.stop()
        self.inner.side.close()
        self.replayer.stop()

    def point(self, _name: str) -> None:
        """An instant at which the process at work may be killed."""
        if self._dies_in is not None:
            self._dies_in -= 1
            if self._dies_in <= 0:
                self._dies_in = None
                raise Killed

    def run(self, steps: int) -> None:
        """So many steps, drawn by their weights, and then a day on which all is well."""
        for name in self.chance.choices(list(STEPS), STEPS.values(), k=steps):
            self.steps += 1
            getattr(self, name)()
        self.all_is_well()

    # --- steps

    def send(self) -> None:
        """Each sender sends what it was not acknowledged for yet."""
        if self.outer.committer is None:
            self._alive(self.outer.start)
            return
        channels = [name for name in CHANNELS if self.chance.random() < 0.7]
        if channels:
            self._may_die(lambda: self._alive(lambda: self.outer.send(channels)), self._outer_died)

    def heartbeat(self) -> None:
        """A file without entries."""
        if self.outer.committer is not None:
            self._may_die(self._alive_heartbeat, self._outer_died)

    def _alive_heartbeat(self) -> None:
        if self.outer.committer is not None:
            self._alive(self.outer.committer.heartbeat)

    def verify(self) -> None:
        """The verifier takes what is next, and looks."""
        self._may_die(lambda: self._alive(self.inner.step), self.inner.start)

    def deliver(self) -> None:
        """The replayer makes one attempt on one channel."""
        channel = self.chance.choice(list(CHANNELS))
        self._may_die(lambda: self.replayer.step(channel), self.replayer.start)

    def commit_outcomes(self) -> None:
        """The replayer records what became of its attempts."""
        self.replayer.commit()

    def time_passes(self) -> None:
        """Up to an hour."""
        self._pass(self.chance.choice([0.1, 1.0, 5.0, 31.0, 3600.0]))

    def _pass(self, seconds: float) -> None:
        self.now_s += seconds
        self.now_ms += int(seconds * 1000)

    def trouble(self) -> None:
        """The medium or a clock goes wrong, or the medium is well again."""
        kind = self.chance.choice(["full", "away", "undecided", "heal", "heal", "clock"])
        if kind == "heal":
            self.medium.heal()
        elif kind == "clock":
            self.now_ms += self.chance.choice([-1, 1]) * self.chance.randrange(10**11)
            self.now_ms = min(max(self.now_ms, 1), 2**50)
        else:
            setattr(self.medium, kind, True)

    def medium_changes(self) -> None:
        """A file is lost, damaged, or comes back."""
        recent = list(self.medium.files)[-20:]
        if recent and self.chance.random() < 0.6:
            place = self.chance.choice(recent)
            change = self.medium.lose if self.chance.random() < 0.6 else self.medium.damage
            change(place)
        elif self.medium.gone:
            self.medium.come_back(self.chance.choice(list(self.medium.gone)))

    def resend(self) -> None:
        """An operator has some of the last files published again."""
        if self.outer.spool is not None:
            last = self.outer.spool.head().last_sequence
            first = max(1, last - self.chance.randrange(1, 30))
            self.outer.resend(first, last)

    def kill_one(self) -> None:
        """One of the three processes dies between two pieces of work."""
        self.kills += 1
        self.chance.choice([self._outer_died, self.inner.start, self.replayer.start])()

    def _outer_died(self) -> None:
        self.outer.stop()
        self._alive(self.outer.start)

    def _may_die(self, work: Callable[[], object], died: Callable[[], None]) -> None:
        if self.chance.random() >= 0.96:
            self._dies_in = self.chance.randrange(1, 7)
        try:
            work()
        except Killed:
            self.kills += 1
            self._dies_in = None
            died()
        finally:
            self._dies_in = None

    def _alive(self, work: Callable[[], object]) -> None:
        """What is not possible now is tried again later."""
        try:
            work()
        except Unavailable:
            if self.outer.committer is None:
                self.outer.stop()

    # --- the end of a day

    def all_is_well(self) -> None:
        """Nothing fails, the operator resends what is missing, and everything must have arrived."""
        self.medium.heal()
        self._alive_heartbeat()
        while self.outer.committer is None:
            self._alive(self.outer.start)
            self._alive_heartbeat()
        committer = self.outer.committer
        assert self.outer.spool is not None
        self.outer.spool.mark_published(committer.published_up_to)
        for _ in range(50):
            self._pass(31.0)
            self.inner.step()
            missing = self.inner.side.gaps()
            for first, last, _ in missing:
                self.outer.resend(first, last)
            if not missing and self._has_all(committer):
                break
        else:
            raise Wrong(f"still missing: {self.inner.side.gaps()}")
        self._deliver_everything()
        self._judge()
        self._forget()

    def _has_all(self, committer: Committer) -> bool:
        (intake,) = self.inner.side.streams.trusted
        if intake.state.next_sequence <= committer.last_sequence:
            self.outer.resend(intake.state.next_sequence, committer.last_sequence)
            return False
        return True

    def _deliver_everything(self) -> None:
        for _ in range(100_000):
            moved = [self.replayer.step(channel) for channel in CHANNELS]
            if not any(moved):
                waits = [queue.wakes_at_s() for queue in self.replayer.queues.values()]
                due = [at_s for at_s in waits if at_s is not None]
                if not due:
                    break
                self._pass(max(0.0, min(due) - self.now_s) + 0.001)
        else:
            raise Wrong("delivery does not come to an end")
        self.replayer.commit()

    def _judge(self) -> None:
        for channel, number in self.outer.acknowledged.items():
            arrived = self.sink.ids[channel]
            lost = [each for each in range(number) if each not in arrived]
            if lost:
                raise Wrong(f"{channel}: acknowledged and lost: {lost[:9]}")
            if len(arrived) > number + 1:
                raise Wrong(f"{channel}: {len(arrived)} arrived, {number} were acknowledged")
        held = self.inner.side.journal.held(self.inner.side.streams.trusted[0].state.stream_id)
        if held:
            raise Wrong(f"held although nothing is missing: {held}")

    def _forget(self) -> None:
        """What is settled goes on both sides, so that memory and time stay what they are."""
        (intake,) = self.inner.side.streams.trusted
        following = intake.state.next_sequence
        self.medium.clean(lambda _: following)
        assert self.outer.spool is not None
        database = self.outer.spool._database
        database.execute("DELETE FROM files WHERE sequence < ?", (following - 1,))
        self.inner.side.journal.connection.execute("DELETE FROM quarantine")
