"""Publishing: whole or not at all, the steps in their order, repeatable wherever it failed."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.medium import durable, layout
from ferry_format.medium.writer import MediumWriter, Staged
from ferry_format.reasons import StorageFault, Unavailable

STREAM = bytes(range(16))
DATA = b"d" * 3000


@pytest.fixture
def writer(tmp_path: Path) -> MediumWriter:
    return MediumWriter(tmp_path)


def put(writer: MediumWriter, sequence: int, data: bytes = DATA) -> Staged:
    staged = writer.stage(STREAM, sequence, data)
    writer.publish(staged)
    return staged


def place(root: Path, sequence: int) -> Path:
    return root / layout.file_path(STREAM, sequence)


def staging(root: Path) -> list[str]:
    return [path.name for path in (root / layout.STAGE).iterdir()]


def test_a_staged_file_is_whole_and_not_yet_visible(writer: MediumWriter, tmp_path: Path) -> None:
    staged = writer.stage(STREAM, 1, DATA)
    assert Path(staged.path).read_bytes() == DATA
    assert not writer.is_visible(STREAM, 1)
    writer.publish(staged)
    assert writer.is_visible(STREAM, 1)
    assert place(tmp_path, 1).read_bytes() == DATA
    assert staging(tmp_path) == []


def test_a_discarded_file_leaves_nothing(writer: MediumWriter, tmp_path: Path) -> None:
    writer.discard(writer.stage(STREAM, 1, DATA))
    assert staging(tmp_path) == []
    assert not writer.is_visible(STREAM, 1)


def test_modes_let_the_group_read_whatever_the_umask(writer: MediumWriter, tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    before = os.umask(0o077)
    try:
        put(writer, 1)
    finally:
        os.umask(before)
    file = place(tmp_path, 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    for folder in (file.parent, file.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o777 == 0o750
        assert folder.stat().st_mode & stat.S_ISGID


def test_the_next_shard_is_there_before_it_is_needed(writer: MediumWriter, tmp_path: Path) -> None:
    put(writer, 1)
    assert place(tmp_path, layout.FILES_PER_SHARD).parent.is_dir()
    put(writer, layout.FILES_PER_SHARD)
    assert place(tmp_path, 2 * layout.FILES_PER_SHARD).parent.is_dir()


# --- The order of steps --------------------------------------------------------------------------


def test_each_step_is_synchronised_before_the_next(
    writer: MediumWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(writer, 1)  # makes the shards
    steps: list[str] = []
    fsync, rename = os.fsync, durable.rename_new

    def recording_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        whole = is_folder or os.fstat(descriptor).st_size == len(DATA)
        steps.append(f"fsync {path.parent.name if not is_folder else path.name} {whole}")
        fsync(descriptor)

    def recording_rename(source: str, target: str) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(durable, "rename_new", recording_rename)
    put(writer, 2)
    assert steps == [
        f"fsync {layout.STAGE} True",
        "rename",
        f"fsync {layout.shard_name(2)} True",
    ]


def test_new_directories_are_synchronised_in_their_parents_before_a_file_enters(
    writer: MediumWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = durable.sync_directory
    monkeypatch.setattr(durable, "sync_directory", lambda path: (synced.append(path), sync(path)))
    writer.stage(STREAM, 1, DATA)
    stream = f"{tmp_path}/{layout.stream_name(STREAM)}"
    assert str(tmp_path) in synced
    assert synced.index(str(tmp_path)) < synced.index(stream)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_sees_write_fsync_rename_fsync(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from ferry_format.medium.writer import MediumWriter
writer = MediumWriter(Path({str(tmp_path)!r}))
for sequence in (1, 2):
    writer.publish(writer.stage({STREAM!r}, sequence, b"d" * 3000))
"""
    trace = tmp_path / "trace"
    calls = "trace=openat,write,fsync,rename,renameat2"
    result = subprocess.run(
        ["strace", "-y", "-e", calls, "-o", trace, sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
    )
    if "ptrace" in result.stderr.lower() and result.returncode:
        pytest.skip("strace may not trace here")
    assert result.returncode == 0, result.stderr
    lines = [line for line in trace.read_text().splitlines() if str(tmp_path) in line]
    second = [re.match(r"\w+", line)[0] for line in lines if not re.search("openat", line)][-4:]
    assert second == ["write", "fsync", "renameat2", "fsync"]
    assert all(
        line.rstrip().endswith(("= 0", "= 3000")) for line in lines[-4:] if "openat" not in line
    )
    assert layout.shard_name(2) in lines[-1]


# --- What stands in the way ----------------------------------------------------------------------


def test_the_same_bytes_again_count_as_done(writer: MediumWriter, tmp_path: Path) -> None:
    put(writer, 1)
    put(writer, 1)
    assert place(tmp_path, 1).read_bytes() == DATA
    assert staging(tmp_path) == []
    assert writer.usage().files == 1


@pytest.mark.parametrize("other", [b"e" * 3000, b"d" * 2999, b"d" * 3001, b""])
def test_other_bytes_under_a_name_stop_the_outer_and_stay(
    writer: MediumWriter, tmp_path: Path, other: bytes
) -> None:
    put(writer, 1)
    place(tmp_path, 1).write_bytes(other)
    with pytest.raises(StorageFault) as caught:
        put(writer, 1)
    assert caught.value.reason is reasons.NAME_TAKEN
    assert caught.value.where == str(place(tmp_path, 1))
    assert place(tmp_path, 1).read_bytes() == other
    assert staging(tmp_path) == []


def test_a_file_that_the_outer_never_sealed_is_replaced(tmp_path: Path) -> None:
    ours = {DATA, b"ours too" * 500}
    asked = []

    def is_ours(stream_id: bytes, sequence: int, data: bytes) -> bool:
        asked.append((stream_id, sequence))
        return data in ours

    writer = MediumWriter(tmp_path, is_ours)
    for sequence, standing in enumerate([b"planted", b"", b"e" * len(DATA), b"f" * 10**6], 1):
        put(writer, 9)
        staged = writer.stage(STREAM, sequence, DATA)
        place(tmp_path, sequence).write_bytes(standing)
        writer.publish(staged)
        assert place(tmp_path, sequence).read_bytes() == DATA
        assert writer.replaced == sequence
        assert asked[-1] == (STREAM, sequence)
    staged = writer.stage(STREAM, 5, DATA)
    place(tmp_path, 5).write_bytes(b"ours too" * 500)
    with pytest.raises(StorageFault) as caught:
        writer.publish(staged)
    assert caught.value.reason is reasons.NAME_TAKEN


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo"])
def test_what_is_no_file_under_a_name_is_never_replaced(
    writer: MediumWriter, tmp_path: Path, kind: str
) -> None:
    staged = writer.stage(STREAM, 1, DATA)
    target = place(tmp_path, 1)
    {
        "symlink": lambda: target.symlink_to("/dev/null"),
        "directory": target.mkdir,
        "fifo": lambda: os.mkfifo(target),
    }[kind]()
    with pytest.raises(StorageFault):
        writer.publish(staged)
    assert not target.is_file()


def test_without_renameat2_nothing_is_replaced_either(
    writer: MediumWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OldLibc:
        @staticmethod
        def renameat2(*_: object) -> int:
            return -1

    monkeypatch.setattr(durable, "_LIBC", OldLibc)
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EINVAL)
    put(writer, 1)
    put(writer, 1)
    with pytest.raises(StorageFault):
        put(writer, 1, b"other")
    assert place(tmp_path, 1).read_bytes() == DATA
    assert place(tmp_path, 1).stat().st_nlink == 1


def test_a_publication_that_failed_after_its_rename_can_be_repeated(
    writer: MediumWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = writer.stage(STREAM, 1, DATA)

    def stale(path: str) -> None:
        raise OSError(errno.ESTALE, "stale", path)

    with monkeypatch.context() as patched:
        patched.setattr(durable, "sync_directory", stale)
        with pytest.raises(Unavailable) as caught:
            writer.publish(staged)
    assert caught.value.reason is reasons.MEDIUM_UNAVAILABLE
    assert writer.is_visible(STREAM, 1)
    writer.publish(staged)
    assert place(tmp_path, 1).read_bytes() == DATA
    assert staging(tmp_path) == []
    assert writer.usage().files == 1


def test_a_removed_shard_is_made_again(writer: MediumWriter, tmp_path: Path) -> None:
    put(writer, 1)
    staged = writer.stage(STREAM, 2, DATA)
    shutil.rmtree(tmp_path / layout.stream_name(STREAM))
    writer.publish(staged)
    assert place(tmp_path, 2).read_bytes() == DATA


def test_a_missing_medium_is_never_created(tmp_path: Path) -> None:
    writer = MediumWriter(tmp_path / "not-mounted")
    for call in (lambda: writer.stage(STREAM, 1, DATA), writer.usage):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.reason is reasons.MEDIUM_UNAVAILABLE
    assert list(tmp_path.iterdir()) == []


def test_an_unmounted_medium_is_found_out_instead_of_filling_its_mount_point(
    tmp_path: Path,
) -> None:
    root, away = tmp_path / "medium", tmp_path / "away"
    root.mkdir()
    writer = MediumWriter(root)
    put(writer, 1)
    staged = writer.stage(STREAM, 2, DATA)
    root.rename(away)
    root.mkdir()  # the bare mount point
    with pytest.raises(Unavailable):
        writer.publish(staged)
    with pytest.raises(Unavailable):
        writer.is_visible(STREAM, 2)
    with pytest.raises(Unavailable):
        writer.stage(STREAM, 3, DATA)
    assert list(root.iterdir()) == []
    root.rmdir()
    away.rename(root)  # mounted again
    writer.publish(staged)
    assert place(root, 2).read_bytes() == DATA


@pytest.mark.parametrize(
    ("code", "error", "reason"),
    [
        (errno.ENOSPC, Unavailable, reasons.MEDIUM_FULL),
        (errno.EDQUOT, Unavailable, reasons.MEDIUM_FULL),
        (errno.EROFS, Unavailable, reasons.MEDIUM_UNAVAILABLE),
        (errno.EIO, StorageFault, reasons.STORAGE_FAILED),
    ],
)
def test_a_failed_fsync_is_told_apart_discarded_and_never_repeated(
    writer: MediumWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[Exception],
    reason: reasons.Reason,
) -> None:
    put(writer, 1)
    calls = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(error) as caught:
            writer.stage(STREAM, 2, DATA)
    assert caught.value.reason is reason
    assert len(calls) == 1
    assert staging(tmp_path) == []
    put(writer, 2)


def test_short_writes_are_continued(
    writer: MediumWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    put(writer, 1)
    assert place(tmp_path, 1).read_bytes() == DATA


def test_a_resend_replaces_whatever_file_stands_there(writer: MediumWriter, tmp_path: Path) -> None:
    put(writer, 1)
    before = place(tmp_path, 1).stat().st_ino
    place(tmp_path, 1).write_bytes(b"damaged")
    writer.publish_again(STREAM, 1, DATA)
    assert place(tmp_path, 1).read_bytes() == DATA
    assert place(tmp_path, 1).stat().st_ino != before
    shutil.rmtree(place(tmp_path, 1).parent)
    writer.publish_again(STREAM, 1, DATA)
    assert place(tmp_path, 1).read_bytes() == DATA
    assert staging(tmp_path) == []
