"""What a stranger may put on the medium: refused or ignored, with its reason, never waited for.

Every case runs twice: with openat2, and with the way of kernels that lack it.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ferry_format import limits, reasons
from ferry_format.container import FRAME_BYTES
from ferry_format.medium import layout, safe_open
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.safe_open import HostileFile
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import Unavailable

STREAM = bytes(range(16))
DATA = os.urandom(FRAME_BYTES + 100)
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.needs_root


@pytest.fixture(params=["openat2", "stepwise"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "stepwise":

        def absent(*_: object) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(safe_open, "_openat2", absent)
    return request.param


class Medium:
    """A medium with file 1 on it, and room for what a stranger puts at 2."""

    def __init__(self, root: Path, outside: Path) -> None:
        self.root = root
        root.mkdir()
        writer = MediumWriter(root)
        writer.publish(writer.stage(STREAM, 1, DATA))
        self.outside = outside
        outside.write_bytes(DATA)
        self.reader = MediumReader(root, None)

    def path(self, sequence: int) -> Path:
        return self.root / layout.file_path(STREAM, sequence)

    def refusal(self, sequence: int = 2) -> HostileFile:
        started_s = time.monotonic()
        with pytest.raises(HostileFile) as caught:
            self.reader.read(STREAM, sequence)
        assert time.monotonic() - started_s < 20
        return caught.value


@pytest.fixture
def medium(tmp_path: Path, way: str) -> Medium:
    assert way
    return Medium(tmp_path / "medium", tmp_path / "outside")


def test_a_lawful_file_is_read_and_an_absent_one_is_absent(medium: Medium) -> None:
    file = medium.reader.read(STREAM, 1)
    assert file is not None
    assert file.data == DATA
    assert file.name == layout.file_path(STREAM, 1)
    assert medium.reader.read(STREAM, 2) is None
    assert medium.reader.read(STREAM, 10 * layout.FILES_PER_SHARD) is None
    assert medium.reader.read(bytes(16), 1) is None


def _socket(path: Path, _: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


NO_FILES: dict[str, Callable[[Path, Path], object]] = {
    "symlink to a file outside": lambda path, outside: path.symlink_to(outside),
    "symlink to a file beside": lambda path, _: path.symlink_to(layout.file_name(1)),
    "dangling symlink": lambda path, _: path.symlink_to("nowhere"),
    "symlink to a directory": lambda path, _: path.symlink_to("/etc"),
    "magic link": lambda path, _: path.symlink_to("/proc/self/exe"),
    "directory": lambda path, _: path.mkdir(),
    "fifo": lambda path, _: os.mkfifo(path),
    "socket": _socket,
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_regular_file_is_refused_unopened(
    medium: Medium, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    NO_FILES[kind](medium.path(2), medium.outside)
    monkeypatch.setattr(safe_open, "_reopen", None)
    refusal = medium.refusal()
    assert refusal.reason is reasons.NOT_A_REGULAR_FILE
    assert refusal.identity is not None
    assert refusal.identity == medium.refusal().identity


@needs_root
@pytest.mark.skipif(not IS_ROOT, reason="only root can make a device node")
@pytest.mark.parametrize("device", [(1, 3), (5, 0), (4, 64)])
def test_a_device_is_refused_unopened(
    medium: Medium, monkeypatch: pytest.MonkeyPatch, device: tuple[int, int]
) -> None:
    os.mknod(medium.path(2), 0o020666, os.makedev(*device))
    monkeypatch.setattr(safe_open, "_reopen", None)  # opening some devices acts on them
    assert medium.refusal().reason is reasons.NOT_A_REGULAR_FILE


@pytest.mark.parametrize("level", ["stream", "shard"])
def test_a_directory_replaced_by_a_link_is_not_entered(medium: Medium, level: str) -> None:
    folder = medium.path(1).parent if level == "shard" else medium.path(1).parent.parent
    elsewhere = medium.root.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    refusal = medium.refusal(1)
    assert refusal.reason is reasons.NOT_A_REGULAR_FILE
    assert refusal.identity is not None
    assert list(medium.reader.available(STREAM, 1)) == []


def test_a_file_in_a_directorys_place_is_refused(medium: Medium) -> None:
    shard = medium.path(1).parent
    shutil.rmtree(shard)
    shard.write_bytes(DATA)
    assert medium.refusal(1).reason is reasons.NOT_A_REGULAR_FILE
    assert list(medium.reader.available(STREAM, 1)) == []


def test_a_second_name_is_refused(medium: Medium) -> None:
    os.link(medium.path(1), medium.path(2))
    assert medium.refusal(2).reason is reasons.HARD_LINKED
    assert medium.refusal(1).reason is reasons.HARD_LINKED
    medium.path(2).unlink()
    assert medium.reader.read(STREAM, 1) is not None


@needs_root
@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_another_owner_is_refused(medium: Medium) -> None:
    os.chown(medium.path(1), 12345, -1)
    assert medium.refusal(1).reason is reasons.WRONG_OWNER
    assert MediumReader(medium.root, 12345).read(STREAM, 1) is not None


def test_what_may_not_be_read_is_one_names_fault_and_not_the_mediums(way: str) -> None:
    assert way
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        medium = Medium(Path(folder) / "medium", Path(folder) / "outside")
        for path in (medium.root, *medium.root.rglob("*")):
            path.chmod(0o755)
        closed = medium.path(4096).parent
        shutil.copyfile(medium.path(1), medium.path(2))
        medium.path(2).chmod(0)
        shutil.copyfile(medium.path(1), medium.path(4096))
        closed.chmod(0)
        fork = multiprocessing.get_context("fork")
        looking = fork.Process(target=_look_as_a_stranger, args=(medium,))
        looking.start()
        looking.join(30)
        assert looking.exitcode == 0
        closed.chmod(0o755)


def _look_as_a_stranger(medium: Medium) -> None:
    """The file 2 and the shard of 4096 are closed to us."""
    if IS_ROOT:
        os.setuid(65534)
    assert medium.refusal(2).reason is reasons.FILE_NOT_READABLE
    assert medium.refusal(4096).reason is reasons.FILE_NOT_READABLE
    assert medium.reader.read(STREAM, 1) is not None
    assert list(medium.reader.available(STREAM, 1)) == [1, 2]
    assert medium.reader.foreign_names() == {}


def test_the_owner_of_the_root_is_who_counts_unless_one_is_named(medium: Medium) -> None:
    stranger = MediumReader(medium.root, os.geteuid() + 1)
    with pytest.raises(HostileFile) as caught:
        stranger.read(STREAM, 1)
    assert caught.value.reason is reasons.WRONG_OWNER


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (0, reasons.FILE_TOO_SHORT),
        (FRAME_BYTES - 1, reasons.FILE_TOO_SHORT),
        (limits.FILE_BYTES_MAX + 1, reasons.FILE_TOO_LARGE),
        (2**40, reasons.FILE_TOO_LARGE),
    ],
)
def test_an_unlawful_size_is_refused_unread(
    medium: Medium, monkeypatch: pytest.MonkeyPatch, size: int, reason: reasons.Reason
) -> None:
    medium.path(2).touch()
    os.truncate(medium.path(2), size)
    monkeypatch.setattr(os, "read", None)
    assert medium.refusal().reason is reason


@pytest.mark.parametrize("size", [FRAME_BYTES, limits.FILE_BYTES_MAX])
def test_the_sizes_at_the_limits_are_read(medium: Medium, size: int) -> None:
    medium.path(2).touch()
    os.truncate(medium.path(2), size)
    file = medium.reader.read(STREAM, 2)
    assert file is not None
    assert len(file.data) == size


# --- Files that move under the reader ------------------------------------------------------------


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": _append,
    "shrinks": lambda path: os.truncate(path, FRAME_BYTES),
    "is written in place": lambda path: path.write_bytes(bytes(len(DATA))),
    "gets another mode": lambda path: path.chmod(0o600),
    "gets a second name": lambda path: os.link(path, path.with_suffix(".second")),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_refused(
    medium: Medium, monkeypatch: pytest.MonkeyPatch, kind: str, when: str
) -> None:
    read = safe_open._read_all

    def disturbed(descriptor: int, size: int) -> bytes:
        if when == "before":
            CHANGES[kind](medium.path(1))
        data = read(descriptor, size)
        if when == "after":
            CHANGES[kind](medium.path(1))
        return data

    monkeypatch.setattr(safe_open, "_read_all", disturbed)
    refusal = medium.refusal(1)
    assert refusal.reason is reasons.FILE_CHANGED


GROW = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
print("go", flush=True)
while True:
    os.write(descriptor, b"a" * 10)
"""


def test_a_file_that_another_process_keeps_growing_is_refused_or_read_as_it_was(
    medium: Medium,
) -> None:
    medium.path(2).write_bytes(b"a" * FRAME_BYTES)
    command = [sys.executable, "-c", GROW, str(medium.path(2))]
    outcomes = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            until_s = time.monotonic() + 0.5
            while time.monotonic() < until_s:
                try:
                    file = medium.reader.read(STREAM, 2)
                except HostileFile as refusal:
                    outcomes.add(refusal.reason.code)
                else:
                    assert file is not None
                    assert len(file.data) == file.identity.size
        finally:
            writer.kill()
    assert reasons.FILE_CHANGED.code in outcomes
    assert outcomes <= {reasons.FILE_CHANGED.code, reasons.FILE_TOO_LARGE.code}


def test_a_file_swapped_by_renames_is_one_or_the_other_never_a_mixture(medium: Medium) -> None:
    bodies = [bytes([byte]) * (FRAME_BYTES + 5000) for byte in b"ab"]
    writer = MediumWriter(medium.root)
    for number in range(300):
        writer.publish_again(STREAM, 2, bodies[number % 2])
        file = medium.reader.read(STREAM, 2)
        assert file is not None
        assert file.data in bodies


@pytest.mark.parametrize("deed", ["cleaned", "resent"])
def test_cleaning_and_resending_while_it_is_read_raise_no_alarm(
    medium: Medium, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    read = safe_open._read_all

    def disturbed(descriptor: int, size: int) -> bytes:
        monkeypatch.setattr(safe_open, "_read_all", read)
        data = read(descriptor, size)
        if deed == "cleaned":
            medium.path(1).unlink()
        else:
            MediumWriter(medium.root).publish_again(STREAM, 1, DATA)
        return data

    monkeypatch.setattr(safe_open, "_read_all", disturbed)
    file = medium.reader.read(STREAM, 1)
    assert (file is None) if deed == "cleaned" else (file is not None and file.data == DATA)


def test_a_name_that_is_swapped_for_ever_is_refused_in_the_end(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = safe_open._read_all

    def disturbed(descriptor: int, size: int) -> bytes:
        MediumWriter(medium.root).publish_again(STREAM, 1, DATA)
        return read(descriptor, size)

    monkeypatch.setattr(safe_open, "_read_all", disturbed)
    assert medium.refusal(1).reason is reasons.FILE_CHANGED


# --- Names ---------------------------------------------------------------------------------------


def test_foreign_names_are_ignored_and_counted(medium: Medium) -> None:
    assert not medium.reader.foreign_names()
    (medium.root / "lost+found").mkdir()
    assert not medium.reader.foreign_names()
    shard = medium.path(1).parent
    for path in (
        medium.root / "readme.txt",
        medium.root / STREAM.hex().upper(),
        shard.parent / "17",
        shard / "1.ferry",
        shard / f"{layout.file_name(2)}.tmp",
        shard / layout.file_name(layout.FILES_PER_SHARD),
        shard / os.fsdecode(b"\xff\xfe.ferry"),
    ):
        path.write_bytes(DATA)
    assert medium.reader.foreign_names() == {reasons.FOREIGN_NAME.code: 7}
    assert medium.reader.streams() == [STREAM]
    assert list(medium.reader.available(STREAM, 1)) == [1]


def test_a_flooded_directory_costs_bounded_work(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferry_format.medium.listing.NAMES_LISTED_MAX", 50)
    for number in range(200):
        (medium.root / f"{number:032x}").mkdir()
    assert len(medium.reader.streams()) <= 50
    assert medium.reader.read(STREAM, 1) is not None


@needs_root
@pytest.mark.skipif(not IS_ROOT, reason="only root can mount")
def test_a_mount_in_the_mediums_tree_is_not_entered(medium: Medium) -> None:
    shard = medium.path(1).parent
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", shard], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this root may not mount")
    try:
        medium.path(1).write_bytes(DATA)
        assert medium.refusal(1).reason is reasons.NOT_A_REGULAR_FILE
    finally:
        subprocess.run(["umount", shard], check=True)
    assert medium.reader.read(STREAM, 1) is not None


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_without_proc_the_medium_is_unreadable_rather_than_empty(
    medium: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = os.open

    def without_proc(path: str, *rest: object, **more: object) -> int:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return opening(path, *rest, **more)

    monkeypatch.setattr(os, "open", without_proc)
    with pytest.raises(Unavailable) as caught:
        medium.reader.read(STREAM, 1)
    assert caught.value.reason is reasons.MEDIUM_UNREADABLE


def test_reading_leaves_no_descriptor_open(medium: Medium) -> None:
    medium.path(2).symlink_to("nowhere")
    os.mkfifo(medium.path(3))
    before = _descriptors()
    medium.reader.read(STREAM, 1)
    medium.refusal(2)
    medium.refusal(3)
    medium.reader.foreign_names()
    list(medium.reader.available(STREAM, 1))
    assert _descriptors() == before


# --- Nothing flows back --------------------------------------------------------------------------

READ_ALL = """
import os, sys
from pathlib import Path
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.watch import Watch
root, stream = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
try:
    (root / "probe").touch()
except OSError as error:
    print("cannot write:", error.strerror)
reader, watch = MediumReader(root, None), Watch()
watch.follow(root, stream, 2)
print(len(reader.read(stream, 1).data), reader.read(stream, 2), reader.streams()[0].hex())
print(list(reader.available(stream, 1)), dict(reader.foreign_names()))
watch.wait(0.01)
watch.close()
"""


def _listing(root: Path) -> dict[str, tuple[int, ...]]:
    found = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        found[str(path)] = (
            status.st_ino,
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_atime_ns,
        )
    return found


@needs_root
@pytest.mark.skipif(not IS_ROOT, reason="a mount namespace of its own needs root")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_on_a_read_only_mount_everything_works_and_nothing_is_left_behind(tmp_path: Path) -> None:
    medium = Medium(tmp_path / "medium", tmp_path / "outside")
    before = _listing(medium.root)
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "${@:2}"'
    result = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "bash", "-c", script, "bash"),
            *(medium.root, sys.executable, "-c", READ_ALL, medium.root, STREAM.hex()),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if "unshare failed" in result.stderr or "mount:" in result.stderr:
        pytest.skip("this root may not mount")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "cannot write: Read-only file system",
        f"{len(DATA)} None {STREAM.hex()}",
        "[1] {}",
    ]
    assert _listing(medium.root) == before


def test_a_reader_that_owns_the_files_leaves_not_even_an_access_time(medium: Medium) -> None:
    long_ago = time.time() - 10 * 86_400  # older than a day: relatime would renew it
    for path in [medium.root, *medium.root.rglob("*")]:
        os.utime(path, (long_ago, long_ago))
    before = {path: path.stat().st_atime_ns for path in medium.root.rglob("*.ferry")}
    medium.reader.read(STREAM, 1)
    assert {path: path.stat().st_atime_ns for path in before} == before
