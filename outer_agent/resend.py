"""Publish stretches of the spool again, byte for byte, by an operator's order.

Runs beside the agent: it reads the spool and puts files back on the medium under their own names.
The inner drops what it already has. It takes files of one user only, so that a resend has to be the
agent's user, whoever orders it.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from ferry_format import reasons, slip
from ferry_format.limits import SEQUENCE_MAX
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import Refused
from ferry_format.stream import Gap
from ferry_runtime.problem_words import Mistake
from outer_agent.spool import Spool

_RANGE: Final = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", re.ASCII)
_AGE: Final = re.compile(r"([0-9]{1,6})([mhd])", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class ResendReport:
    """How many files were published again, and which of those wanted the spool does not hold."""

    published: int
    missing: tuple[Gap, ...]


Wanted = Callable[[Spool], Sequence[Gap]]
"""Which stretches are wanted of a spool."""

Telling = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Told how many files there are at most, then of each how many more are done with."""


@contextmanager
def untold(_total: int) -> Iterator[Callable[[int], None]]:
    """Tell nobody."""
    yield lambda _more: None


def parse_range(text: str) -> Gap:
    """The stretch that `120-125` or `120` names. Raises Mistake if it is neither."""
    match = _RANGE.fullmatch(text)
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else 0
    if not 1 <= first <= last <= SEQUENCE_MAX:
        raise Mistake(f"{text} is no range of sequences", "Write it as 120-125 or 120")
    return Gap(first, last)


def read_slip(text: str, stream_id: bytes) -> tuple[Gap, ...]:
    """What a slip names. Raises Refused(BAD_SLIP) if it was misread or is another stream's."""
    said = slip.read(text)
    if not said.is_of(stream_id):
        raise Refused(reasons.BAD_SLIP, f"this outer's stream begins with {stream_id.hex()[:8]}")
    return said.missing


def parse_since(text: str, now: datetime) -> int:
    """The moment, unix milliseconds, that `90m`, `2h`, `3d` or an ISO 8601 time names.

    A time without an offset is this host's. Raises Mistake.
    """
    match = _AGE.fullmatch(text)
    if match:
        moment = now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    else:
        try:
            moment = datetime.fromisoformat(text).astimezone()
        except ValueError:
            raise Mistake(
                f"{text} is no moment", "Write it as 90m, 2h, 3d or 2026-11-23T08:00"
            ) from None
    return int(moment.timestamp() * 1000)


def become_the_agent(spool_path: Path) -> None:
    """Have this process be the spool's owner from now on. Raises Mistake if it may not be.

    The inner refuses files of another owner, and root's would stand where the agent's belong.
    """
    try:
        status = spool_path.stat()
    except OSError as error:
        raise Mistake(
            f"{spool_path}: {error.strerror}",
            "Name the configuration of the agent whose spool it is",
        ) from error
    if status.st_uid == os.geteuid():
        return
    if os.geteuid() != 0:
        raise Mistake(
            f"{spool_path} belongs to user {_user(status.st_uid)}, and so must what is resent",
            f"Run it as root, or by sudo -u {_user(status.st_uid)}",
        )
    os.setgroups(_groups(status.st_uid, status.st_gid))
    os.setgid(status.st_gid)
    os.setuid(status.st_uid)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups(uid: int, gid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def resend(
    spool_path: Path, medium_path: Path, wanted: Wanted, telling: Telling = untold
) -> ResendReport:
    """Publish the wanted spooled files again; `telling` is told how far it has come, in files.

    Raises Unavailable or StorageFault, and what `wanted` raises.
    """
    spool = Spool.open_read_only(spool_path)
    try:
        head = spool.head()
        medium = MediumWriter(medium_path)
        published = 0
        missing: list[Gap] = []
        stretches = wanted(spool)
        with telling(sum(_files_of(one, head.last_sequence) for one in stretches)) as advance:
            for stretch in stretches:
                expected = stretch.first
                last = min(stretch.last, head.last_sequence)
                for file in spool.files(stretch.first, last):
                    if file.sequence > expected:
                        missing.append(Gap(expected, file.sequence - 1))
                    medium.publish_again(head.stream_id, file.sequence, file.sealed.data)
                    published += 1
                    advance(file.sequence + 1 - expected)
                    expected = file.sequence + 1
                if expected <= stretch.last:
                    missing.append(Gap(expected, stretch.last))
        return ResendReport(published, tuple(missing))
    finally:
        spool.close()


def _files_of(stretch: Gap, last_sequence: int) -> int:
    return max(0, min(stretch.last, last_sequence) - stretch.first + 1)
