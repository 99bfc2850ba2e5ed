"""Looks at a host, all at once and each bounded: a disk that hangs must not hang the doctor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ferry_format.reasons import FerryError
from ferry_runtime.doctor.findings import Area, Finding, Side, fault, warning

_UNANSWERED: Final = {
    Area.SINKS: "See that the system and this host's name server answer.",
    Area.WORKERS: "See what else keeps this host's processors busy (top), and look again.",
}


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one area; `side` is to blame if it cannot be ended.

    `leans`: it also touches what another look is there for, which is to blame if both hang.
    """

    area: Area
    side: Side
    what: str
    take: Callable[[], Iterable[Finding]]
    leans: bool = False


@dataclass(slots=True)
class _Under:
    look: Look
    found: list[Finding] = field(default_factory=list)
    thread: threading.Thread | None = None


def take_all(looks: Sequence[Look], within_s: float) -> list[Finding]:
    """Every finding that was made within the time; what hangs is left behind in its thread."""
    under_way = [_Under(look) for look in looks]
    deadline_s = time.monotonic() + within_s
    for one in under_way:
        one.thread = threading.Thread(target=_take, args=(one,), daemon=True)
        one.thread.start()
    found: list[Finding] = []
    for one in under_way:
        if one.thread is not None:
            one.thread.join(max(0.0, deadline_s - time.monotonic()))
            if one.thread.is_alive():
                one.found.append(_does_not_answer(one.look, within_s))
        found += list(one.found)
    return found


def _take(one: _Under) -> None:
    look = one.look
    try:
        for finding in look.take():
            one.found.append(finding)
    except FerryError as error:
        seen = f"{look.what}: {error.reason.meaning}" + (f" ({error.where})" if error.where else "")
        one.found.append(fault(look.area, seen, look.side, error.reason.action))
    except OSError as error:
        where = error.filename or look.what
        action = (
            "Unmount the medium and mount it again; dmesg says what its storage did."
            if look.area is Area.MEDIUM
            else f"See that this user may look at {where}, and that its disk is well (dmesg)."
        )
        one.found.append(fault(look.area, f"{where}: {error.strerror}", look.side, action))
    except Exception as error:  # noqa: BLE001 - one look's defect must not hide the others
        one.found.append(
            fault(
                look.area,
                f"{look.what} could not be looked at: {type(error).__name__}",
                look.side,
                "Report this defect of the doctor.",
            )
        )


def _does_not_answer(look: Look, within_s: float) -> Finding:
    return (warning if look.leans else fault)(
        look.area,
        f"{look.what} did not answer within {within_s:.0f} s",
        look.side,
        _UNANSWERED.get(
            look.area,
            "Look at its storage and mount (a network filesystem hangs while its server is away).",
        ),
    )
