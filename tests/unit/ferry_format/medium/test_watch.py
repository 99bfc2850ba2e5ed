"""Events are a hint: they wake, they renew themselves, and nothing depends on them."""

from __future__ import annotations

import select
import threading
import time
from pathlib import Path

import pytest

from ferry_format.container import FRAME_BYTES
from ferry_format.medium import layout
from ferry_format.medium.watch import Watch
from ferry_format.medium.writer import MediumWriter

STREAM = bytes(range(16))
DATA = b"d" * FRAME_BYTES


@pytest.fixture
def watch():
    watch = Watch()
    yield watch
    watch.close()


def put(writer: MediumWriter, sequence: int) -> None:
    writer.publish(writer.stage(STREAM, sequence, DATA))


def drain(watch: Watch) -> None:
    while watch.wait(0):
        pass


def test_a_publication_wakes_and_staging_does_not(watch: Watch, tmp_path: Path) -> None:
    writer = MediumWriter(tmp_path)
    put(writer, 1)
    watch.follow(tmp_path, STREAM, 2)
    assert not watch.wait(0)
    staged = writer.stage(STREAM, 2, DATA)
    assert not watch.wait(0)
    writer.publish(staged)
    assert watch.wait(1)
    assert not watch.wait(0)


def test_it_wakes_one_that_waits(watch: Watch, tmp_path: Path) -> None:
    writer = MediumWriter(tmp_path)
    put(writer, 1)
    watch.follow(tmp_path, STREAM, 2)
    timer = threading.Timer(0.05, put, (writer, 2))
    timer.start()
    started_s = time.monotonic()
    assert watch.wait(10)
    assert time.monotonic() - started_s < 5
    timer.join()


def test_without_events_waiting_ends(watch: Watch, tmp_path: Path) -> None:
    watch.follow(tmp_path, STREAM, 1)
    started_s = time.monotonic()
    assert not watch.wait(0.05)
    assert 0.04 < time.monotonic() - started_s < 5
    assert not watch.wait(-1)


def test_its_descriptor_can_be_waited_for_with_others(watch: Watch, tmp_path: Path) -> None:
    assert watch.add(tmp_path)
    assert select.select([watch.fileno()], [], [], 0)[0] == []
    (tmp_path / "new").mkdir()
    assert select.select([watch.fileno()], [], [], 1)[0] == [watch.fileno()]


def test_a_first_stream_and_each_next_shard_wake(watch: Watch, tmp_path: Path) -> None:
    writer = MediumWriter(tmp_path)
    watch.follow(tmp_path, None, 1)
    put(writer, 1)
    assert watch.wait(1)
    last = layout.FILES_PER_SHARD - 1
    put(writer, last)
    watch.follow(tmp_path, STREAM, last + 1)
    drain(watch)
    put(writer, last + 1)  # into the shard that was made ahead
    assert watch.wait(1)


def test_following_tells_when_a_directory_is_watched_only_from_now_on(
    watch: Watch, tmp_path: Path
) -> None:
    assert watch.follow(tmp_path, STREAM, 1)
    assert not watch.follow(tmp_path, STREAM, 1)
    shard = tmp_path / layout.stream_name(STREAM) / layout.shard_name(1)
    shard.mkdir(parents=True)
    assert watch.follow(tmp_path, STREAM, 1)
    assert not watch.follow(tmp_path, STREAM, 2)
    shard.rename(tmp_path / "aside")
    shard.mkdir()
    assert watch.follow(tmp_path, STREAM, 2)
    assert not watch.follow(tmp_path, STREAM, 2)


def test_what_is_followed_no_longer_does_not_wake(watch: Watch, tmp_path: Path) -> None:
    writer = MediumWriter(tmp_path)
    put(writer, 1)
    watch.follow(tmp_path, STREAM, 1)
    watch.follow(tmp_path, STREAM, 5 * layout.FILES_PER_SHARD)
    drain(watch)
    put(writer, 2)
    assert not watch.wait(0.05)


def test_a_directory_that_was_made_anew_is_watched_anew(watch: Watch, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert watch.add(folder)
    folder.rmdir()
    assert watch.wait(1)
    assert not watch.add(folder)
    folder.mkdir()
    assert watch.add(folder)
    (folder / "new").touch()
    assert watch.wait(1)


def test_a_directory_that_another_took_the_place_of_is_watched_anew(
    watch: Watch, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert watch.add(folder)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    assert watch.add(folder)
    drain(watch)
    (tmp_path / "away" / "old").touch()
    assert not watch.wait(0.05)
    (folder / "new").touch()
    assert watch.wait(1)


def test_links_and_files_and_nothing_are_not_watched(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    assert not watch.add(tmp_path / "link")
    assert not watch.add(tmp_path / "file")
    assert not watch.add(tmp_path / "nothing")


def test_a_queue_that_overflows_wakes(watch: Watch, tmp_path: Path) -> None:
    size = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if size > 50_000:
        pytest.skip("the queue is too long to overflow here")
    writer = MediumWriter(tmp_path)
    put(writer, 1)
    watch.follow(tmp_path, STREAM, 2)
    shard = (tmp_path / layout.file_path(STREAM, 1)).parent
    for number in range(size + 10):
        (shard / f"{number % 2}").touch()
        (shard / f"{number % 2}").unlink()
    assert watch.wait(1)
    drain(watch)
    put(writer, 2)
    assert watch.wait(1)


@pytest.mark.parametrize("used", [False, True])
def test_closing_gives_every_descriptor_back(tmp_path: Path, used: bool) -> None:  # noqa: FBT001
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before, threads = descriptors(), threading.active_count()
    watch = Watch()
    watch.add(tmp_path)
    if used:
        (tmp_path / "new").touch()
        assert watch.wait(1)
    assert threading.active_count() == threads
    watch.close()
    assert descriptors() == before
