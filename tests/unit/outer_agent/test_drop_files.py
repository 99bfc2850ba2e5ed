"""The files of a drop folder: settled or not, plain or not, moved as the file that was read."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused
from outer_agent.sources.drop_files import DropFiles, ReadFile, RefusedFile, has_writer

SETTLE_S = 2.0
REFUSAL = Refused(reasons.SEGMENT_NOT_ALLOWED, "segment 2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def files(folder: Path) -> DropFiles:
    made = DropFiles(folder, SETTLE_S)
    made.prepare()
    return made


def read_all(files: DropFiles, names: list[str], limit: int = 100) -> list[ReadFile | RefusedFile]:
    return files.read_some(names, limit, files_max=100, bytes_max=10_000)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in {"done", "refused"})


def test_a_file_is_settled_when_it_did_not_change_for_long_enough(files, folder) -> None:
    (folder / "a").write_bytes(b"1")
    assert files.settled(0.0) == []
    assert files.is_unsettled
    assert files.settled(1.9) == []
    assert files.settled(2.0) == ["a"]


@pytest.mark.parametrize("change", ["grow", "touch", "replace"])
def test_any_change_begins_the_wait_anew(files, folder, change) -> None:
    (folder / "a").write_bytes(b"1")
    files.settled(0.0)
    if change == "grow":
        (folder / "a").write_bytes(b"12")
    elif change == "touch":
        os.utime(folder / "a", ns=(1, 1))
    else:
        (folder / ".a").write_bytes(b"1")
        times = (folder / "a").stat()
        os.utime(folder / ".a", ns=(times.st_atime_ns, times.st_mtime_ns))
        (folder / ".a").rename(folder / "a")
    assert files.settled(2.0) == []
    assert files.settled(3.9) == []
    assert files.settled(4.0) == ["a"]


def test_unfinished_and_hidden_names_and_folders_are_let_be(files, folder) -> None:
    for name in (".a", "b.tmp", "c.part", "d.partial", "e.filepart", "f.crdownload", "g"):
        (folder / name).write_bytes(b"1")
    (folder / "h").mkdir()
    files.settled(0.0)
    assert files.settled(9.0) == ["g"]


def test_names_come_in_order(files, folder) -> None:
    for name in ("b", "a", "10", "9", "消息"):
        (folder / name).write_bytes(b"1")
    files.settled(0.0)
    assert files.settled(9.0) == ["10", "9", "a", "b", "消息"]


def test_a_name_that_is_no_text_is_a_name_too(files, folder) -> None:
    path = os.fsencode(folder) + b"/\xff\xfe"
    Path(os.fsdecode(path)).write_bytes(b"1")
    files.settled(0.0)
    [name] = files.settled(9.0)
    [read] = read_all(files, [name])
    files.settle_done([read])
    assert Path(os.fsdecode(os.fsencode(folder) + b"/done/\xff\xfe")).exists()


def make_symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_hard_link(path: Path) -> None:
    (path.parent / "done" / "other").write_bytes(b"1")
    os.link(path.parent / "done" / "other", path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(path))


def make_device(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a device needs root")
    os.mknod(path, 0o020666, os.makedev(1, 5))  # /dev/zero


@pytest.mark.parametrize(
    "make", [make_symlink, make_dangling, make_hard_link, os.mkfifo, make_socket, make_device]
)
def test_what_is_no_plain_file_is_refused_and_moved_unopened(files, folder, make) -> None:
    make(folder / "a")
    files.settled(0.0)
    assert files.settled(9.0) == ["a"]
    [refused] = read_all(files, ["a"])
    assert isinstance(refused, RefusedFile)
    assert refused.failure.reason is reasons.FILE_NOT_PLAIN
    files.settle_refused([(refused.name, refused.identity, refused.failure)])
    assert names_in(folder) == []
    assert os.path.lexists(folder / "refused" / "a")
    assert Path("/etc/passwd").exists()


def test_a_file_too_large_is_refused_unread(files, folder) -> None:
    with (folder / "a").open("wb") as sparse:
        sparse.truncate(1 << 40)
    [refused] = read_all(files, ["a"])
    assert isinstance(refused, RefusedFile)
    assert refused.failure.reason is reasons.MESSAGE_TOO_LARGE


def test_a_file_of_exactly_the_limit_is_read(files, folder) -> None:
    (folder / "a").write_bytes(b"x" * 100)
    [read] = read_all(files, ["a"])
    assert isinstance(read, ReadFile)
    assert read.content == b"x" * 100


def test_a_file_that_may_not_be_read_is_refused_with_the_reason(files, folder, monkeypatch) -> None:
    (folder / "a").write_bytes(b"1")

    def forbidden(*_arguments):
        raise PermissionError(errno.EACCES, "forbidden")

    monkeypatch.setattr(os, "open", forbidden)
    [refused] = read_all(files, ["a"])
    assert isinstance(refused, RefusedFile)
    assert refused.failure.reason is reasons.FILE_UNREADABLE


def test_a_disk_that_fails_is_not_held_against_the_file(files, folder, monkeypatch) -> None:
    (folder / "a").write_bytes(b"1")

    def failing(*_arguments):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(OSError, match="broken"):
        read_all(files, ["a"])


def test_a_file_that_is_gone_is_passed_over(files, folder) -> None:
    (folder / "b").write_bytes(b"1")
    assert [file.name for file in read_all(files, ["a", "b"])] == ["b"]


def test_a_file_that_somebody_writes_to_is_not_settled_however_still_it_lies(files, folder) -> None:
    path = folder / "a"
    with path.open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        files.settled(0.0)
        assert files.settled(9.0) == ["a"]
        assert read_all(files, ["a"]) == []
        assert files.settled(10.0) == []
        writer.write(b" and half")
    files.settled(20.0)
    assert files.settled(30.0) == ["a"]
    [read] = read_all(files, ["a"])
    assert read.content == b"half and half"


def test_a_reader_is_no_writer(folder) -> None:
    (folder / "a").write_bytes(b"1")
    with (folder / "a").open("rb") as one, (folder / "a").open("rb"):
        assert not has_writer(one.fileno())
    with (folder / "a").open("rb") as one, (folder / "a").open("ab"):
        assert has_writer(one.fileno())


def test_an_asked_file_can_be_written_at_once_afterwards(folder) -> None:
    (folder / "a").write_bytes(b"1")
    with (folder / "a").open("rb") as one:
        assert not has_writer(one.fileno())
        with (folder / "a").open("ab") as writer:
            writer.write(b"2")
    assert (folder / "a").read_bytes() == b"12"


def test_reading_stops_at_so_many_files_or_bytes(files, folder) -> None:
    names = [f"{n}" for n in range(9)]
    for name in names:
        (folder / name).write_bytes(b"x" * 10)
    few = files.read_some(names, 100, files_max=3, bytes_max=10_000)
    assert [file.name for file in few] == ["0", "1", "2"]
    small = files.read_some(names, 100, files_max=9, bytes_max=25)
    assert [file.name for file in small] == ["0", "1", "2"]
    assert len(files.read_some(names, 100, files_max=9, bytes_max=1)) == 1


def test_done_files_move_and_never_over_one_another(files, folder) -> None:
    for content in (b"1", b"2", b"3"):
        (folder / "a").write_bytes(content)
        files.settle_done(read_all(files, ["a"]))
    done = {path.name: path.read_bytes() for path in (folder / "done").iterdir()}
    assert done == {"a": b"1", "a.1": b"2", "a.2": b"3"}


def test_names_stay_within_what_a_file_system_takes(files, folder) -> None:
    for content in (b"1", b"2"):
        (folder / ("长" * 85)).write_bytes(content)
        files.settle_done(read_all(files, ["长" * 85]))
    assert sorted(path.name for path in (folder / "done").iterdir()) == [
        "长" * 84 + ".1",
        "长" * 85,
    ]


def test_refused_files_have_a_note_that_says_why_and_holds_no_data(files, folder) -> None:
    for content in (b"ZHANG", b"LI"):
        (folder / "a").write_bytes(content)
        [read] = read_all(files, ["a"])
        files.settle_refused([(read.name, read.identity, REFUSAL)])
    refused = {path.name: path.read_text() for path in (folder / "refused").iterdir()}
    assert sorted(refused) == ["a", "a.1", "a.1.reason.txt", "a.reason.txt"]
    note = refused["a.reason.txt"]
    assert note.splitlines() == [
        "reason: segment_not_allowed",
        f"meaning: {REFUSAL.reason.meaning}",
        "place: segment 2",
        f"what to do: {REFUSAL.reason.action}",
    ]


@pytest.mark.parametrize("outcome", ["done", "refused"])
def test_a_new_file_under_the_old_name_stays_to_be_read(files, folder, outcome) -> None:
    (folder / "a").write_bytes(b"old")
    [read] = read_all(files, ["a"])
    (folder / ".new").write_bytes(b"new")
    (folder / ".new").rename(folder / "a")
    if outcome == "done":
        files.settle_done([read])
    else:
        files.settle_refused([(read.name, read.identity, REFUSAL)])
    assert (folder / "a").read_bytes() == b"new"
    assert list((folder / outcome).iterdir()) == []


def test_a_file_put_there_in_the_very_moment_of_the_move_is_put_back(
    files, folder, monkeypatch
) -> None:
    (folder / "a").write_bytes(b"old")
    [read] = read_all(files, ["a"])
    rename = Path.rename

    def racing(self: Path, target: Path) -> Path:
        if self.name == "a" and not (folder / "raced").exists():
            (folder / "raced").write_bytes(b"")
            (folder / ".new").write_bytes(b"new")
            rename(folder / ".new", folder / "a")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", racing)
    files.settle_done([read])
    assert (folder / "a").read_bytes() == b"new"
    assert list((folder / "done").iterdir()) == []


def test_a_file_taken_away_meanwhile_leaves_nothing_behind(files, folder) -> None:
    (folder / "a").write_bytes(b"1")
    [read] = read_all(files, ["a"])
    (folder / "a").unlink()
    files.settle_done([read])
    files.settle_refused([(read.name, read.identity, REFUSAL)])
    assert list((folder / "done").iterdir()) == list((folder / "refused").iterdir()) == []


def test_each_move_is_made_durable(files, folder, monkeypatch) -> None:
    (folder / "a").write_bytes(b"1")
    reads = read_all(files, ["a"])
    synced = []
    monkeypatch.setattr("outer_agent.sources.drop_files.sync_folder", synced.append)
    files.settle_done(reads)
    assert synced == [folder / "done", folder]


def test_a_folder_that_is_not_there_is_an_error(tmp_path) -> None:
    files = DropFiles(tmp_path / "absent", SETTLE_S)
    with pytest.raises(FileNotFoundError):
        files.prepare()
    with pytest.raises(FileNotFoundError):
        files.settled(0.0)
