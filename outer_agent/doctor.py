"""`ferry-outer doctor`: looks at everything the sending side depends on, and says what is wrong.

Writes one byte aside on the medium and removes it; changes nothing else. What is made of what is
seen stands in diagnosis.py and ferry_runtime/doctor/verdicts.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferry_format.medium.reader import MediumReader
from ferry_format.reasons import FerryError
from ferry_runtime.addresses import parse_listen
from ferry_runtime.doctor import either_side, host, verdicts
from ferry_runtime.doctor import medium as medium_looks
from ferry_runtime.doctor.findings import Area, Diagnosis, Finding, Side, well
from ferry_runtime.doctor.looks import Look, take_all
from ferry_runtime.observation_client import ask, samples
from ferry_runtime.secrets import is_credential
from ferry_runtime.sections import (
    AgentSection,
    AuditSection,
    MetricsSection,
    PolicySection,
    ScannerSection,
)
from ferry_runtime.sole_agent import LOCK_NAME
from outer_agent import diagnosis
from outer_agent.channel_counts import count_channels
from outer_agent.checks import check_outer
from outer_agent.config import (
    FolderSource,
    IntakeSection,
    KeysSection,
    MediumSection,
    OuterConfig,
    ServerSource,
    SourceSection,
    SpoolSection,
    load_config,
)
from outer_agent.medium_probe import probe_as
from outer_agent.policy import load_policy
from outer_agent.service import certificate_files, spool_path
from outer_agent.spool import Spool, StreamHead

WITHIN_S: Final = 11.0
AUDIT_BYTES_MIN: Final = 64 * 1024 * 1024

_HERE: Final = Side.OUTER
_APPEARS_S: Final = 2.0
_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class OuterParts:
    """What of outer.toml can be used, be the rest broken."""

    agent: AgentSection | None = None
    keys: KeysSection | None = None
    policy: PolicySection | None = None
    medium: MediumSection | None = None
    spool: SpoolSection | None = None
    metrics: MetricsSection | None = None
    audit: AuditSection | None = None
    scanner: ScannerSection | None = None
    intake: IntakeSection | None = None
    sources: tuple[SourceSection, ...] = ()


def examine(config_path: Path) -> Diagnosis:
    """All that is found."""
    parts = either_side.parts_of(OuterParts, OuterConfig, config_path)
    looks = [
        Look(
            Area.CONFIGURATION,
            _HERE,
            "what the configuration names",
            lambda: _configuration(config_path),
            leans=True,
        ),
        Look(Area.KEYS, _HERE, "the secret files", lambda: _secrets(parts), leans=True),
        Look(Area.LISTENERS, _HERE, "the drop folders", lambda: _drop_folders(parts), leans=True),
        Look(Area.CERTIFICATES, _HERE, "the certificates", lambda: look_at_certificates(parts)),
    ]
    if parts.agent is not None:
        agent = parts.agent
        looks.append(
            Look(Area.STATE, _HERE, "the state folder", lambda: look_at_state(agent, parts))
        )
    workers = parts.intake or IntakeSection()
    looks += either_side.looks_at_host(
        _HERE, sandbox_required=workers.sandbox_required, scanned_by=parts.scanner
    )
    if parts.medium is not None:
        medium = parts.medium
        looks += [
            Look(Area.MEDIUM, Side.MEDIUM, "the medium", lambda: _medium(medium, parts)),
            Look(
                Area.FILES,
                Side.MEDIUM,
                "what lies on the medium",
                lambda: _medium_in_use(medium, parts),
                leans=True,
            ),
        ]
    if parts.metrics is not None:
        metrics = parts.metrics
        looks.append(Look(Area.AGENT, _HERE, "the agent", lambda: look_at_agent(metrics, parts)))
    found = take_all(looks, WITHIN_S)
    name = "ferry-outer" if parts.agent is None else parts.agent.name
    return Diagnosis(name, _HERE, tuple(found))


def _configuration(config_path: Path) -> Iterator[Finding]:
    return either_side.look_at_configuration(
        _HERE,
        config_path,
        load_config,
        lambda config: load_policy(config.policy.file, config.policy.security_admin),
        check_outer,
    )


def _secrets(parts: OuterParts) -> Iterator[Finding]:
    paths = [] if parts.keys is None else [parts.keys.signing]
    paths += [] if parts.audit is None else [parts.audit.key]
    paths += [
        one.tls_key
        for one in parts.sources
        if isinstance(one, ServerSource) and one.tls_key is not None
    ]
    found = [host.secret(path, credential=is_credential(path)) for path in dict.fromkeys(paths)]
    yield from verdicts.of_secrets(found, _agent_user(parts), _HERE)


def look_at_certificates(parts: OuterParts) -> Iterator[Finding]:
    """Until when each certificate is valid."""
    paths = (one.path for one in certificate_files(parts.sources))
    return either_side.look_at_certificates(_HERE, paths)


def look_at_state(agent: AgentSection, parts: OuterParts) -> Iterator[Finding]:
    """The state folder and the audit trail's: rights, owners, room."""
    folder = agent.state_dir
    least = 0 if parts.spool is None else parts.spool.free_bytes_min
    yield from either_side.look_at_state(_HERE, folder, least)
    if parts.audit is not None and parts.audit.dir.is_dir() and folder.is_dir():
        audit = parts.audit.dir
        if audit.stat().st_dev != folder.stat().st_dev:
            yield verdicts.of_room(Area.STATE, audit, host.room(audit), AUDIT_BYTES_MIN, _HERE)
    if spool_path(folder).exists():
        spool = Spool.open_read_only(spool_path(folder))
        try:
            usage = spool.usage()
        finally:
            spool.close()
        yield well(Area.STATE, f"the spool holds {usage.files} files, {verdicts.size(usage.bytes)}")


def _drop_folders(parts: OuterParts) -> Iterator[Finding]:
    user = _agent_user(parts)
    for source in parts.sources:
        if user is not None and isinstance(source, FolderSource) and source.path.is_dir():
            closed = host.closed_to(user, source.path, os.R_OK | os.W_OK | os.X_OK)
            yield from verdicts.of_closed(
                Area.LISTENERS, source.path, closed, user, "take files from", _HERE
            )


def _medium(medium: MediumSection, parts: OuterParts) -> Iterator[Finding]:
    if not medium.path.exists():
        yield either_side.no_medium(medium.path)
        return
    seen = medium_looks.look_at(medium.path)
    published = not seen.is_bare or _has_published(parts)
    yield from verdicts.of_mount(seen, _HERE, published=published)
    yield verdicts.of_room(
        Area.MEDIUM, medium.path, host.room(medium.path), medium.free_bytes_min, Side.MEDIUM
    )


def _medium_in_use(medium: MediumSection, parts: OuterParts) -> Iterator[Finding]:
    """What takes the state folder too: whose rights count, and what was published."""
    if not medium.path.exists():
        return
    seen = medium_looks.look_at(medium.path)
    user = _agent_user(parts)
    if user is not None:
        wanted = os.R_OK | os.W_OK | os.X_OK
        closed = host.closed_to(user, medium.path, wanted)
        if closed is None and seen.staged:
            yield diagnosis.of_probe(probe_as(user, medium.path), medium.path, user)
        yield from verdicts.of_closed(
            Area.MEDIUM, medium.path, closed, user, "write to", Side.MEDIUM
        )
    head = _head(parts)
    if head is not None and not (seen.is_bare and head.last_sequence):
        yield from _newest(medium, head, parts)


def _newest(medium: MediumSection, head: StreamHead, parts: OuterParts) -> Iterator[Finding]:
    """A file is in the spool an instant before it is on the medium, so it is waited for."""
    reader = MediumReader(medium.path, None)
    deadline_s = time.monotonic() + _APPEARS_S
    while True:
        files = medium_looks.newest_files(reader, head.stream_id, head.last_sequence)
        there = bool(files) and files[-1].sequence >= head.last_sequence
        if there or time.monotonic() > deadline_s:
            break
        time.sleep(_LOOK_S)
    yield from diagnosis.of_newest(
        files,
        head.last_sequence,
        time.time(),
        medium.heartbeat_s,
        _agent_user(parts),
        running=_process(parts) is not None,
    )


def look_at_agent(metrics: MetricsSection, parts: OuterParts) -> Iterator[Finding]:
    """Whether it runs, takes messages, holds its ports, and refuses not all of a channel."""
    process = _process(parts)
    ready = ask(metrics.listen, "/readyz")
    yield diagnosis.of_agent(process, ready)
    sockets = host.listening()
    agents_sockets = None if process is None else host.sockets_of(process)
    listeners = [("metrics", metrics.listen)]
    listeners += [(one.name, one.listen) for one in parts.sources if isinstance(one, ServerSource)]
    for name, listen in listeners:
        yield diagnosis.of_listener(
            name,
            listen,
            host.holders(parse_listen(listen), sockets),
            _agent_user(parts),
            running=process is not None,
            agents_sockets=agents_sockets,
        )
    page = None if ready is None else ask(metrics.listen, "/metrics")
    if page is not None:
        yield from diagnosis.of_channels(count_channels(samples(page.body)))


def _head(parts: OuterParts) -> StreamHead | None:
    """Where the stream stands; None if that cannot be known (the look at the state says why)."""
    if parts.agent is None:
        return None
    try:
        spool = Spool.open_read_only(spool_path(parts.agent.state_dir))
    except FerryError:
        return None
    try:
        return spool.head()
    finally:
        spool.close()


def _has_published(parts: OuterParts) -> bool:
    head = _head(parts)
    return head is not None and head.last_sequence > 0


def _process(parts: OuterParts) -> int | None:
    return None if parts.agent is None else host.lock_holder(parts.agent.state_dir / LOCK_NAME)


def _agent_user(parts: OuterParts) -> host.User | None:
    """Whose the state folder is: the agent's user, whoever runs the doctor."""
    return None if parts.agent is None else host.owner(parts.agent.state_dir)
