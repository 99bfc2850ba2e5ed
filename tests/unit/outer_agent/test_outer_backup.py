"""What an outer's backup holds, and that what is put back is for resending alone."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused, Unavailable
from ferry_format.stream import Gap
from outer_agent.backup import back_up, restore
from outer_agent.new_stream import set_aside
from outer_agent.resend import resend
from outer_agent.spool import Spool
from outer_agent.spool_files import LARGE_BYTES
from tests.unit.outer_agent.test_commit import Outer, message

NOW = datetime(2026, 11, 28, 5, 30, tzinfo=UTC)
LARGE = b"x" * (2 * LARGE_BYTES)


@pytest.fixture
def outer(tmp_path: Path) -> Outer:
    """An outer that published a small file and a large one, and runs."""
    (tmp_path / "outer").mkdir()
    outer = Outer(tmp_path / "outer")
    outer.committer.commit([message(body=b"small")])
    outer.committer.commit([message(body=LARGE)])
    return outer


def published(medium: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in medium.glob("*/*/*.ferry")}


def taken(outer: Outer, folder: Path) -> Path:
    back_up(outer.folder / "spool.db", outer.folder / "medium", "front-1", folder, NOW)
    return folder


def test_everything_published_can_be_published_again_from_a_restored_backup(
    outer: Outer, tmp_path: Path
) -> None:
    folder = taken(outer, tmp_path / "backup")
    before = published(outer.folder / "medium")
    (tmp_path / "state").mkdir()
    (tmp_path / "medium").mkdir()
    kept = restore(folder, tmp_path / "state", NOW)
    report = resend(kept, tmp_path / "medium", lambda _: [Gap(1, 2)])
    assert (report.published, report.missing) == (2, ())
    assert published(tmp_path / "medium") == before


def test_a_restored_spool_is_never_the_agents_own(outer: Outer, tmp_path: Path) -> None:
    folder = taken(outer, tmp_path / "backup")
    own = (outer.folder / "spool.db").read_bytes()
    kept = restore(folder, outer.folder, NOW)
    assert (outer.folder / "spool.db").read_bytes() == own
    assert kept.name != "spool.db"
    assert outer.committer.commit([message(body=b"goes on")])


def test_what_nobody_may_have_seen_yet_is_not_published_from_a_backup(
    outer: Outer, tmp_path: Path
) -> None:
    outer.medium.fail_publish = Unavailable(reasons.MEDIUM_UNAVAILABLE)
    outer.medium.visibility_unknown = True
    outer.committer.stop_waiting()
    outer.committer.commit([message(body=b"undecided")])
    kept = restore(taken(outer, tmp_path / "backup"), outer.folder, NOW)
    spool = Spool.open_read_only(kept)
    assert [one.sequence for one in spool.files(1, 9)] == [1, 2]
    spool.close()


def test_a_backup_is_taken_while_the_medium_is_away(outer: Outer, tmp_path: Path) -> None:
    shutil.rmtree(outer.folder / "medium")
    folder = taken(outer, tmp_path / "backup")
    assert (folder / "manifest.json").exists()


def test_a_damaged_backup_leaves_nothing_behind(outer: Outer, tmp_path: Path) -> None:
    folder = taken(outer, tmp_path / "backup")
    [large] = (folder / "spool.files").iterdir()
    large.write_bytes(os.urandom(10))
    (tmp_path / "state").mkdir()
    with pytest.raises(Refused, match="bad_backup"):
        restore(folder, tmp_path / "state", NOW)
    assert not list((tmp_path / "state").iterdir())


def test_a_spool_that_is_set_aside_keeps_its_large_files(outer: Outer, tmp_path: Path) -> None:
    before = published(outer.folder / "medium")
    outer.spool.mark_published(2)
    outer.spool.close()
    kept = set_aside(outer.folder / "spool.db", NOW)
    Spool(outer.folder / "spool.db", 0).close()  # the new stream's first start
    (tmp_path / "medium").mkdir()
    assert resend(kept, tmp_path / "medium", lambda _: [Gap(1, 2)]).missing == ()
    assert published(tmp_path / "medium") == before
