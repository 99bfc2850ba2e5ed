"""The outer agent as a daemon: everything built from its two files, started, watched, stopped.

The order matters: the spool is locked and the medium caught up before the first source listens; at
the end the sources stop first, then what waits is made durable, then the audit trail is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from ferry_format import reasons
from ferry_format.container import Sealer
from ferry_format.keys import KeyKind
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import Refused, StorageFault, Unavailable
from ferry_runtime import notify, policy, secrets
from ferry_runtime.addresses import parse_listen
from ferry_runtime.audit import AuditTrail
from ferry_runtime.host_metrics import CertificateFile, HostMetrics, WorkersEnded, watch_process
from ferry_runtime.logs import event
from ferry_runtime.observation import ObservationServer
from ferry_runtime.sole_agent import SoleAgent
from ferry_runtime.status import today
from ferry_runtime.whole_file import create_file
from outer_agent import deidentification, freshness
from outer_agent.commit import Committer
from outer_agent.config import OuterConfig, ServerSource, SourceSection
from outer_agent.deidentification import DeidentifiedValidation
from outer_agent.intake import Intake
from outer_agent.metrics import MESSAGES, PREFIX, OuterMetrics
from outer_agent.object_crossing import Validation
from outer_agent.policy import OuterPolicy
from outer_agent.publisher import Publisher, Retention
from outer_agent.rebuilding import Rebuilding
from outer_agent.room import Marks
from outer_agent.senders import SenderDirectory
from outer_agent.sources import registry
from outer_agent.sources.base import Source, Surroundings
from outer_agent.spool import Spool
from outer_agent.virus_scan import ScannedValidation, VirusScan
from validators.registry import ContentSpec, build
from validators.worker import WorkerPool

_LOG = logging.getLogger("ferry.outer")
_FINGERPRINT_KEY_BYTES: Final = 32
_TEND_S: Final = 1.0
_DEIDENTIFICATION_S: Final = 6.0
"""For a message or batch of up to 1 MiB: it is judged twice and looked through twice."""


def clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def spool_path(state_dir: Path) -> Path:
    """Where the spool of an agent lies."""
    return state_dir / "spool.db"


@dataclass(slots=True)
class _Parts:
    """What runs, in the order in which it was started."""

    audit: AuditTrail
    spool: Spool
    pools: list[WorkerPool]
    publisher: Publisher
    sources: list[Source]
    observation: ObservationServer
    metrics: OuterMetrics


async def run(config: OuterConfig, rules: OuterPolicy) -> None:
    """Run until SIGTERM or SIGINT.

    Raises StorageFault if the disk broke a promise, FerryError or OSError if the agent cannot
    start.
    """
    with SoleAgent(config.agent.state_dir):
        parts = await _start(config, rules)
        tending = asyncio.create_task(_tend(parts))
        counting = asyncio.create_task(_count(config, parts.metrics))
        failing = asyncio.create_task(parts.publisher.failed())
        stopping = asyncio.create_task(_stop_signal())
        notify.ready(f"stream at {parts.spool.head().last_sequence}")
        event(_LOG, "started", validation_sandbox=parts.pools[0].sandbox)
        try:
            await asyncio.wait({failing, stopping, tending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            notify.stopping()
            failed = failing.done()
            for task in (failing, stopping, counting):
                task.cancel()
            await _stop(parts, tending)
            event(_LOG, "stopped")
        if failed:
            raise StorageFault(reasons.STORAGE_FAILED, "see storage_failed in the log")
        if tending.done() and not tending.cancelled():
            tending.result()


async def _start(config: OuterConfig, rules: OuterPolicy) -> _Parts:
    metrics_registry = CollectorRegistry()
    metrics = OuterMetrics(metrics_registry)
    _watch_host(metrics_registry, config)
    audit = AuditTrail(
        config.audit.dir,
        config.agent.name,
        secrets.read_key(config.audit.key, KeyKind.AUDIT),
        checkpoint_records=config.audit.checkpoint_records,
        keep_days=config.audit.keep_days,
    )
    audit.record("agent_started", durable=True, policy=rules.origin.sha256)
    spool = Spool(spool_path(config.agent.state_dir), clock_ms())
    signing = secrets.read_key(config.keys.signing, KeyKind.SIGN)
    receiver = rules.receiver.public_key
    if signing.public is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{signing.name} has no public part")
    medium = MediumWriter(config.medium.path, partial(freshness.is_ours, signing.public))
    committer = Committer(
        spool,
        medium,
        lambda stream_id: Sealer(signing, receiver, rules.lane, stream_id),
        clock_ms,
        partial(freshness.check, MediumReader(config.medium.path, None), signing.public),
    )
    publisher = Publisher(
        committer,
        spool,
        medium,
        _retention(config),
        metrics,
        spool_free_bytes=lambda: _free_bytes(config.agent.state_dir),
        clock_ms=clock_ms,
    )
    specs = _content_specs(config, rules)
    pool = WorkerPool(
        specs,
        config.intake.validator_processes,
        sandbox_required=config.intake.sandbox_required,
    )
    pools = [pool, *_deidentifying(config, rules, specs)]
    metrics_registry.register(
        WorkersEnded(PREFIX, lambda: sum(each.workers_ended for each in pools))
    )
    scan = None if config.scanner is None else VirusScan(config.scanner)
    intake = Intake(
        {channel.name: channel for channel in rules.channels},
        {name: build(spec.policy, spec.schemas).content_type for name, spec in specs.items()},
        _validation(pools, scan, rules),
        publisher,
        metrics,
        audit,
        _fingerprint_key(config.agent.state_dir),
        clock_ms,
        scan,
        _rebuilding(pools, config, rules),
    )
    surroundings = Surroundings(
        intake, SenderDirectory(rules.senders), metrics, clock_ms, config.agent.state_dir
    )
    sources = [registry.build(section, surroundings) for section in config.sources]
    listening = asyncio.Event()
    observation = ObservationServer(metrics_registry, lambda: _readiness(publisher, listening))
    await observation.start(parse_listen(config.metrics.listen))
    await publisher.start()
    for source in sources:
        await source.start()
    listening.set()
    return _Parts(audit, spool, pools, publisher, sources, observation, metrics)


async def _stop(parts: _Parts, tending: asyncio.Task[None]) -> None:
    await asyncio.gather(*(source.stop() for source in parts.sources))
    await parts.publisher.stop()
    tending.cancel()
    await parts.observation.stop()
    for pool in parts.pools:
        pool.close()
    parts.spool.close()
    parts.audit.record("agent_stopped")
    parts.audit.close()


async def _tend(parts: _Parts) -> None:
    """Once a second: write the audit trail out, and tell the service manager that we live.

    The watchdog is fed only while the event loop turns and the publisher's thread is not stuck.
    """
    while True:
        await asyncio.sleep(_TEND_S)
        try:
            await asyncio.to_thread(parts.audit.flush, durable=True)
        except Unavailable as failure:
            parts.publisher.hold(failure)
        else:
            parts.publisher.hold(None)
        if parts.publisher.is_moving:
            notify.watchdog()


async def _count(config: OuterConfig, metrics: OuterMetrics) -> None:
    """Keep what happened today, for `status`."""
    path = config.agent.state_dir / today.FILE_NAME
    await today.keep(path, lambda: today.counts_in(MESSAGES, metrics.messages))


async def _stop_signal() -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()


def _readiness(publisher: Publisher, listening: asyncio.Event) -> tuple[bool, str]:
    """Ready is who takes messages: a publisher that would, and sources that hear them."""
    reason = publisher.refuses_now()
    if reason is None and not listening.is_set():
        return False, "the sources are starting"
    if reason is None:
        return True, ""
    why = f"{reason.code} ({publisher.shortage})" if publisher.shortage else reason.code
    return False, f"{why}: {reason.action}"


def _watch_host(registry: CollectorRegistry, config: OuterConfig) -> None:
    watch_process(registry, PREFIX)
    host = HostMetrics(registry, PREFIX)
    host.watch_folders({"agent.state_dir": config.agent.state_dir, "audit.dir": config.audit.dir})
    host.read_certificates(certificate_files(config.sources))


def certificate_files(sources: Iterable[SourceSection]) -> Iterator[CertificateFile]:
    """Every certificate that the sources name."""
    for one in sources:
        if isinstance(one, ServerSource):
            settings = {
                "tls_certificate": one.tls_certificate,
                "tls_client_ca": one.tls_client_ca,
            }
            for setting, path in settings.items():
                if path is not None:
                    yield CertificateFile(one.name, setting, path)


def _deidentifying(
    config: OuterConfig, rules: OuterPolicy, content: Mapping[str, ContentSpec]
) -> Iterator[WorkerPool]:
    """The pool whose workers hold the keys of de-identification, if a channel asks for it."""
    specs = deidentification.specs(config.deidentification, rules, content)
    if specs and config.deidentification is not None:
        yield WorkerPool(
            specs,
            config.deidentification.processes,
            deadline_s=_DEIDENTIFICATION_S,
            sandbox_required=config.intake.sandbox_required,
        )


def _validation(
    pools: Sequence[WorkerPool], scan: VirusScan | None, rules: OuterPolicy
) -> Validation:
    scanned = [one.name for one in rules.channels if one.virus_scan and not one.takes_objects]
    validation: Validation = pools[0]
    if scan is not None:
        validation = ScannedValidation(validation, scan, scanned)
    if len(pools) == 1:
        return validation
    asking = [one.name for one in rules.channels if one.deidentification is not None]
    return DeidentifiedValidation(validation, pools[1], asking)


def _rebuilding(pools: Sequence[WorkerPool], config: OuterConfig, rules: OuterPolicy) -> Rebuilding:
    asking = [one.name for one in rules.channels if one.deidentification is not None]
    deidentification = pools[1] if len(pools) > 1 else None
    return Rebuilding(pools[0], config.agent.state_dir, deidentification, asking)


def _retention(config: OuterConfig) -> Retention:
    return Retention(
        medium_keep_hours=config.medium.keep_hours,
        spool_keep_hours=config.spool.keep_hours,
        spool_bytes_max=config.spool.bytes_max,
        marks=Marks(
            config.medium.bytes_max,
            config.medium.free_bytes_min,
            config.spool.free_bytes_min,
            config.medium.resume_percent,
        ),
        heartbeat_s=config.medium.heartbeat_s,
        waiting_max=config.intake.waiting_max,
    )


def _content_specs(config: OuterConfig, rules: OuterPolicy) -> Mapping[str, ContentSpec]:
    schemas = policy.read_schemas(config.policy.file.parent, rules.schema_files())
    return {channel.name: ContentSpec(channel.content, schemas) for channel in rules.channels}


def _fingerprint_key(state_dir: Path) -> bytes:
    """The installation's own secret for fingerprints; made at the first start."""
    path = state_dir / "fingerprint.key"
    if not path.exists():
        create_file(path, os.urandom(_FINGERPRINT_KEY_BYTES), 0o600)
    return secrets.read_secret(path)[:_FINGERPRINT_KEY_BYTES]


def _free_bytes(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize
