"""A medium without room: told as such, nothing half visible, and all well once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.container import FRAME_BYTES
from ferry_format.medium import layout
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import Unavailable

STREAM = bytes(range(16))
DATA = b"d" * max(FRAME_BYTES, 60_000)

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="a filesystem of limited size needs root"),
]

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        root = tmp_path / f"medium-{len(mounted)}"
        root.mkdir()
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "ferry-test", root],
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this root may not mount")
        mounted.append(root)
        return root

    yield mount
    for root in mounted:
        subprocess.run(["umount", root], check=True)


def fill(writer: MediumWriter, data: bytes = DATA) -> int:
    """Publish until there is no room; the sequence that found none."""
    sequence = 0
    with pytest.raises(Unavailable) as caught:  # noqa: PT012
        for sequence in range(1, 10_000):
            writer.publish(writer.stage(STREAM, sequence, data))
    assert caught.value.reason is reasons.MEDIUM_FULL
    return sequence


def test_no_room_for_bytes(mount: Mount) -> None:
    root = mount("size=1m")
    writer, reader = MediumWriter(root), MediumReader(root, None)
    refused = fill(writer)
    assert refused > 5
    assert list((root / layout.STAGE).iterdir()) == []
    assert not writer.is_visible(STREAM, refused)
    assert list(reader.available(STREAM, 1)) == list(range(1, refused))
    for sequence in range(1, refused):
        file = reader.read(STREAM, sequence)
        assert file is not None
        assert file.data == DATA
    assert writer.usage().free_bytes < len(DATA)

    assert writer.clean(STREAM, 0, never_from_sequence=refused - 1, bytes_max=len(DATA) * 3) > 0
    writer.publish(writer.stage(STREAM, refused, DATA))
    file = reader.read(STREAM, refused)
    assert file is not None
    assert file.data == DATA


def test_no_room_for_names(mount: Mount) -> None:
    root = mount("size=16m,nr_inodes=40")
    writer, reader = MediumWriter(root), MediumReader(root, None)
    data = b"d" * FRAME_BYTES
    refused = fill(writer, data)
    assert writer.usage().free_inodes == 0
    assert writer.usage().free_bytes > 1_000_000
    assert list(reader.available(STREAM, 1)) == list(range(1, refused))
    assert list((root / layout.STAGE).iterdir()) == []
    assert writer.clean(STREAM, 2**53, never_from_sequence=refused - 1) == refused - 2
    writer.publish(writer.stage(STREAM, refused, data))
    assert reader.read(STREAM, refused) is not None


def test_no_room_for_the_next_shard_is_met_before_anything_is_promised(mount: Mount) -> None:
    root = mount("size=16m,nr_inodes=40")
    writer = MediumWriter(root)
    last = layout.FILES_PER_SHARD - 1
    writer.publish(writer.stage(STREAM, last, DATA))
    spent = []
    while os.statvfs(root).f_favail > 1:
        spent.append(root / f"spent-{len(spent)}")
        spent[-1].touch()
    with pytest.raises(Unavailable) as caught:
        writer.stage(STREAM, last + 1, DATA)
    assert caught.value.reason is reasons.MEDIUM_FULL
    assert list((root / layout.STAGE).iterdir()) == []
    for path in spent:
        path.unlink()
    writer.publish(writer.stage(STREAM, last + 1, DATA))
    assert writer.is_visible(STREAM, last + 1)


def test_a_staged_file_keeps_its_room_until_it_is_published(mount: Mount) -> None:
    root = mount("size=1m")
    writer = MediumWriter(root)
    staged = writer.stage(STREAM, 1, DATA)
    room = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
    (root / "stranger").write_bytes(bytes(room))
    assert os.statvfs(root).f_bavail == 0
    writer.publish(staged)
    read = MediumReader(root, None).read(STREAM, 1)
    assert read is not None
    assert read.data == DATA


def test_a_medium_that_became_read_only_is_unavailable_and_nothing_is_lost(mount: Mount) -> None:
    root = mount("size=1m")
    writer = MediumWriter(root)
    staged = writer.stage(STREAM, 1, DATA)
    subprocess.run(["mount", "-o", "remount,ro", root], check=True)
    for call in (lambda: writer.publish(staged), lambda: writer.stage(STREAM, 2, DATA)):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.reason is reasons.MEDIUM_UNAVAILABLE
    assert not writer.is_visible(STREAM, 1)
    subprocess.run(["mount", "-o", "remount,rw", root], check=True)
    writer.publish(staged)
    assert writer.is_visible(STREAM, 1)


def test_a_medium_can_be_unmounted_while_it_is_read_and_comes_back(mount: Mount) -> None:
    root = mount("size=1m")
    writer, reader = MediumWriter(root), MediumReader(root, os.geteuid())
    writer.publish(writer.stage(STREAM, 1, DATA))
    assert reader.read(STREAM, 1) is not None
    subprocess.run(["umount", root], check=True)  # nobody holds it
    try:
        assert reader.read(STREAM, 1) is None
        with pytest.raises(Unavailable):
            writer.stage(STREAM, 2, DATA)
        assert list(root.iterdir()) == []
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "ferry-test", root], check=True)
    other = MediumWriter(root)
    other.publish(other.stage(STREAM, 1, DATA))
    assert reader.read(STREAM, 1) is not None
