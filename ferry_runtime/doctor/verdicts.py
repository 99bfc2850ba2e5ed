"""Findings from what was seen, the same on both sides. Pure: nothing is looked at here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ferry_format.reasons import BAD_KEY_FILE, KEY_FILE_EXPOSED, FerryError
from ferry_runtime.configuration import ConfigurationProblem
from ferry_runtime.doctor.findings import Area, Finding, Side, fault, warning, well
from ferry_runtime.doctor.host import Clock, Mount, Room, Secret, User, Validity, user_name
from ferry_runtime.doctor.medium import MediumSeen
from ferry_runtime.setting_types import NO_CREDENTIALS

EARLIEST_S: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""Before this program was: a clock that shows it was never set."""

_WARN_BEFORE: Final = timedelta(days=30)
_SCARCE: Final = 0.05
_NETWORK_KINDS: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "nfs", "nfs4", "smb3", "virtiofs"}
)
_BLOCK_KINDS: Final = frozenset({"btrfs", "ext3", "ext4", "exfat", "f2fs", "vfat", "xfs"})
_OTHERS: Final = 0o077
_OTHERS_CREDENTIAL: Final = 0o037
_SEEN_ELSEWHERE: Final = {
    "medium.path": ("cannot be used", "is not open"),
    "agent.state_dir": ("cannot be used", "is not open"),
}
"""What the looks at these folders tell themselves, with the right side and remedy."""


def of_configuration(problems: Iterable[ConfigurationProblem], here: Side) -> Iterator[Finding]:
    """Every mistake that `check` tells, apart from what other looks tell with more knowledge."""
    without_credentials = False
    for one in problems:
        if one.problem == NO_CREDENTIALS:
            without_credentials = True
        elif not _is_seen_elsewhere(one):
            place = one.file if one.line is None else f"{one.file}:{one.line}"
            key = f" {one.key}" if one.key else ""
            yield fault(Area.CONFIGURATION, f"{place}:{key} {one.problem}", here, one.action)
    if without_credentials:
        yield warning(
            Area.CONFIGURATION,
            "the configuration names systemd credentials, and CREDENTIALS_DIRECTORY is not set: "
            "secrets and what needs them were not looked at",
            here,
            "Run the doctor as root with CREDENTIALS_DIRECTORY set to the folder of the secrets.",
        )


def of_refused_policy(error: FerryError, here: Side) -> Finding:
    """A policy that is not loaded."""
    where = f" ({error.where})" if error.where else ""
    return fault(Area.POLICY, f"{error.reason.meaning}{where}", here, error.reason.action)


def of_secrets(found: Iterable[Secret], agent: User | None, here: Side) -> Iterator[Finding]:
    """Each secret's file: there, closed, and readable by the agent (or passed by systemd)."""
    good = 0
    for one in found:
        forbidden = _OTHERS_CREDENTIAL if one.credential else _OTHERS
        if one.problem:
            yield fault(
                Area.KEYS, f"{one.path}: {one.problem}", here, f"Put the file at {one.path}."
            )
        elif one.mode & forbidden:
            yield fault(
                Area.KEYS,
                f"{one.path} has mode {one.mode:04o}: others may read or change it",
                here,
                f"chmod 0600 {one.path}, and rotate the key if another user can have read it.",
            )
        elif not one.credential and agent is not None and one.uid != agent.uid and agent.uid:
            yield fault(
                Area.KEYS,
                f"{one.path} belongs to {user_name(one.uid)}, not to {agent.name}, who must read "
                "it",
                here,
                f"chown {agent.name} {one.path}, or have systemd pass it (LoadCredential=).",
            )
        else:
            good += 1
    if good:
        yield well(Area.KEYS, f"{good} secret files are closed to others")


def of_clock(clock: Clock, here: Side) -> Finding:
    """Whether the clock is set at all, and by somebody."""
    shown = datetime.fromtimestamp(clock.now_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if clock.now_s < EARLIEST_S:
        return fault(
            Area.CLOCK,
            f"this host's clock was never set: it shows {shown}",
            here,
            "Set it (timedatectl set-time), and give the host a time source.",
        )
    if clock.synchronised is False:
        return warning(
            Area.CLOCK,
            f"this host's clock is not synchronised; it shows {shown}",
            here,
            "Give the host a time source (chrony, systemd-timesyncd); see timedatectl.",
        )
    known = "synchronised" if clock.synchronised else "the kernel does not say by what"
    return well(Area.CLOCK, f"shows {shown} ({known})")


def of_room(area: Area, path: Path, room: Room, wanted_bytes: int, side: Side) -> Finding:
    """Whether a filesystem has the room that the agent leaves free, and inodes."""
    free = f"{size(room.free_bytes)} free"
    if room.bytes:  # 0: not known
        free = f"{size(room.free_bytes)} of {size(room.bytes)} free"
    if wanted_bytes:
        free += f", {size(wanted_bytes)} must stay free"
    if room.free_bytes < wanted_bytes:
        return fault(
            area,
            f"{path} is nearly full: {free}",
            side,
            "Remove what is not the ferry's, or give it more room; never remove ferry files by "
            "hand.",
        )
    if room.free_inodes is not None and room.inodes and room.free_inodes < 0.01 * room.inodes:
        return fault(
            area,
            f"{path} is out of inodes: {room.free_inodes} of {room.inodes} are free",
            side,
            "Remove files that are not the ferry's, or make its filesystem with more inodes.",
        )
    if room.free_bytes < max(2 * wanted_bytes, _SCARCE * room.bytes):
        return warning(
            area,
            f"{path} is filling: {free}",
            side,
            "Remove what is not the ferry's, or give it more room.",
        )
    return well(area, f"{path}: {free}")


def of_certificate(path: Path, validity: Validity, now: datetime, side: Side) -> Finding:
    """Whether a file's certificates are valid, and for how long."""
    until = validity.not_after.strftime("%Y-%m-%d")
    if now >= validity.not_after:
        return fault(
            Area.CERTIFICATES, f"{path} ran out on {until}", side, "Put a new certificate there."
        )
    if now < validity.not_before:
        return fault(
            Area.CERTIFICATES,
            f"{path} is not valid before {validity.not_before.strftime('%Y-%m-%d %H:%M UTC')}",
            side,
            "Look at this host's clock, then at the certificate.",
        )
    if validity.not_after - now < _WARN_BEFORE:
        return warning(
            Area.CERTIFICATES, f"{path} runs out on {until}", side, "Put a new certificate there."
        )
    return well(Area.CERTIFICATES, f"{path} is valid until {until}")


def of_mount(seen: MediumSeen, here: Side, *, published: bool) -> Iterator[Finding]:
    """Whether the medium is mounted, and as it should be; `published`: files must be on it."""
    if seen.in_fstab and not seen.is_mount:
        yield fault(
            Area.MEDIUM,
            f"{seen.path} is not mounted, though /etc/fstab has it",
            Side.MEDIUM,
            f"mount {seen.path}",
        )
        return
    if seen.is_bare and published:
        what = "an empty filesystem is" if seen.is_mount else "nothing is"
        yield fault(
            Area.MEDIUM,
            f"{seen.path} holds no ferry files, and {what} mounted there",
            Side.MEDIUM,
            f"Mount the medium at {seen.path}"
            + (" (another storage is mounted now)." if seen.is_mount else "."),
        )
        return
    if seen.mount is not None:
        yield from _of_mode(seen, seen.mount, here)
    yield from of_events(seen.mount)


def _of_mode(seen: MediumSeen, mount: Mount, here: Side) -> Iterator[Finding]:
    how = f"{mount.kind}, {'read-only' if mount.read_only else 'writable'}"
    if here is Side.OUTER and (mount.read_only or mount.filesystem_read_only):
        yield fault(
            Area.MEDIUM,
            f"{seen.path} is mounted read-only ({mount.kind})",
            Side.MEDIUM,
            "Look in dmesg for a disk error that made it so, then mount it writable.",
        )
    elif here is Side.INNER and not (mount.read_only or mount.filesystem_read_only):
        what = f"is mounted writable ({mount.kind})" if seen.is_mount else "is a writable folder"
        yield warning(
            Area.MEDIUM,
            f"{seen.path} {what}: the way back is closed by the unit alone",
            here,
            f"mount -o remount,ro {seen.path}, and ro,nodev,nosuid,noexec in /etc/fstab."
            if seen.is_mount
            else f"Mount the medium read-only at {seen.path} (ro,nodev,nosuid,noexec).",
        )
    else:
        what = "mounted" if seen.is_mount else "a folder"
        yield well(Area.MEDIUM, f"{seen.path} is {what} ({how})")
    local_only = mount.kind in _BLOCK_KINDS and mount.filesystem_read_only and seen.is_mount
    if here is Side.INNER and local_only:
        yield warning(
            Area.MEDIUM,
            f"{mount.source} is {mount.kind} that nobody on this host writes: if two hosts mount "
            "one block device, the reader never sees new files",
            Side.MEDIUM,
            "Share the medium as a network filesystem (NFS, SMB) instead.",
        )


def of_events(mount: Mount | None) -> Iterator[Finding]:
    """What is known beforehand of directory events on this kind of filesystem."""
    if mount is not None and mount.kind in _NETWORK_KINDS:
        yield well(
            Area.MEDIUM,
            f"{mount.kind} announces nothing that another host writes: the inner finds files by "
            "looking (medium.look_s)",
        )


def of_closed(
    area: Area, path: Path, closed: Path | None, agent: User, what: str, side: Side
) -> Iterator[Finding]:
    """Whether the agent's user may do `what` (read, write) at a path; `closed` is where it ends."""
    if closed is not None:
        yield fault(
            area,
            f"{agent.name} may not {what} {path}: {closed} is closed to that user",
            side,
            f"Give {agent.name} that right (chown, chmod, or the group): {closed}",
        )


def of_owners(folder: Path, strangers: Sequence[str], agent: User, here: Side) -> Iterator[Finding]:
    """Whether the databases belong to the agent's user; `strangers` are files that do not."""
    if strangers:
        yield fault(
            Area.STATE,
            f"{', '.join(strangers)} in {folder} do not belong to {agent.name}: the agent was once "
            "run by another user",
            here,
            f"Stop the agent, chown {agent.name} the files, and start it as that user.",
        )


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    if seconds < 7200:  # noqa: PLR2004
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def _is_seen_elsewhere(one: ConfigurationProblem) -> bool:
    missing = one.problem.startswith(BAD_KEY_FILE.meaning) and "No such file" in one.problem
    if missing or one.problem.startswith(KEY_FILE_EXPOSED.meaning):
        return True
    return one.problem.startswith(_SEEN_ELSEWHERE.get(one.key, ("\0",)))
