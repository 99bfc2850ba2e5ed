"""Publish a stretch of the spool again, byte for byte, by an operator's order.

Runs beside the agent: it reads the spool and puts files back on the medium under their own names.
The inner drops what it already has. It takes files of one user only, so that a resend has to be the
agent's user, whoever orders it.
"""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

from ferry_format.limits import SEQUENCE_MAX
from ferry_format.medium.writer import MediumWriter
from ferry_runtime.problem_words import Mistake
from outer_agent.spool import Spool

_RANGE = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ResendReport:
    """How many files were published again, and which ranges the spool no longer holds."""

    published: int
    missing: tuple[tuple[int, int], ...]


def parse_range(text: str) -> tuple[int, int]:
    """First and last sequence of `120-125` or `120`. Raises Mistake if it is neither."""
    match = _RANGE.fullmatch(text)
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else 0
    if not 1 <= first <= last <= SEQUENCE_MAX:
        raise Mistake(f"{text} is no range of sequences", "Write it as 120-125 or 120")
    return first, last


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


def resend(spool_path: Path, medium_path: Path, first: int, last: int) -> ResendReport:
    """Publish the spooled files of a range again. Raises Unavailable or StorageFault."""
    spool = Spool.open_read_only(spool_path)
    try:
        head = spool.head()
        last = min(last, head.last_sequence)
        medium = MediumWriter(medium_path)
        published = 0
        missing: list[tuple[int, int]] = []
        expected = first
        for file in spool.files(first, last):
            if file.sequence > expected:
                missing.append((expected, file.sequence - 1))
            medium.publish_again(head.stream_id, file.sequence, file.sealed.data)
            published += 1
            expected = file.sequence + 1
        if expected <= last:
            missing.append((expected, last))
        return ResendReport(published, tuple(missing))
    finally:
        spool.close()
