"""The replayer as a daemon: built from the two files, started, watched, stopped.

It sees what the verifier passed, in the journal, and nothing of the medium. Its observation port
also serves the metrics that the verifier, which has no network, leaves in a file.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from ferry_format.keys import KeyKind
from ferry_format.reasons import Unavailable
from ferry_runtime import notify, secrets
from ferry_runtime.addresses import parse_listen
from ferry_runtime.audit import AuditTrail
from ferry_runtime.host_metrics import CertificateFile, HostMetrics, watch_process
from ferry_runtime.logs import event
from ferry_runtime.observation import ObservationServer
from ferry_runtime.observation_client import samples
from ferry_runtime.status import today
from ferry_runtime.status.today import Count, Key
from inner_agent import journal_schema, sinks
from inner_agent.at_rest import PayloadCipher
from inner_agent.channel_pipeline import Route
from inner_agent.config import FolderSink, InnerConfig, SinkSection
from inner_agent.delivery import DeliveryPolicy, State
from inner_agent.delivery_store import DeliveryStore, Outcome
from inner_agent.hint import HINT_NAME, HintReader
from inner_agent.journal import JournalReader
from inner_agent.policy import InnerPolicy, SenderSection
from inner_agent.replay_journal import ReplayJournal
from inner_agent.replayer import Replayer, ReplayerTimes
from inner_agent.replayer_metrics import DELIVERIES, PREFIX, ReplayerMetrics
from inner_agent.verifier import DELIVERY_NAME
from inner_agent.verifier_metrics import FILES, MESSAGES, METRICS_FILE_NAME
from inner_agent.verifier_service import journal_path

_LOG = logging.getLogger("ferry.inner.replayer")
_JOURNAL_WAIT_S: Final = 60.0
_JOURNAL_LOOK_S: Final = 0.05
_TEND_S: Final = 1.0
_AUDITED: Final = frozenset({State.DELIVERED, State.DEAD})
_VERIFIER_SILENT_S: Final = 10.0


async def run(config: InnerConfig, rules: InnerPolicy) -> None:
    """Replay until SIGTERM or SIGINT. Raises FerryError if it cannot start or must stop."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    state_dir = config.agent.state_dir
    audit = AuditTrail(
        config.audit.dir / "replayer",
        config.agent.name,
        secrets.read_key(config.audit.key, KeyKind.AUDIT),
        checkpoint_records=config.audit.checkpoint_records,
        keep_days=config.audit.keep_days,
    )
    audit.record("replayer_started", durable=True, policy=rules.origin.sha256)
    hint = HintReader(state_dir / HINT_NAME)
    store = DeliveryStore(state_dir / DELIVERY_NAME)
    built = {section.name: sinks.build(section) for section in config.sinks}
    try:
        reader = await _journal(config, asked)
        if reader is None:
            return
        registry = CollectorRegistry()
        metrics = ReplayerMetrics(registry)
        _watch_host(registry, config)
        _show_key_expiry(metrics, rules)
        prom = state_dir / METRICS_FILE_NAME
        metrics.verifier_silent.set_function(partial(_silent_s, prom))
        replayer = Replayer(
            _routes(rules),
            built,
            journal=ReplayJournal(reader),
            store=store,
            metrics=metrics,
            hint=hint,
            on_durable=partial(_record, audit),
            times=ReplayerTimes(keep_delivered_s=config.journal.keep_record_hours * 3600),
        )
        observation = ObservationServer(
            registry, lambda: _readiness(replayer, prom), lambda: _verifier_metrics(prom)
        )
        await observation.start(parse_listen(config.metrics.listen))
        counting = asyncio.create_task(
            today.keep(state_dir / today.FILE_NAME, partial(_counts, metrics, prom))
        )
        try:
            await _replay(replayer, asked, audit)
        finally:
            counting.cancel()
            await observation.stop()
            reader.close()
    finally:
        for sink in built.values():
            await sink.close()
        store.close()
        hint.close()
        audit.record("replayer_stopped")
        audit.close()


def _record(audit: AuditTrail, outcome: Outcome) -> None:
    """Into the audit trail: what was delivered and what was given up; retries are metrics."""
    if outcome.state in _AUDITED:
        audit.record(
            f"message_{outcome.state}",
            message_id=outcome.message_id,
            channel=outcome.channel,
            attempts=outcome.progress.attempts,
            reason=outcome.reason,
        )


async def _replay(replayer: Replayer, asked: asyncio.Event, audit: AuditTrail) -> None:
    await replayer.start()
    notify.ready("replaying")
    event(_LOG, "started")
    ended = asyncio.create_task(replayer.wait())
    stopping = asyncio.create_task(asked.wait())
    tending = asyncio.create_task(_tend(audit, replayer))
    await asyncio.wait({ended, stopping, tending}, return_when=asyncio.FIRST_COMPLETED)
    notify.stopping()
    stopping.cancel()
    failed = [task for task in (ended, tending) if task.done() and not task.cancelled()]
    await replayer.stop()
    tending.cancel()
    for task in failed:
        task.result()
    await ended
    event(_LOG, "stopped")


async def _tend(audit: AuditTrail, replayer: Replayer) -> None:
    """Write the audit trail out; while it has no room, nothing is delivered.

    The watchdog is fed only while the event loop turns and the store's thread is not stuck.
    """
    while True:
        await asyncio.sleep(_TEND_S)
        try:
            await asyncio.to_thread(audit.flush, durable=True)
        except Unavailable as failure:
            replayer.hold(failure)
        else:
            replayer.hold(None)
        if replayer.is_moving:
            notify.watchdog()


def _counts(metrics: ReplayerMetrics, prom: Path) -> dict[Key, Count]:
    """Both processes' counters, for what `status` tells of today."""
    wanted = (FILES, MESSAGES)  # the whole page would take milliseconds from deliveries
    lines = _verifier_metrics(prom).decode().splitlines()
    verified = samples("".join(f"{line}\n" for line in lines if line.startswith(wanted)))
    return {
        **today.counts_of(MESSAGES, verified),
        **today.counts_of(FILES, verified),
        **today.counts_in(DELIVERIES, metrics.deliveries),
    }


async def _journal(config: InnerConfig, asked: asyncio.Event) -> JournalReader | None:
    """Wait until the verifier has made the journal; None if told to stop before.

    After a while the journal is opened whatever its state, so that the fault itself is told.
    """
    path = journal_path(config.agent.state_dir)
    cipher = PayloadCipher.from_key_file(config.keys.journal)
    deadline_s = time.monotonic() + _JOURNAL_WAIT_S
    while not journal_schema.is_made(path) and time.monotonic() < deadline_s:
        with suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), _JOURNAL_LOOK_S)
            return None
    return JournalReader(path, cipher)


def _watch_host(registry: CollectorRegistry, config: InnerConfig) -> None:
    watch_process(registry, f"{PREFIX}_replayer")
    host = HostMetrics(registry, PREFIX)
    host.watch_folders({"agent.state_dir": config.agent.state_dir, "audit.dir": config.audit.dir})
    host.read_certificates(certificate_files(config.sinks))


def certificate_files(sections: Iterable[SinkSection]) -> Iterator[CertificateFile]:
    """Every certificate that the sinks name."""
    for one in sections:
        if not isinstance(one, FolderSink):
            for setting, path in (("tls_ca", one.tls_ca), ("tls_certificate", one.tls_certificate)):
                if path is not None:
                    yield CertificateFile(one.name, setting, path)


def _show_key_expiry(metrics: ReplayerMetrics, rules: InnerPolicy) -> None:
    for sender, until in key_expiry(rules.senders).items():
        metrics.key_expiry.labels(sender).set(until.timestamp())


def key_expiry(senders: Iterable[SenderSection]) -> dict[str, datetime]:
    """When the last key of each sender runs out; without those of whom one never does."""
    ends: dict[str, list[datetime | None]] = {}
    for one in senders:
        if not one.revoked:
            ends.setdefault(one.name, []).append(one.not_after)
    return {
        sender: max(end for end in found if end is not None)
        for sender, found in ends.items()
        if None not in found
    }


def _routes(rules: InnerPolicy) -> list[Route]:
    return [
        Route(
            channel.name,
            channel.sink,
            DeliveryPolicy(channel.attempts_max, channel.retry_first_s, channel.retry_most_s),
            channel.order_key_place is not None,
        )
        for channel in rules.channels
    ]


def _readiness(replayer: Replayer, prom: Path) -> tuple[bool, str]:
    ready, missing = replayer.ready()
    if not ready:
        return ready, missing
    silent_s = _silent_s(prom)
    if silent_s > _VERIFIER_SILENT_S:
        return False, f"the verifier has been silent for {silent_s:.0f} s"
    return True, ""


def _silent_s(prom: Path) -> float:
    """Seconds since the verifier wrote its metrics; infinite before the first time."""
    try:
        return max(0.0, time.time() - prom.stat().st_mtime)
    except OSError:
        return math.inf


def _verifier_metrics(prom: Path) -> bytes:
    try:
        return prom.read_bytes()
    except OSError:
        return b""
