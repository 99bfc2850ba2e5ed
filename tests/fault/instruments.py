"""What a forked agent can be told to do to itself: die at an instant, or carry a planted bug.

Nothing of this is in the agents: their functions are wrapped in the child before it runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from ferry_format.medium import durable
from ferry_format.medium.writer import MediumWriter
from inner_agent import verifier_service
from inner_agent.channel_pipeline import ChannelPipeline
from inner_agent.delivery_store import DeliveryStore
from inner_agent.journal_writer import JournalWriter
from outer_agent import service as outer_service
from outer_agent.commit import Committer
from outer_agent.spool import Spool
from validators.registry import ContentSpec, build_spec
from validators.verdict import Verdict

POINTS: dict[str, dict[str, tuple[Any, str, str]]] = {
    "outer": {
        "before staging": (MediumWriter, "write_aside", "before"),
        "written aside": (MediumWriter, "write_aside", "after"),
        "staged": (MediumWriter, "sync", "after"),
        "before the spool": (Spool, "commit", "before"),
        "spooled": (Spool, "commit", "after"),
        "before the rename": (durable, "rename_new", "before"),
        "renamed": (durable, "rename_new", "after"),
        "published": (MediumWriter, "publish", "after"),
        "before the acknowledgement": (Committer, "commit", "after"),
    },
    "verifier": {
        "before the journal": (JournalWriter, "take", "before"),
        "journaled": (JournalWriter, "take", "after"),
    },
    "replayer": {
        "before the attempt": (ChannelPipeline, "_attempt", "before"),
        "the sink answered": (ChannelPipeline, "_record", "before"),
        "before the record": (DeliveryStore, "commit", "before"),
        "recorded": (DeliveryStore, "commit", "after"),
    },
}


class ValidatorsInside:
    """WorkerPool's methods without its processes."""

    sandbox = "none: validators run inside, for tests"
    workers_ended = 0

    def __init__(self, specs: Mapping[str, ContentSpec], *_: Any, **__: Any) -> None:
        self._validators = {name: build_spec(spec) for name, spec in specs.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def validate_many(self, items: Sequence[tuple[str, bytes]]) -> list[Verdict]:
        return [self._validators[channel].validate(payload) for channel, payload in items]

    async def validate(self, channel: str, payload: bytes) -> Verdict:
        return self._validators[channel].validate(payload)


def apply(orders: Mapping[str, Any]) -> None:
    """`die`: [role, point, passage]; `bug`: the name of one of BUGS."""
    outer_service.WorkerPool = ValidatorsInside
    verifier_service.WorkerPool = ValidatorsInside
    if "bug" in orders:
        BUGS[orders["bug"]]()
    if "die" in orders:
        role, point, passage = orders["die"]
        _die_at(*POINTS[role][point], passage)


def _die_at(owner: Any, name: str, when: str, passage: int) -> None:
    original = getattr(owner, name)
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        if passed == passage:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            count()
        result = original(*arguments, **named)
        if when == "after":
            count()
        return result

    setattr(owner, name, wrapped)


# --- bugs --------------------------------------------------------------------------------------


def acknowledge_before_it_is_durable() -> None:
    """The receipt is given at once; the commit follows."""
    from outer_agent.admission import Receipt
    from outer_agent.publisher import Publisher

    publish = Publisher.publish
    kept = []

    async def early(self: Publisher, admitted: Any, *, reuse: Any) -> Receipt:
        async def later() -> None:
            await asyncio.sleep(0.02)
            await publish(self, admitted, reuse=reuse)

        kept.append(asyncio.ensure_future(later()))
        return Receipt(admitted.message_id, duplicate=False)

    Publisher.publish = early


def record_before_the_sink_answered() -> None:
    """The outcome is written down, and then the message is sent."""
    from inner_agent.delivery import Progress
    from inner_agent.sinks.base import Delivered

    attempt = ChannelPipeline._attempt

    async def eager(self: ChannelPipeline, message: Any) -> Any:
        self._record(message, Progress(1), Delivered())
        await self._writer.durable()
        await asyncio.sleep(0.01)  # on the way to a system that takes its time
        return await attempt(self, message)

    record = ChannelPipeline._record
    recorded: set[int] = set()

    def once(self: ChannelPipeline, message: Any, progress: Any, decision: Any) -> None:
        if message.position not in recorded:
            recorded.add(message.position)
            record(self, message, progress, decision)

    ChannelPipeline._attempt = eager
    ChannelPipeline._record = once


def no_directory_fsync() -> None:
    """A rename that no power cut survives, and that the spool believes in at once.

    Without the second half it does no harm: the spool publishes its last file again at each start.
    """
    durable.sync_directory = lambda _path: None
    publish = MediumWriter.publish

    def believing(self: MediumWriter, staged: Any) -> None:
        publish(self, staged)
        spools[0].mark_published(staged.sequence)

    spools: list[Spool] = []
    make = Spool.__init__

    def made(self: Spool, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        spools.append(self)

    MediumWriter.publish, Spool.__init__ = believing, made


def no_fsync_at_all() -> None:
    """Acknowledged before the disk has it: neither the file nor the spool is synchronised."""
    durable.sync_directory = lambda _path: None
    durable.os = _WithoutFsync(os)
    _unsafe(Spool)


def journal_without_fsync() -> None:
    """The journal is written after the replayer had it: SQLite does not wait for the disk."""
    _unsafe(JournalWriter)


class _WithoutFsync:
    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return (lambda _: None) if name in {"fsync", "fdatasync"} else getattr(self._real, name)


def _unsafe(store: Any) -> None:
    make = store.__init__

    def made(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        connection = getattr(self, "_database", None) or self.connection
        connection.execute("PRAGMA synchronous = OFF")

    store.__init__ = made


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        acknowledge_before_it_is_durable,
        record_before_the_sink_answered,
        no_directory_fsync,
        no_fsync_at_all,
        journal_without_fsync,
    )
}
