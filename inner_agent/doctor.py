"""`ferry-inner doctor`: looks at everything the receiving side depends on, and says what is wrong.

Changes nothing and writes nothing on the medium. What is made of what is seen stands in
diagnosis.py and ferry_runtime/doctor/verdicts.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.container import Opener
from ferry_format.keys import KeyKind, TrustStore
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.watch import Watch
from ferry_format.reasons import FerryError, Reason, Refused
from ferry_runtime.configuration import ConfigurationError
from ferry_runtime.doctor import either_side, host, verdicts
from ferry_runtime.doctor import medium as medium_looks
from ferry_runtime.doctor.findings import Area, Diagnosis, Finding, Side
from ferry_runtime.doctor.looks import Look, take_all
from ferry_runtime.doctor.medium import FileSeen
from ferry_runtime.observation_client import ask, samples
from ferry_runtime.secrets import is_credential, read_key
from ferry_runtime.sections import (
    AgentSection,
    AuditSection,
    MetricsSection,
    PolicySection,
    ScannerSection,
)
from inner_agent import diagnosis, operator_orders, sinks
from inner_agent.at_rest import KEY_BYTES, PayloadCipher
from inner_agent.checks import check_inner
from inner_agent.config import (
    FolderSink,
    HttpSink,
    InnerConfig,
    KeysSection,
    MediumSection,
    SinkSection,
    ValidatorsSection,
    load_config,
)
from inner_agent.delivery import State
from inner_agent.diagnosis import Arrivals, NewestFile, SinkSeen
from inner_agent.journal import JournalReader, StreamRecord
from inner_agent.policy import load_policy
from inner_agent.quarantine import QuarantineReader
from inner_agent.replayer_service import certificate_files
from inner_agent.verifier import DELIVERY_NAME
from inner_agent.verifier_metrics import METRICS_FILE_NAME
from inner_agent.verifier_service import journal_path, owner_uid

WITHIN_S: Final = 11.0
WAIT_S_MAX: Final = 8.0
STATE_BYTES_MIN: Final = 256 * 1024 * 1024

_VERIFIER_UNIT: Final = "ferry-inner-verifier.service"
_HERE: Final = Side.INNER
_LOOK_S: Final = 0.25
_PROBE_S: Final = 7.0
_STREAMS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class InnerParts:
    """What of inner.toml can be used, be the rest broken."""

    agent: AgentSection | None = None
    keys: KeysSection | None = None
    policy: PolicySection | None = None
    medium: MediumSection | None = None
    metrics: MetricsSection | None = None
    audit: AuditSection | None = None
    scanner: ScannerSection | None = None
    validators: ValidatorsSection | None = None
    sinks: tuple[SinkSection, ...] = ()


def examine(config_path: Path, wait_s: float) -> Diagnosis:
    """All that is found. The next file is waited for at most `wait_s`."""
    parts = either_side.parts_of(InnerParts, InnerConfig, config_path)
    looks = [
        Look(
            Area.CONFIGURATION,
            _HERE,
            "what the configuration names",
            lambda: _configuration(config_path),
            leans=True,
        ),
        Look(Area.KEYS, _HERE, "the secret files", lambda: _secrets(parts), leans=True),
        Look(Area.CERTIFICATES, _HERE, "the certificates", lambda: look_at_certificates(parts)),
    ]
    looks += [
        Look(Area.SINKS, Side.INTERNAL, f"sink {one.name}", partial(_sink, one, parts))
        for one in parts.sinks
    ]
    if parts.agent is not None:
        state = parts.agent.state_dir
        looks += [
            Look(
                Area.STATE,
                _HERE,
                "the state folder",
                lambda: look_at_state(state),
            ),
            Look(Area.AGENT, _HERE, "the agent", lambda: look_at_agent(state, parts)),
            Look(Area.STREAMS, _HERE, "the journal", lambda: look_at_journal(state)),
            Look(Area.DEAD_LETTERS, _HERE, "the deliveries", lambda: look_at_deliveries(state)),
        ]
    workers = parts.validators or ValidatorsSection()
    looks += either_side.looks_at_host(
        _HERE, sandbox_required=workers.sandbox_required, scanned_by=parts.scanner
    )
    if parts.medium is not None:
        medium = parts.medium
        looks += [
            Look(Area.MEDIUM, Side.MEDIUM, "the medium", lambda: _medium(medium)),
            Look(
                Area.FILES,
                Side.MEDIUM,
                "what lies on the medium",
                lambda: _medium_in_use(medium, parts, wait_s),
                leans=True,
            ),
        ]
    found = take_all(looks, WITHIN_S)
    name = "ferry-inner" if parts.agent is None else parts.agent.name
    return Diagnosis(name, _HERE, tuple(found))


def _configuration(config_path: Path) -> Iterator[Finding]:
    return either_side.look_at_configuration(
        _HERE,
        config_path,
        load_config,
        lambda config: load_policy(config.policy.file, config.policy.security_admin),
        check_inner,
    )


def _secrets(parts: InnerParts) -> Iterator[Finding]:
    paths = [] if parts.keys is None else [*parts.keys.receiving, parts.keys.journal]
    paths += [] if parts.audit is None else [parts.audit.key]
    for one in parts.sinks:
        if not isinstance(one, FolderSink) and one.tls_key is not None:
            paths.append(one.tls_key)
        if isinstance(one, HttpSink) and one.authorization_file is not None:
            paths.append(one.authorization_file)
    found = [host.secret(path, credential=is_credential(path)) for path in dict.fromkeys(paths)]
    yield from verdicts.of_secrets(found, _agent_user(parts), _HERE)


def look_at_certificates(parts: InnerParts) -> Iterator[Finding]:
    """Until when each certificate is valid."""
    paths = (one.path for one in certificate_files(parts.sinks))
    return either_side.look_at_certificates(_HERE, paths)


def look_at_state(folder: Path) -> Iterator[Finding]:
    """The state folder: rights, owners, room."""
    return either_side.look_at_state(_HERE, folder, STATE_BYTES_MIN)


def look_at_agent(folder: Path, parts: InnerParts) -> Iterator[Finding]:
    """Whether verifier and replayer run, and take and deliver."""
    prom = folder / METRICS_FILE_NAME
    try:
        silent_s: float | None = max(0.0, time.time() - prom.stat().st_mtime)
    except FileNotFoundError:
        silent_s = None
    text = "" if silent_s is None else prom.read_text()
    unavailable = [
        sample.labels["reason"]
        for sample in samples(text)
        if sample.name == "ferry_inner_verifier_unavailable" and sample.value
    ]
    yield diagnosis.of_verifier(silent_s, unavailable)
    if parts.metrics is not None:
        yield diagnosis.of_replayer(ask(parts.metrics.listen, "/readyz"))


def look_at_journal(folder: Path) -> Iterator[Finding]:
    """Streams, gaps and refusals; without the journal's key, since no payload is looked at."""
    path = journal_path(folder)
    if not path.exists():
        return
    cipher = PayloadCipher(bytes(KEY_BYTES))
    now_s = time.time()
    with JournalReader(path, cipher) as journal:
        yield from diagnosis.of_streams(journal.streams(), now_s)
        yield from diagnosis.of_gaps(journal.gaps())
    with QuarantineReader(path, cipher) as quarantine:
        yield from diagnosis.of_quarantine(quarantine.newest(), now_s)


def look_at_deliveries(folder: Path) -> Iterator[Finding]:
    """Dead letters, and messages that hold their channel."""
    path = folder / DELIVERY_NAME
    if not path.exists():
        return
    counts = operator_orders.counts(path)
    dead = {channel: states.get(State.DEAD, 0) for channel, states in counts.items()}
    delivering = operator_orders.dead_letters(path, states=(State.DELIVERING,))
    yield from diagnosis.of_deliveries(dead, delivering)


def _sink(section: SinkSection, parts: InnerParts) -> Iterator[Finding]:
    up: dict[str, bool] = {}
    page = None if parts.metrics is None else ask(parts.metrics.listen, "/metrics")
    if page is not None:
        up = {
            sample.labels["sink"]: bool(sample.value)
            for sample in samples(page.body)
            if sample.name == "ferry_inner_sink_up"
        }
    probed = asyncio.run(_probe(section))
    user = _agent_user(parts)
    if isinstance(section, FolderSink) and user is not None and probed is None:
        closed = host.closed_to(user, section.path, os.R_OK | os.W_OK | os.X_OK)
        yield from verdicts.of_closed(Area.SINKS, section.path, closed, user, "deliver to", _HERE)
    yield diagnosis.of_sink(SinkSeen(section.name, section.kind, probed, up.get(section.name)))


async def _probe(section: SinkSection) -> Reason | None:
    try:
        sink = sinks.build(section)
    except Refused as refused:
        return refused.reason
    try:
        async with asyncio.timeout(_PROBE_S):
            return await sink.probe()
    except TimeoutError:
        return reasons.SINK_UNREACHABLE
    finally:
        await sink.close()


def _medium(medium: MediumSection) -> Iterator[Finding]:
    if not medium.path.exists():
        yield either_side.no_medium(medium.path)
        return
    seen = medium_looks.look_at(medium.path)
    yield from verdicts.of_mount(seen, _HERE, published=True)
    if not seen.is_bare:
        yield verdicts.of_room(Area.MEDIUM, medium.path, host.room(medium.path), 0, Side.MEDIUM)


def _medium_in_use(medium: MediumSection, parts: InnerParts, wait_s: float) -> Iterator[Finding]:
    """What takes the state folder too: whose rights count, and what was taken already."""
    if not medium.path.exists():
        return
    seen = medium_looks.look_at(medium.path)
    user = None if parts.agent is None else host.owner(parts.agent.state_dir, _VERIFIER_UNIT)
    if user is not None:
        closed = host.closed_to(user, medium.path, os.R_OK | os.X_OK)
        yield from verdicts.of_closed(Area.MEDIUM, medium.path, closed, user, "read", Side.MEDIUM)
    if not seen.is_bare:
        yield from _files(medium, parts, seen.owner_uid, wait_s)


def _files(
    medium: MediumSection, parts: InnerParts, root_uid: int, wait_s: float
) -> Iterator[Finding]:
    uid = root_uid
    with contextlib.suppress(KeyError):  # `check` says that there is no such user
        named = owner_uid(medium)
        uid = root_uid if named is None else named
    reader = MediumReader(medium.path, None)
    known = _known_streams(parts)
    on_medium = reader.streams()
    streams = sorted(on_medium, key=lambda one: one not in known)[:_STREAMS_MAX]
    next_of = {one: known[one].next_sequence if one in known else 1 for one in streams}
    before = {one: medium_looks.newest_files(reader, one, next_of[one]) for one in streams}
    later_than = {
        one: before[one][-1].sequence if before[one] else next_of[one] - 1 for one in streams
    }
    latest = max(
        (one for one in streams if before[one]),
        key=lambda one: before[one][-1].modified_s,
        default=None,
    )
    arrivals, stream = _watch(reader, later_than, latest, wait_s)
    files = [] if stream is None else medium_looks.newest_files(reader, stream, next_of[stream])
    yield diagnosis.of_arrivals(arrivals, files, len(on_medium), time.time())
    strange = diagnosis.of_owners(files, uid)
    if strange is not None:
        yield strange
    newest = None if stream is None or not files else _open(medium, parts, stream, files[-1])
    if newest is not None:
        yield diagnosis.of_opened(newest)
    skew_s = diagnosis.skew_s(newest, list(known.values()), time.time(), just_came=arrivals.came)
    if skew_s is not None:
        yield diagnosis.of_skew(skew_s, host.clock())


def _watch(
    reader: MediumReader, later_than: dict[bytes, int], latest: bytes | None, wait_s: float
) -> tuple[Arrivals, bytes | None]:
    """Wait for a later file in any stream; also the stream in which the newest file is."""
    started_s = time.monotonic()
    watch = Watch()
    try:
        watch.follow(reader.root, latest, 1 if latest is None else later_than[latest] + 1)
        told = False
        while (waited_s := time.monotonic() - started_s) < wait_s:
            told = watch.wait(min(_LOOK_S, wait_s - waited_s)) or told
            for stream, sequence in later_than.items():
                if next(reader.available(stream, sequence + 1), None) is not None:
                    return Arrivals(waited_s, came=True, event_first=told), stream
    finally:
        watch.close()
    return Arrivals(wait_s, came=False, event_first=False), latest


def _open(
    medium: MediumSection, parts: InnerParts, stream: bytes, file: FileSeen
) -> NewestFile | None:
    """The newest file, verified and opened in memory; None without the keys and policy for it."""
    if parts.keys is None or parts.policy is None:
        return None
    try:
        rules = load_policy(parts.policy.file, parts.policy.security_admin)
        receiving = [read_key(path, KeyKind.RECEIVE) for path in parts.keys.receiving]
    except (FerryError, ConfigurationError):
        return None
    opener = Opener(TrustStore(rules.trusted_senders()), receiving, rules.lane)
    try:
        read = MediumReader(medium.path, file.uid).read(stream, file.sequence)
        if read is None:  # cleaned away meanwhile
            return None
        content = opener.read(opener.verify(read.data, time.time_ns() // 1_000_000))
    except Refused as refused:
        return NewestFile(file.sequence, refused=refused.reason)
    return NewestFile(file.sequence, content.sealed_at_ms)


def _known_streams(parts: InnerParts) -> dict[bytes, StreamRecord]:
    """The journal's streams; none if it cannot be read (the look at it says why)."""
    if parts.agent is None:
        return {}
    with contextlib.suppress(FerryError):
        path = journal_path(parts.agent.state_dir)
        with JournalReader(path, PayloadCipher(bytes(KEY_BYTES))) as journal:
            return {one.stream_id: one for one in journal.streams()}
    return {}


def _agent_user(parts: InnerParts) -> host.User | None:
    """Whose the state folder is: the agent's user, whoever runs the doctor."""
    return None if parts.agent is None else host.owner(parts.agent.state_dir)
