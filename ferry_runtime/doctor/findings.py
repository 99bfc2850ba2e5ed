"""What a doctor found, in words for people and as JSON, and which of it is the probable cause."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """How bad it is; declared worst first."""

    FAULT = "fault"
    WARNING = "warning"
    WELL = "well"


class Side(StrEnum):
    """Where the cause lies, and so who has to act."""

    OUTER = "outer"
    INNER = "inner"
    MEDIUM = "medium"
    INTERNAL = "internal system"
    SENDER = "sender"


class Area(StrEnum):
    """What was looked at, declared from causes to consequences: the first faulty one is to blame.

    A medium that is not mounted stops the files; a stream that stops closes no medium.
    """

    CONFIGURATION = "configuration"
    POLICY = "policy"
    KEYS = "keys"
    MEDIUM = "medium"
    STATE = "state folder"
    CLOCK = "clock"
    CERTIFICATES = "certificates"
    LISTENERS = "listeners"
    WORKERS = "validation workers"
    SCANNER = "virus scanner"
    AGENT = "agent"
    FILES = "ferry files"
    STREAMS = "streams"
    SINKS = "sinks"
    QUARANTINE = "quarantine"
    DEAD_LETTERS = "dead letters"
    MESSAGES = "messages"


_LEVELS: Final = list(Level)
_AREAS: Final = list(Area)
_HOSTS: Final = {Side.OUTER: "outer's host", Side.INNER: "inner's host"}
_PEOPLE: Final = {
    Side.MEDIUM: "the medium (the storage, and its mount on both hosts)",
    Side.INTERNAL: "whoever runs the internal system",
    Side.SENDER: "whoever runs the sending system",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `seen` holds no message data and no secret.

    `side` and `action` say where the cause lies and what to do; they are empty where all is well.
    """

    area: Area
    level: Level
    seen: str
    side: Side | None = None
    action: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings of one side, `here`."""

    agent: str
    here: Side
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Whether there is neither warning nor fault."""
        return all(one.level is Level.WELL for one in self.findings)


def well(area: Area, seen: str) -> Finding:
    """Nothing to do."""
    return Finding(area, Level.WELL, seen)


def warning(area: Area, seen: str, side: Side, action: str) -> Finding:
    """It works, and will not for ever, or not as it should."""
    return Finding(area, Level.WARNING, seen, side, action)


def fault(area: Area, seen: str, side: Side, action: str) -> Finding:
    """Messages do not cross because of it, or are refused, or are in danger."""
    return Finding(area, Level.FAULT, seen, side, action)


def most_probable(findings: Sequence[Finding]) -> Finding | None:
    """The finding that explains the others: the worst level's first area; None if all is well."""
    bad = [one for one in findings if one.level is not Level.WELL]
    return min(bad, key=_rank, default=None)


def conclusion(diagnosis: Diagnosis) -> str:
    """One line: the most probable cause, and where to go."""
    cause = most_probable(diagnosis.findings)
    if cause is None or cause.side is None:
        other = Side.INNER if diagnosis.here is Side.OUTER else Side.OUTER
        return (
            f"Nothing is wrong as far as the {diagnosis.here} can see. If messages are missing all "
            f"the same, go to the {_HOSTS[other]}: ferry-{other} doctor."
        )
    return f"Most probable cause: {cause.seen}. Go to {_place(cause.side, diagnosis.here)}."


def as_text(diagnosis: Diagnosis) -> str:
    """The findings as a screen of text, which ends with the conclusion."""
    faults, warnings = (
        sum(one.level is level for one in diagnosis.findings)
        for level in (Level.FAULT, Level.WARNING)
    )
    state = "well" if diagnosis.well else f"NOT WELL: faults {faults}, warnings {warnings}"
    lines = [f"{diagnosis.agent} ({diagnosis.here}): {state}"]
    for one in sorted(diagnosis.findings, key=lambda found: _AREAS.index(found.area)):
        word = one.level if one.level is Level.WELL else one.level.upper()
        lines.append(f"{word:<8}{one.area}: {one.seen}")
        if one.side is not None:
            lines.append(f"{'':<8}  cause: {one.side}. {one.action}")
    return "\n".join([*lines, conclusion(diagnosis)])


def as_json(diagnosis: Diagnosis) -> str:
    """The same as one JSON object."""
    cause = most_probable(diagnosis.findings)
    return json.dumps(
        {
            "well": diagnosis.well,
            "agent": diagnosis.agent,
            "here": diagnosis.here,
            "findings": [as_row(one) for one in diagnosis.findings],
            "most_probable": None if cause is None else as_row(cause),
            "conclusion": conclusion(diagnosis),
        },
        ensure_ascii=False,
        indent=2,
    )


def _rank(one: Finding) -> tuple[int, int]:
    return _LEVELS.index(one.level), _AREAS.index(one.area)


def as_row(one: Finding) -> dict[str, str | None]:
    """A finding as JSON shows it, of `doctor` and of `status`."""
    return {
        "area": one.area,
        "level": one.level,
        "seen": one.seen,
        "cause": one.side,
        "action": one.action,
    }


def _place(side: Side, here: Side) -> str:
    if side is here:
        return f"this host, the {side}"
    if side in _HOSTS:
        return f"the {_HOSTS[side]}: ferry-{side} doctor"
    return _PEOPLE[side]
