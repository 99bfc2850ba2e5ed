"""What the inner's doctor makes of what it saw. Pure: nothing is looked at here."""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import BY_CODE, Reason
from ferry_runtime.doctor.findings import Area, Finding, Side, fault, warning, well
from ferry_runtime.doctor.host import Clock, user_name
from ferry_runtime.doctor.medium import FileSeen
from ferry_runtime.doctor.verdicts import duration
from ferry_runtime.observation_client import Answer
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.operator_orders import DeliveryRow
from inner_agent.quarantine import QuarantineEntry

SKEW_S: Final = 5.0
OLD_S: Final = 60.0
SILENT_S: Final = 10.0
RECENT_S: Final = 24 * 3600.0

_READY: Final = 200
_STUCK_ATTEMPTS: Final = 3
_SIDES: Final = {
    reasons.KEY_REVOKED.code: Side.OUTER,
    reasons.KEY_NOT_VALID_NOW.code: Side.OUTER,
    reasons.WRONG_LANE.code: Side.OUTER,
    reasons.WRONG_RECEIVER.code: Side.OUTER,
    reasons.UNKNOWN_SENDER.code: Side.INNER,
    reasons.UNKNOWN_STREAM.code: Side.INNER,
    reasons.SUITE_NOT_ALLOWED.code: Side.INNER,
    reasons.UNSUPPORTED_SUITE.code: Side.INNER,
    reasons.UNSUPPORTED_VERSION.code: Side.INNER,
}
"""Who mends a file that is refused; what is not named here was damaged, or put there by others."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came while the medium was watched. `event_first`: an event told of it before a look."""

    waited_s: float
    came: bool
    event_first: bool


@dataclass(frozen=True, slots=True)
class NewestFile:
    """The newest file as it opens: when it was sealed, or why it is refused."""

    sequence: int
    sealed_at_ms: int = 0
    refused: Reason | None = None


@dataclass(frozen=True, slots=True)
class SinkSeen:
    """One sink: what its own probe says now, and what the replayer's last try said."""

    name: str
    kind: str
    probed: Reason | None
    up: bool | None


def of_verifier(silent_s: float | None, unavailable: Sequence[str]) -> Finding:
    """Whether the verifier lives; `silent_s` is None if it never wrote its metrics."""
    if silent_s is None or silent_s > SILENT_S:
        since = "has never run" if silent_s is None else f"is silent for {duration(silent_s)}"
        return fault(
            Area.AGENT,
            f"the verifier {since}: nothing is taken from the medium",
            Side.INNER,
            "systemctl restart ferry-inner-verifier; if it ends again: journalctl -u "
            "ferry-inner-verifier.",
        )
    if unavailable:
        reason = BY_CODE.get(unavailable[0])
        return fault(
            Area.AGENT,
            f"the verifier runs and takes nothing: {unavailable[0]}",
            Side.MEDIUM if reason is reasons.MEDIUM_UNREADABLE else Side.INNER,
            "journalctl -u ferry-inner-verifier says more." if reason is None else reason.action,
        )
    return well(Area.AGENT, "the verifier runs")


def of_replayer(ready: Answer | None) -> Finding:
    """Whether the replayer answers, and what it says is missing (the verifier's part apart)."""
    if ready is None:
        return fault(
            Area.AGENT,
            "the replayer does not answer at metrics.listen: nothing is delivered",
            Side.INNER,
            "systemctl start ferry-inner-replayer; if it ends again: journalctl -u "
            "ferry-inner-replayer.",
        )
    missing = "" if ready.status == _READY else _missing(ready.body)
    if missing and "verifier" not in missing:
        return fault(
            Area.AGENT,
            f"the replayer is not ready: {missing}",
            Side.INNER,
            "journalctl -u ferry-inner-replayer says why.",
        )
    return well(Area.AGENT, "the replayer runs")


def of_arrivals(
    arrivals: Arrivals, files: Sequence[FileSeen], streams: int, now_s: float
) -> Finding:
    """Whether files come across; the heartbeat makes them come when there is nothing to send."""
    if arrivals.came:
        how = "an event told of it" if arrivals.event_first else "found by looking, no event"
        return well(Area.FILES, f"a new file came ({how})")
    looked = f"no new file came in {arrivals.waited_s:.0f} s"
    if not streams:
        return fault(
            Area.FILES,
            f"{looked}, and the outer has never published here",
            Side.OUTER,
            "Start the outer; if it runs, see that both hosts mount the same storage.",
        )
    if not files:
        return fault(
            Area.FILES,
            f"{looked}, and there is none that the inner has not read",
            Side.OUTER,
            "Run ferry-outer doctor there; if it publishes, mount the medium here again.",
        )
    age_s = max(0.0, now_s - files[-1].modified_s)
    seen = f"{looked}; the newest, {files[-1].sequence}, is {duration(age_s)} old"
    if age_s <= usual_s(files) + arrivals.waited_s:
        return well(Area.FILES, seen)
    if age_s <= OLD_S:
        return warning(
            Area.FILES, seen, Side.OUTER, "Run it again; if it stays, run ferry-outer doctor there."
        )
    return fault(
        Area.FILES,
        seen,
        Side.OUTER,
        "Run ferry-outer doctor there; if it publishes newer files, the medium does not come "
        "across: mount it here again.",
    )


def usual_s(files: Sequence[FileSeen]) -> float:
    """How long it usually is from one file to the next."""
    times = [one.modified_s for one in files]
    pauses = [late - early for early, late in itertools.pairwise(times)]
    return max(0.0, statistics.median(pauses)) if pauses else 0.0


def of_owners(files: Sequence[FileSeen], owner_uid: int) -> Finding | None:
    """Whether the newest files belong to whom the inner takes files from."""
    foreign = [one for one in files if one.uid != owner_uid]
    if not foreign:
        return None
    whose = user_name(foreign[-1].uid)
    if len(foreign) == len(files):
        return fault(
            Area.FILES,
            f"the newest files belong to {whose}; the inner takes those of {user_name(owner_uid)} "
            "only",
            Side.MEDIUM,
            "Give the outer's user one number on both hosts, or, if this is the outer's user here, "
            f"write medium.owner = {foreign[-1].uid} in inner.toml.",
        )
    return fault(
        Area.FILES,
        f"{len(foreign)} of the newest {len(files)} files belong to {whose}, not to "
        f"{user_name(owner_uid)}: they are refused",
        Side.OUTER,
        "Find who writes to the medium, then on the outer: ferry-outer resend --range "
        f"{foreign[0].sequence}-{foreign[-1].sequence}",
    )


def of_opened(newest: NewestFile) -> Finding:
    """Whether the newest file is one that this inner takes."""
    if newest.refused is None:
        return well(Area.FILES, f"the newest file, {newest.sequence}, verifies and opens")
    return fault(
        Area.FILES,
        f"the newest file, {newest.sequence}, is refused: {newest.refused.meaning}",
        side_of(newest.refused.code),
        newest.refused.action,
    )


def of_skew(skew_s: float, clock: Clock) -> Finding:
    """Whether the hosts' clocks agree; `skew_s` is this clock less the outer's.

    The clock that nobody keeps is the likelier culprit.
    """
    if abs(skew_s) <= SKEW_S:
        return well(Area.CLOCK, f"agrees with the outer's clock within {SKEW_S:.0f} s")
    way = "behind" if skew_s < 0 else "ahead of"
    side = Side.INNER if clock.synchronised is False else Side.OUTER
    return warning(
        Area.CLOCK,
        f"this host's clock is {duration(abs(skew_s))} {way} the outer's, by its last file",
        side,
        "Compare both clocks with a watch, and give each host a time source of its own: keys are "
        "valid by this clock.",
    )


def skew_s(
    newest: NewestFile | None, streams: Sequence[StreamRecord], now_s: float, *, just_came: bool
) -> float | None:
    """This clock less the outer's, as far as it can be known; None where it cannot.

    A file that came just now tells exactly. One that lay there tells only of a clock behind it:
    nothing is read before it was sealed. The journal knows both times of what was taken.
    """
    if newest is not None and newest.sealed_at_ms:
        apart_s = now_s - newest.sealed_at_ms / 1000
        if just_came or apart_s < 0:
            return apart_s
    taken = [one for one in streams if one.state == "trusted" and one.last_sealed_at_ms]
    if not taken:
        return None
    last = max(taken, key=lambda one: one.last_file_at_ms)
    return (last.last_file_at_ms - last.last_sealed_at_ms) / 1000


def of_streams(streams: Sequence[StreamRecord], now_s: float) -> Iterator[Finding]:
    """Streams that wait for a decision, and senders of whom nothing is taken any more."""
    for one in streams:
        if one.state == "refused":
            yield fault(
                Area.STREAMS,
                f"sender {one.sender} began a new stream, {one.stream_id.hex()}, which is refused",
                Side.OUTER,
                "Ask by telephone whether the outer was installed anew: if so, ferry-inner streams "
                f"accept {one.stream_id.hex()}; if not, have its key revoked.",
            )
        elif one.state == "trusted":
            age_s = max(0.0, now_s - one.last_file_at_ms / 1000)
            seen = f"sender {one.sender}: last file taken {duration(age_s)} ago"
            if age_s > OLD_S:
                action = "Mend what stands above; then run ferry-outer doctor on the outer's host."
                yield fault(Area.STREAMS, seen, Side.OUTER, action)
            else:
                yield well(Area.STREAMS, seen)


def of_no_stream() -> Finding:
    """Nothing was ever taken: an inner that was just installed, or that looks at another medium."""
    return warning(
        Area.STREAMS,
        "no ferry file was ever taken",
        Side.OUTER,
        "If the outer runs, ferry-inner doctor says whether its files come across.",
    )


def of_gaps(gaps: Sequence[GapRecord]) -> Iterator[Finding]:
    """Missing files."""
    for one in gaps:
        span = f"{one.first_sequence}-{one.last_sequence}"
        state = "given up" if one.given_up else "waited for"
        yield fault(
            Area.STREAMS,
            f"files {span} of stream {one.stream_id.hex()} are missing ({state})",
            Side.MEDIUM,
            f"On the outer: ferry-outer resend --range {span}; then find out what took them.",
        )
    if not gaps:
        yield well(Area.STREAMS, "nothing is missing")


def of_sink(sink: SinkSeen) -> Finding:
    """Whether an internal system can be reached, from here and by the replayer."""
    if sink.probed is not None:
        folder = sink.kind == "folder"
        return fault(
            Area.SINKS,
            f"sink {sink.name} ({sink.kind}): {sink.probed.meaning}",
            Side.INNER if folder else Side.INTERNAL,
            "Mount the folder, and let the agent's user write there."
            if folder
            else "See that the system is up, that this host reaches its address, and that its "
            "certificate is valid; delivery then goes on by itself.",
        )
    if sink.up is False:
        return warning(
            Area.SINKS,
            f"sink {sink.name} can be reached, but not by the replayer when it last tried",
            Side.INNER,
            "Run it again in a minute; if it stays, let the unit reach it (IPAddressAllow= in a "
            "drop-in).",
        )
    return well(Area.SINKS, f"sink {sink.name} can be reached")


def of_sink_down(name: str) -> Finding:
    """A sink that the replayer could not reach when it last tried; it was not probed now."""
    return fault(
        Area.SINKS,
        f"sink {name} does not answer; its messages wait and are tried again",
        Side.INTERNAL,
        "See that the system is up, that this host reaches its address, and that its certificate "
        "is valid; delivery then goes on by itself.",
    )


def of_quarantine(entries: Sequence[QuarantineEntry], now_s: float) -> Iterator[Finding]:
    """What was refused within a day, by kind and reason. The quarantine itself never shrinks."""
    recent = Counter(
        (one.kind, one.reason) for one in entries if now_s - one.at_ms / 1000 < RECENT_S
    )
    for (kind, code), number in sorted(recent.items()):
        reason = BY_CODE.get(code)
        action = "ferry-inner quarantine says more." if reason is None else reason.action
        yield warning(
            Area.QUARANTINE,
            f"within a day refused: {number} of kind {kind}, {code}",
            side_of(code) if kind == "file" else Side.OUTER,
            action if kind == "file" else f"Compare the two policies; {action}",
        )
    if not recent:
        yield well(Area.QUARANTINE, "nothing was refused within a day")


def of_deliveries(dead: Mapping[str, int], delivering: Sequence[DeliveryRow]) -> Iterator[Finding]:
    """Dead letters, and messages that are refused again and again and hold their channel."""
    for channel, number in sorted(dead.items()):
        if number:
            yield fault(
                Area.DEAD_LETTERS,
                f"channel {channel}: {number} dead letters",
                Side.INTERNAL,
                "ferry-inner deadletters says why; mend the cause, then ferry-inner requeue.",
            )
    unreachable = {reasons.SINK_UNREACHABLE.code, None}
    for row in delivering:
        if row.attempts >= _STUCK_ATTEMPTS and row.reason not in unreachable:
            yield warning(
                Area.MESSAGES,
                f"channel {row.channel} is held by message {row.message_id.hex()}: tried "
                f"{row.attempts} times, {row.reason}",
                Side.INTERNAL,
                "Look for its id in the internal system's log; ferry-inner discard lets the next "
                "one pass.",
            )
    if not any(dead.values()):
        yield well(Area.DEAD_LETTERS, "there are no dead letters")


def side_of(code: str) -> Side:
    """Who mends that files are refused for this reason."""
    return _SIDES.get(code, Side.MEDIUM)


def _missing(body: str) -> str:
    try:
        return str(json.loads(body).get("missing", "")) or "it does not say why"
    except (ValueError, AttributeError):
        return "it does not say why"
