"""What the outer's doctor makes of what it saw. Pure: nothing is looked at here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import BY_CODE
from ferry_runtime.doctor.findings import Area, Finding, Side, fault, warning, well
from ferry_runtime.doctor.host import Listening, User, user_name
from ferry_runtime.doctor.medium import FileSeen
from ferry_runtime.doctor.verdicts import duration
from ferry_runtime.observation_client import Answer
from outer_agent.channel_counts import ChannelCounts
from outer_agent.medium_probe import Probe

_READY: Final = 200
_SILENT_S: Final = 15.0
_SIDES: Final = {
    reasons.MEDIUM_FULL.code: Side.MEDIUM,
    reasons.MEDIUM_UNAVAILABLE.code: Side.MEDIUM,
    reasons.RATE_LIMITED.code: Side.SENDER,
}


def of_agent(process: int | None, ready: Answer | None) -> Finding:
    """Whether the agent runs (holds the spool's lock, answers) and takes messages."""
    if ready is None and process is None:
        return fault(
            Area.AGENT,
            "the agent does not run",
            Side.OUTER,
            "systemctl start ferry-outer; if it ends again: journalctl -u ferry-outer.",
        )
    if ready is None:
        return fault(
            Area.AGENT,
            f"process {process} holds the state folder and does not answer at metrics.listen",
            Side.OUTER,
            "Wait a minute if it starts just now; otherwise journalctl -u ferry-outer, then "
            "systemctl restart ferry-outer.",
        )
    if ready.status != _READY:
        code, said = _missing(ready.body)
        return fault(
            Area.AGENT,
            f"the agent takes no messages: {said}",
            _SIDES.get(code, Side.OUTER),
            BY_CODE[code].action if code in BY_CODE else "journalctl -u ferry-outer says why.",
        )
    return well(Area.AGENT, "the agent runs and takes messages")


def of_listener(
    name: str,
    listen: str,
    there: Sequence[Listening],
    agent: User | None,
    running: bool,  # noqa: FBT001 - read by name where it is passed
    agents_sockets: frozenset[int] | None,
) -> Finding:
    """Whether a listener's port is free, held by our agent, or by somebody else."""
    ours = [one for one in there if _is_ours(one, agent, agents_sockets, running=running)]
    strangers = [one for one in there if one not in ours]
    if strangers and not ours:
        whose = user_name(strangers[0].uid)
        return fault(
            Area.LISTENERS,
            f"{name}: another program, of user {whose}, listens on {listen}",
            Side.OUTER,
            f"ss -ltnp shows which; end it, or give {name} another address.",
        )
    if running and not ours:
        return fault(
            Area.LISTENERS,
            f"{name}: the agent runs and nothing listens on {listen}",
            Side.OUTER,
            "Restart the agent: it runs with an older configuration.",
        )
    state = "held by the agent" if ours else "free"
    return well(Area.LISTENERS, f"{name}: {listen} is {state}")


def of_probe(probe: Probe, path: Path, agent: User) -> Finding:
    """Whether the agent's user can write to the medium, and sees an event of it."""
    if not probe.tried:
        return well(
            Area.MEDIUM, f"{path}: not tried to write as {agent.name}, who may not run this program"
        )
    if probe.problem:
        return fault(
            Area.MEDIUM,
            f"{agent.name} cannot write to {path}: {probe.problem}",
            Side.MEDIUM,
            f"Let {agent.name} write there (owner, mode, and the storage's own rules: an NFS "
            "export maps users).",
        )
    if not probe.event:
        return well(Area.MEDIUM, f"{path} can be written; it announces nothing, looking works")
    return well(Area.MEDIUM, f"{path} can be written, and announces it")


def of_newest(
    files: Sequence[FileSeen],
    last_sequence: int,
    now_s: float,
    heartbeat_s: float,
    agent: User | None,
    *,
    running: bool,
) -> Iterator[Finding]:
    """Whether the last file is on the medium, is young while the agent runs, and is the agent's."""
    if last_sequence == 0:
        yield well(Area.FILES, "nothing was published yet")
        return
    newest = files[-1] if files else None
    if newest is None or newest.sequence < last_sequence:
        there = "no file of the stream is" if newest is None else f"{newest.sequence} is the newest"
        yield fault(
            Area.FILES,
            f"file {last_sequence} was published and is not on the medium: {there} there",
            Side.MEDIUM,
            "See that the right storage is mounted; then ferry-outer resend what "
            "`ferry-inner gaps` names.",
        )
    if newest is not None:
        yield _of_age(newest, now_s, heartbeat_s, running=running)
    yield from _of_owners(files, agent)


def of_channels(channels: Mapping[str, ChannelCounts]) -> Iterator[Finding]:
    """Channels of which the outer refused everything since it started: their senders differ."""
    for name, one in sorted(channels.items()):
        if one.refused and not one.admitted:
            code = max(one.reasons, key=lambda each: one.reasons[each], default="")
            reason = BY_CODE.get(code)
            yield warning(
                Area.MESSAGES,
                f"channel {name}: all {one.refused} messages since the start were refused, most as "
                f"{code}",
                Side.SENDER,
                "Compare what it sends with the policy."
                if reason is None
                else f"{reason.meaning[:1].upper()}{reason.meaning[1:]}. {reason.action}",
            )


def _of_age(newest: FileSeen, now_s: float, heartbeat_s: float, *, running: bool) -> Finding:
    age_s = max(0.0, now_s - newest.modified_s)
    seen = f"the newest file, {newest.sequence}, is {duration(age_s)} old"
    if running and age_s > max(_SILENT_S, 3 * heartbeat_s):
        return fault(
            Area.FILES,
            f"{seen}, though a heartbeat is due each {heartbeat_s:.0f} s",
            Side.OUTER,
            "journalctl -u ferry-outer says what it waits for.",
        )
    return well(Area.FILES, seen)


def _of_owners(files: Sequence[FileSeen], agent: User | None) -> Iterator[Finding]:
    if agent is None:
        return
    foreign = [one for one in files if one.uid != agent.uid]
    if foreign:
        yield fault(
            Area.FILES,
            f"{len(foreign)} of the newest {len(files)} files belong to "
            f"{user_name(foreign[-1].uid)}, not to {agent.name}: the inner refuses them",
            Side.OUTER,
            f"Find who writes there, then: ferry-outer resend --range {foreign[0].sequence}-"
            f"{foreign[-1].sequence}",
        )


def _is_ours(
    one: Listening, agent: User | None, agents_sockets: frozenset[int] | None, *, running: bool
) -> bool:
    if not running:
        return False
    if agents_sockets is not None:
        return one.inode in agents_sockets
    return agent is not None and one.uid == agent.uid


def _missing(body: str) -> tuple[str, str]:
    """The reason's code and words in the answer of /readyz: `code: …` or `code (where): …`."""
    try:
        said = str(json.loads(body).get("missing", ""))
    except (ValueError, AttributeError):
        said = ""
    return said.partition(":")[0].partition(" (")[0], said or "it does not say why"
