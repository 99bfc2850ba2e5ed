import os
import select
import stat

import pytest

from ferry_format.reasons import StorageFault
from inner_agent.hint import HINT_MODE, HintReader, HintWriter


@pytest.fixture
def ends(tmp_path):
    writer, reader = HintWriter(tmp_path / "hint"), HintReader(tmp_path / "hint")
    yield writer, reader
    writer.close()
    reader.close()


def readable(reader):
    return bool(select.select([reader.fileno()], [], [], 0)[0])


def test_a_poke_wakes_the_reader_and_a_drain_empties(ends):
    writer, reader = ends
    assert not readable(reader)
    for _ in range(3):
        writer.poke()
    assert readable(reader)
    reader.drain()
    assert not readable(reader)


def test_a_full_fifo_neither_blocks_nor_fails_the_writer(ends):
    writer, reader = ends
    for _ in range(70_000):
        writer.poke()
    reader.drain()
    writer.poke()
    assert readable(reader)


def test_draining_an_empty_fifo_returns_at_once(ends):
    ends[1].drain()


def test_the_reader_may_come_first_and_the_writer_may_come_again(tmp_path):
    reader = HintReader(tmp_path / "hint")
    for _ in range(2):
        writer = HintWriter(tmp_path / "hint")
        writer.poke()
        assert readable(reader)
        reader.drain()
        writer.close()
        assert not readable(reader)
    reader.close()


def test_a_poke_after_close_or_with_a_vanished_fifo_does_nothing(tmp_path):
    writer = HintWriter(tmp_path / "hint")
    (tmp_path / "hint").unlink()
    writer.poke()
    writer.close()
    writer.poke()
    writer.close()


def test_the_fifo_is_for_owner_and_group_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        HintWriter(tmp_path / "hint").close()
    finally:
        os.umask(before)
    mode = (tmp_path / "hint").stat().st_mode
    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == HINT_MODE


@pytest.mark.parametrize("make", ["file", "link", "folder"])
def test_anything_but_a_fifo_is_refused(tmp_path, make):
    path = tmp_path / "hint"
    if make == "file":
        path.write_bytes(b"")
    elif make == "link":
        os.mkfifo(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(StorageFault):
        HintReader(path)
