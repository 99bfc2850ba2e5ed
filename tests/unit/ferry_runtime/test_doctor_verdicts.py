"""What the doctor of either side makes of mounts, room, clocks, keys and certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ferry_format.reasons import KEY_FILE_EXPOSED
from ferry_runtime.configuration import ConfigurationProblem
from ferry_runtime.doctor import verdicts
from ferry_runtime.doctor.findings import Area, Level, Side
from ferry_runtime.doctor.host import Clock, Mount, Room, Secret, User, Validity
from ferry_runtime.doctor.medium import MediumSeen
from ferry_runtime.setting_types import NO_CREDENTIALS

MEDIUM = Path("/srv/ferry-medium")
AGENT = User(991, 991, frozenset({991}))
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def mount(kind: str = "nfs4", *, point: Path = MEDIUM, ro: bool = False, all_ro: bool = False):
    return Mount(point, kind, "server:/ferry", ro, all_ro)


def seen(found: Mount | None, *, bare: bool = False, in_fstab: bool = False) -> MediumSeen:
    return MediumSeen(MEDIUM, found, in_fstab, not bare, 0 if bare else 1, 0)


ROOT = mount("ext4", point=Path("/"))


@pytest.mark.parametrize(
    ("medium", "here", "published", "level", "side", "words"),
    [
        (seen(ROOT, in_fstab=True), Side.INNER, True, Level.FAULT, Side.MEDIUM, "fstab"),
        (seen(ROOT, bare=True), Side.INNER, True, Level.FAULT, Side.MEDIUM, "nothing is mounted"),
        (seen(mount(), bare=True), Side.OUTER, True, Level.FAULT, Side.MEDIUM, "empty filesystem"),
        (seen(ROOT, bare=True), Side.OUTER, False, Level.WELL, None, "a folder"),
        (seen(mount(ro=True)), Side.OUTER, True, Level.FAULT, Side.MEDIUM, "read-only"),
        (seen(mount(ro=True)), Side.INNER, True, Level.WELL, None, "mounted (nfs4, read-only)"),
        (seen(mount()), Side.INNER, True, Level.WARNING, Side.INNER, "mounted writable"),
        (seen(ROOT), Side.INNER, True, Level.WARNING, Side.INNER, "a writable folder"),
        (seen(mount()), Side.OUTER, True, Level.WELL, None, "mounted (nfs4, writable)"),
    ],
)
def test_a_medium_is_mounted_as_it_should_be(medium, here, published, level, side, words) -> None:
    first = next(verdicts.of_mount(medium, here, published=published))
    assert (first.level, first.side) == (level, side)
    assert words in first.seen
    assert bool(first.action) is (level is not Level.WELL)


def test_a_block_device_that_two_hosts_mount_is_no_medium() -> None:
    shared = seen(Mount(MEDIUM, "ext4", "/dev/sdb", read_only=True, filesystem_read_only=True))
    told = list(verdicts.of_mount(shared, Side.INNER, published=True))
    assert [one.side for one in told] == [None, Side.MEDIUM]
    assert "network filesystem" in told[1].action


def test_a_network_filesystem_is_said_to_be_looked_at() -> None:
    told = list(verdicts.of_mount(seen(mount(ro=True)), Side.INNER, published=True))
    assert "medium.look_s" in told[-1].seen


@pytest.mark.parametrize(
    ("room", "wanted", "level", "words"),
    [
        (Room(5, 1000, None, None), 10, Level.FAULT, "nearly full"),
        (Room(5, 0, None, None), 10, Level.FAULT, ": 5 B free, 10 B must stay free"),
        (Room(15, 1000, None, None), 10, Level.WARNING, "filling"),
        (Room(30, 1000, None, None), 10, Level.WARNING, "filling"),
        (Room(500, 1000, None, None), 10, Level.WELL, "500 B of 1 kB free"),
        (Room(500, 1000, 3, 1000), 10, Level.FAULT, "inodes: 3 of 1000"),
        (Room(500, 1000, 300, 1000), 10, Level.WELL, "free"),
    ],
)
def test_room_is_judged_by_what_must_stay_free(room, wanted, level, words) -> None:
    told = verdicts.of_room(Area.MEDIUM, MEDIUM, room, wanted, Side.MEDIUM)
    assert told.level is level
    assert words in told.seen


@pytest.mark.parametrize(
    ("clock", "level"),
    [
        (Clock(0.0, synchronised=True), Level.FAULT),
        (Clock(NOW.timestamp(), synchronised=False), Level.WARNING),
        (Clock(NOW.timestamp(), synchronised=True), Level.WELL),
        (Clock(NOW.timestamp(), synchronised=None), Level.WELL),
    ],
)
def test_a_clock_is_set_and_kept(clock: Clock, level: Level) -> None:
    assert verdicts.of_clock(clock, Side.INNER).level is level


@pytest.mark.parametrize(
    ("mode", "uid", "credential", "words"),
    [
        (0o644, 991, False, "chmod 0600"),
        (0o600, 0, False, "chown 991"),
        (0o640, 0, True, None),
        (0o600, 0, True, None),
        (0o600, 991, False, None),
        (0o644, 0, True, "chmod 0600"),
    ],
)
def test_a_secret_is_the_agents_and_nobody_elses(mode, uid, credential, words) -> None:
    found = Secret(Path("/k/a.key"), uid, mode, credential)
    [told] = verdicts.of_secrets([found], AGENT, Side.OUTER)
    if words is None:
        assert told.level is Level.WELL
    else:
        assert (told.level, told.side) == (Level.FAULT, Side.OUTER)
        assert words in told.action


def test_a_secret_that_is_missing_is_named() -> None:
    found = Secret(Path("/k/a.key"), problem="No such file or directory")
    [told] = verdicts.of_secrets([found], AGENT, Side.INNER)
    assert told.seen == "/k/a.key: No such file or directory"


@pytest.mark.parametrize(
    ("validity", "level"),
    [
        (Validity(NOW - DAY, NOW + 90 * DAY), Level.WELL),
        (Validity(NOW - DAY, NOW + 10 * DAY), Level.WARNING),
        (Validity(NOW - 9 * DAY, NOW - DAY), Level.FAULT),
        (Validity(NOW + DAY, NOW + 90 * DAY), Level.FAULT),
    ],
)
def test_a_certificate_is_valid_for_a_while(validity: Validity, level: Level) -> None:
    told = verdicts.of_certificate(Path("/c.pem"), validity, NOW, Side.OUTER)
    assert told.level is level


def problem(key: str, words: str) -> ConfigurationProblem:
    return ConfigurationProblem("/etc/outer.toml", 7, key, words, "Mend it.")


def test_configuration_errors_are_told_with_file_line_and_key() -> None:
    [told] = verdicts.of_configuration([problem("medium.pth", "is no known key")], Side.OUTER)
    assert told.seen == "/etc/outer.toml:7: medium.pth is no known key"
    assert (told.side, told.action) == (Side.OUTER, "Mend it.")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("medium.path", "cannot be used: No such file or directory"),
        ("agent.state_dir", "is not open to this user to read and write"),
        ("keys.signing", f"{KEY_FILE_EXPOSED.meaning} (/k: mode 0644)"),
    ],
)
def test_what_another_look_tells_better_is_not_told_twice(key: str, words: str) -> None:
    assert list(verdicts.of_configuration([problem(key, words)], Side.OUTER)) == []


def test_secrets_that_only_systemd_passes_are_one_warning_for_whoever_runs_it_by_hand() -> None:
    problems = [problem("keys.signing", NO_CREDENTIALS), problem("audit.key", NO_CREDENTIALS)]
    [told] = verdicts.of_configuration(problems, Side.OUTER)
    assert told.level is Level.WARNING
    assert "CREDENTIALS_DIRECTORY" in told.action
