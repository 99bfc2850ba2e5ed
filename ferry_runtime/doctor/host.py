"""What a host is like: mounts, room, clock, listeners, locks, rights. Observes, decides nothing.

Reads /proc and metadata, and asks systemd about a unit; takes no lock, binds no port, and so
disturbs no agent.
"""

from __future__ import annotations

import ctypes
import grp
import ipaddress
import os
import pwd
import re
import shutil
import stat
import struct
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from ferry_runtime.addresses import ListenAddress
from ferry_runtime.checks import PEM_BYTES_MAX
from ferry_runtime.regular_file import read_regular

_LISTEN: Final = "0A"
_TIMEX_BYTES: Final = 256
_TIME_ERROR: Final = 5
_ANY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on
_SYSTEMD_S: Final = 2.0
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """The mount that a path lies on. `filesystem_read_only`: not this mount alone."""

    point: Path
    kind: str
    source: str
    read_only: bool
    filesystem_read_only: bool


@dataclass(frozen=True, slots=True)
class Room:
    """What is left on a filesystem; inodes are None where it has no fixed number of them."""

    free_bytes: int
    bytes: int
    free_inodes: int | None
    inodes: int | None


@dataclass(frozen=True, slots=True)
class Clock:
    """This host's clock; `synchronised` is None where the kernel does not tell."""

    now_s: float
    synchronised: bool | None


@dataclass(frozen=True, slots=True)
class Listening:
    """One TCP socket that listens on this host."""

    host: str
    port: int
    uid: int
    inode: int


@dataclass(frozen=True, slots=True)
class User:
    """Whose rights are asked for. `groups` are all of that user's, `gid` the first of them."""

    uid: int
    gid: int
    groups: frozenset[int]

    @property
    def name(self) -> str:
        """The name, or the number where there is none."""
        return user_name(self.uid)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret's file as its metadata show it; `problem` where it has none."""

    path: Path
    uid: int = 0
    mode: int = 0
    credential: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a file's certificates are all valid."""

    not_before: datetime
    not_after: datetime


def mount_of(path: Path) -> Mount | None:
    """The mount on which `path` lies; None if the kernel does not tell. Raises OSError."""
    return find_mount(Path("/proc/self/mountinfo").read_text(), Path(os.path.realpath(path)))


def find_mount(mountinfo: str, path: Path) -> Mount | None:
    """The mount of `path` in the text of /proc/self/mountinfo; the last one covers the others."""
    found: Mount | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 6 or len(rest) < 3:  # noqa: PLR2004 - proc(5): the fields that always are
            continue
        point = Path(_unescaped(fields[4]))
        inside = path.is_relative_to(point)
        if inside and (found is None or len(point.parts) >= len(found.point.parts)):
            found = Mount(
                point,
                rest[0],
                _unescaped(rest[1]),
                "ro" in fields[5].split(","),
                "ro" in rest[2].split(","),
            )
    return found


def is_in_fstab(path: Path, fstab: Path = Path("/etc/fstab")) -> bool:
    """Whether /etc/fstab mounts something at `path`."""
    with suppress(OSError, UnicodeDecodeError):
        for line in fstab.read_text().splitlines():
            fields = line.split()
            if len(fields) > 1 and not line.startswith("#"):
                point = Path(_unescaped(fields[1]))
                if point.is_absolute() and point == path:
                    return True
    return False


def room(path: Path) -> Room:
    """What is left where `path` lies. Raises OSError."""
    left = os.statvfs(path)
    fixed = left.f_files > 0
    return Room(
        left.f_bavail * left.f_frsize,
        left.f_blocks * left.f_frsize,
        left.f_favail if fixed else None,
        left.f_files if fixed else None,
    )


def clock() -> Clock:
    """The time, and whether the kernel's clock is disciplined (adjtimex(2), changing nothing)."""
    answer = ctypes.create_string_buffer(_TIMEX_BYTES)
    struct.pack_into("=I", answer, 0, 0)
    try:
        state = ctypes.CDLL(None).adjtimex(answer)
    except (AttributeError, OSError):
        state = -1
    return Clock(time.time(), None if state < 0 else state != _TIME_ERROR)


def listening() -> list[Listening]:
    """Every TCP socket that listens in this network namespace."""
    found = []
    for name, six in (("tcp", False), ("tcp6", True)):
        with suppress(OSError):
            found += parse_listening(Path("/proc/net", name).read_text(), six=six)
    return found


def parse_listening(text: str, *, six: bool) -> list[Listening]:
    """The listening sockets in the text of /proc/net/tcp or tcp6."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:  # noqa: PLR2004 - proc(5)
            address, port = fields[1].split(":")
            found.append(
                Listening(_host(address, six=six), int(port, 16), int(fields[7]), int(fields[9]))
            )
    return found


def holders(listen: ListenAddress, sockets: Iterable[Listening]) -> list[Listening]:
    """The sockets that stand in the way of (or are) a listener on this address."""
    host = "127.0.0.1" if listen.host == "localhost" else listen.host
    return [
        one
        for one in sockets
        if one.port == listen.port and (one.host == host or {one.host, host} & _ANY_HOST)
    ]


def sockets_of(process: int) -> frozenset[int] | None:
    """The socket inodes that a process holds; None if that may not be seen."""
    found = set()
    try:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
    except OSError:
        return None
    return frozenset(found)


def lock_holder(path: Path) -> int | None:
    """The process that holds a flock on `path`; None if there is none, or none that we can see.

    Asked of /proc/locks: to try the lock would keep an agent that starts just now from it.
    """
    try:
        inode = path.stat().st_ino
        text = Path("/proc/locks").read_text()
    except OSError:
        return None
    return find_lock_holder(text, inode)


def find_lock_holder(locks: str, inode: int) -> int | None:
    """The process with an exclusive flock on `inode` in the text of /proc/locks."""
    for line in locks.splitlines():
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and fields[3:4] == ["WRITE"] and len(fields) > 5:  # noqa: PLR2004
            process, place = fields[4], fields[5]
            if place.rsplit(":", 1)[-1] == str(inode) and int(process) > 0:
                return int(process)
    return None


def owner(path: Path, unit: str | None = None) -> User | None:
    """The user to whom `path` belongs, with that user's groups; None if `path` is not there.

    `unit`: a service of systemd's that runs as that user; the groups that it adds count too.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    uid = status.st_uid
    added = frozenset[int]() if unit is None else _groups_of(unit)
    try:
        entry = pwd.getpwuid(uid)
        groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
        return User(uid, entry.pw_gid, groups | added)
    except KeyError:
        return User(uid, status.st_gid, frozenset({status.st_gid}) | added)


def _groups_of(unit: str) -> frozenset[int]:
    """What a unit's SupplementaryGroups= names, as far as it is known; nothing without systemd."""
    found = set[int]()
    for word in _asked_of_systemd(unit, "SupplementaryGroups").split():
        with suppress(KeyError):
            found.add(int(word) if word.isdecimal() else grp.getgrnam(word).gr_gid)
    return frozenset(found)


def _asked_of_systemd(unit: str, setting: str) -> str:
    program = shutil.which("systemctl")
    if program is None:
        return ""
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(  # noqa: S603 - systemd's own program, with words of ours
            [program, "show", f"--property={setting}", "--value", "--", unit],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_SYSTEMD_S,
        ).stdout  # fmt: skip
    return ""


def user_name(uid: int) -> str:
    """A user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def closed_to(user: User, path: Path, wanted: int) -> Path | None:
    """The folder on the way to `path`, or itself, that denies `user` the rights; None if open.

    `wanted` is of os.R_OK, os.W_OK and os.X_OK. Raises OSError if the way cannot be seen.
    """
    if user.uid == os.geteuid():
        return None if os.access(path, wanted) else path
    for folder in reversed(path.parents):
        if not _may(user, folder, os.X_OK):
            return folder
    return None if _may(user, path, wanted) else path


def secret(path: Path, *, credential: bool) -> Secret:
    """The metadata of a secret's file."""
    try:
        status = path.lstat()
    except OSError as error:
        return Secret(path, problem=error.strerror or "cannot be seen")
    if not stat.S_ISREG(status.st_mode):
        return Secret(path, problem="is no regular file")
    return Secret(path, status.st_uid, stat.S_IMODE(status.st_mode), credential)


def validity(path: Path) -> Validity:
    """When every certificate in a PEM file is valid. Raises OSError or ValueError."""
    data = read_regular(Path(os.path.realpath(path)), PEM_BYTES_MAX)
    found = x509.load_pem_x509_certificates(data)
    return Validity(
        max(one.not_valid_before_utc for one in found),
        min(one.not_valid_after_utc for one in found),
    )


def _may(user: User, path: Path, wanted: int) -> bool:
    status = path.stat()
    if user.uid == 0 or _has_acl(path):
        return True
    if status.st_uid == user.uid:
        granted = status.st_mode >> 6
    elif status.st_gid in user.groups:
        granted = status.st_mode >> 3
    else:
        granted = status.st_mode
    return granted & wanted == wanted


def _has_acl(path: Path) -> bool:
    """Whether mode bits do not tell the whole of a path's rights."""
    with suppress(OSError):
        return "system.posix_acl_access" in os.listxattr(path)
    return False


def _host(address: str, *, six: bool) -> str:
    words = [address[at : at + 8] for at in range(0, len(address), 8)]
    data = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    if not six:
        return ".".join(map(str, data))
    if data[:12] == bytes(10) + b"\xff\xff":
        return ".".join(map(str, data[12:]))
    return str(ipaddress.IPv6Address(data))


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
