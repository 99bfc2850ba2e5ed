"""The verifier as a daemon: built from the two files, started, stopped. No sockets, no event loop.

The one socket it ever opens is the datagram by which it tells the service manager that it lives.
"""

from __future__ import annotations

import pwd
import signal
from contextlib import closing
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from ferry_format.container import Opener
from ferry_format.keys import KeyKind, TrustStore
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.watch import Watch
from ferry_runtime import notify, policy, secrets
from ferry_runtime.audit import AuditTrail
from ferry_runtime.host_metrics import WorkersEnded, watch_process
from inner_agent.at_rest import PayloadCipher
from inner_agent.config import InnerConfig, MediumSection
from inner_agent.intake_decisions import ChannelRule
from inner_agent.journal_writer import JournalWriter
from inner_agent.object_judging import ObjectJudging
from inner_agent.policy import InnerPolicy
from inner_agent.retention import RetentionPolicy
from inner_agent.verifier import Verifier, VerifierSettings
from inner_agent.verifier_metrics import PREFIX, VerifierMetrics
from inner_agent.virus_scan import ScannedValidators
from inner_agent.workplace import Validators
from validators.registry import ContentSpec, build
from validators.worker import WorkerPool

JOURNAL_NAME: Final = "journal.db"


def journal_path(state_dir: Path) -> Path:
    """Where the journal of an agent lies."""
    return state_dir / JOURNAL_NAME


def run(config: InnerConfig, rules: InnerPolicy) -> None:
    """Verify until SIGTERM or SIGINT. Raises FerryError if it cannot start or must stop."""
    state_dir = config.agent.state_dir
    receiving = [secrets.read_key(path, KeyKind.RECEIVE) for path in config.keys.receiving]
    opener = Opener(TrustStore(rules.trusted_senders()), receiving, rules.lane)
    cipher = PayloadCipher.from_key_file(config.keys.journal)
    specs = content_specs(config, rules)
    audit = AuditTrail(
        config.audit.dir / "verifier",
        config.agent.name,
        secrets.read_key(config.audit.key, KeyKind.AUDIT),
        checkpoint_records=config.audit.checkpoint_records,
        keep_days=config.audit.keep_days,
    )
    watch = Watch()
    registry = CollectorRegistry()
    try:
        with (
            WorkerPool(
                specs,
                config.validators.processes,
                sandbox_required=config.validators.sandbox_required,
                on_progress=notify.watchdog,
            ) as pool,
            closing(_journal(state_dir, cipher, pool, rules)) as journal,
        ):
            registry.register(WorkersEnded(PREFIX, lambda: pool.workers_ended))
            watch_process(registry, PREFIX)
            verifier = Verifier(
                _settings(config, rules, specs),
                medium=MediumReader(config.medium.path, owner_uid(config.medium)),
                watch=watch,
                opener=opener,
                validators=_validators(pool, config, rules),
                journal=journal,
                metrics=VerifierMetrics(registry),
                audit=audit,
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: verifier.stop())
            verifier.run()
    finally:
        watch.close()
        audit.close()


def _journal(
    state_dir: Path, cipher: PayloadCipher, pool: WorkerPool, rules: InnerPolicy
) -> JournalWriter:
    walked = [one.name for one in rules.channels if one.content.dicom is not None]
    judging = ObjectJudging(pool, walked, notify.watchdog)
    return JournalWriter(journal_path(state_dir), cipher, judging=judging)


def _validators(pool: WorkerPool, config: InnerConfig, rules: InnerPolicy) -> Validators:
    scanned = [channel.name for channel in rules.channels if channel.virus_scan]
    if config.scanner is None:
        return pool
    return ScannedValidators(pool, config.scanner, scanned, notify.watchdog)


def _settings(
    config: InnerConfig, rules: InnerPolicy, specs: dict[str, ContentSpec]
) -> VerifierSettings:
    channel_rules = {
        channel.name: ChannelRule(
            build(channel.content, specs[channel.name].schemas).content_type,
            channel.bytes_max,
            channel.on_gap == "hold",
            channel.content.objects is not None,
            channel.content.dicom is not None,
        )
        for channel in rules.channels
    }
    return VerifierSettings(
        config.agent.state_dir,
        channel_rules,
        RetentionPolicy(
            config.journal.keep_hours, config.journal.keep_record_hours, config.journal.bytes_max
        ),
        rules.gap_wait_s,
        config.medium.look_s,
        policy_sha256=rules.origin.sha256,
    )


def content_specs(config: InnerConfig, rules: InnerPolicy) -> dict[str, ContentSpec]:
    """What each channel's validator is built from. Raises Refused for a schema not signed for."""
    schemas = policy.read_schemas(config.policy.file.parent, rules.schema_files())
    return {
        channel.name: ContentSpec(
            channel.content, schemas, channel.order_key_place, deidentified=channel.deidentified
        )
        for channel in rules.channels
    }


def owner_uid(medium: MediumSection) -> int | None:
    """The user to whom files on the medium must belong; None: the owner of its root."""
    owner = medium.owner
    return pwd.getpwnam(owner).pw_uid if isinstance(owner, str) else owner
