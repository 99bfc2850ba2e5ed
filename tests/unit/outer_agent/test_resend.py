"""What a resend publishes again, by which words, and whose files it makes."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ferry_format import reasons, slip
from ferry_format.container import SealedFile
from ferry_format.medium import layout
from ferry_format.medium.writer import MediumWriter
from ferry_format.reasons import Refused
from ferry_format.stream import Gap
from ferry_runtime.problem_words import Mistake
from outer_agent.resend import become_the_agent, parse_since, read_slip, resend
from outer_agent.spool import Spool, SpooledFile

NOBODY = 65534


@pytest.fixture
def agent() -> Iterator[tuple[Path, Path]]:
    """A spool with one published file, and its medium, in a folder that any user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield _agent(Path(folder))


def _agent(folder: Path) -> tuple[Path, Path]:
    medium, state = folder / "medium", folder / "state"
    medium.mkdir()
    state.mkdir()
    spool = Spool(state / "spool.db", 0)
    spool.commit(
        SpooledFile(1, 0, 1, SealedFile(os.urandom(500), bytes(32))), {}, [], published_up_to=0
    )
    spool.mark_published(1)
    spool.close()
    return state / "spool.db", medium


def give_to_nobody(*places: Path) -> None:
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def resent(spool_path: Path, medium: Path) -> None:
    become_the_agent(spool_path)
    assert resend(spool_path, medium, lambda _: [Gap(1, 1)]).published == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_resend_ordered_by_root_belongs_to_the_agents_user(
    agent: tuple[Path, Path],
) -> None:
    spool_path, medium = agent
    give_to_nobody(spool_path.parent, medium)
    ordered = multiprocessing.get_context("fork").Process(target=resent, args=agent)
    ordered.start()
    ordered.join(30)
    assert ordered.exitcode == 0
    published = [path for path in medium.rglob("*") if path.is_file()]
    assert len(published) == 1
    everything = [*medium.rglob("*"), *spool_path.parent.rglob("*")]
    assert {path.stat().st_uid for path in everything} == {NOBODY}


def test_the_agents_own_user_stays_itself(agent: tuple[Path, Path]) -> None:
    before = os.getresuid()
    become_the_agent(agent[0])
    assert os.getresuid() == before
    assert MediumWriter(agent[1]).usage().files == 0


def test_another_user_is_told_who_may(
    agent: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outer_agent.resend.os.geteuid", lambda: 12345)
    with pytest.raises(Mistake, match="belongs to user"):
        become_the_agent(agent[0])


def test_without_a_spool_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"spool\.db"):
        become_the_agent(tmp_path / "spool.db")


def files_of(medium: Path) -> list[int]:
    return sorted(int(path.stem) for path in medium.rglob("*.ferry"))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Files 1 to 9, sealed at 1,000 ms and so on; 4 is gone, 9 not known to be published."""
    (tmp_path / "medium").mkdir()
    spool = Spool(tmp_path / "spool.db", 0)
    for sequence in range(1, 10):
        sealed = SealedFile(os.urandom(500), bytes(32))
        file = SpooledFile(sequence, sequence * 1000, 1, sealed)
        spool.commit(file, {}, [], published_up_to=sequence - 1)
    spool._database.execute("DELETE FROM files WHERE sequence = 4")
    yield spool
    spool.close()


@pytest.mark.parametrize(
    ("wanted", "published", "missing"),
    [
        ([Gap(2, 3)], [2, 3], ()),
        ([Gap(2, 5), Gap(7, 7)], [2, 3, 5, 7], (Gap(4, 4),)),
        ([Gap(4, 4)], [], (Gap(4, 4),)),
        ([Gap(8, 20)], [8], (Gap(9, 20),)),
        ([Gap(30, 40)], [], (Gap(30, 40),)),
    ],
)
def test_what_was_published_again_and_what_the_spool_lacks(
    spool: Spool, tmp_path: Path, wanted: list[Gap], published: list[int], missing: tuple[Gap, ...]
) -> None:
    report = resend(tmp_path / "spool.db", tmp_path / "medium", lambda _: wanted)
    assert (report.published, report.missing) == (len(published), missing)
    assert files_of(tmp_path / "medium") == published
    for file in spool.files(1, 9):
        if file.sequence in published:
            stream = spool.head().stream_id
            path = tmp_path / "medium" / layout.file_path(stream, file.sequence)
            assert path.read_bytes() == file.sealed.data


def test_since_a_moment(spool: Spool, tmp_path: Path) -> None:
    resend(tmp_path / "spool.db", tmp_path / "medium", lambda it: it.sealed_since(6000))
    assert files_of(tmp_path / "medium") == [6, 7, 8]
    assert spool.sealed_since(9000) == []


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-23T08:00+08:00", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T08:00", datetime(2026, 11, 23, 8).astimezone()),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == int(moment.timestamp() * 1000)


@pytest.mark.parametrize("text", ["", "yesterday", "2", "2w", "-2h", "2h ago", "2026-13-01"])
def test_what_is_no_moment_is_told(text: str) -> None:
    with pytest.raises(Mistake, match="is no moment"):
        parse_since(text, NOW)


def test_a_slip_of_another_stream_is_refused(spool: Spool) -> None:
    ours = spool.head().stream_id
    assert read_slip(slip.write(ours, [Gap(2, 3)]), ours) == (Gap(2, 3),)
    with pytest.raises(Refused) as caught:
        read_slip(slip.write(bytes(16), [Gap(2, 3)]), ours)
    assert caught.value.reason is reasons.BAD_SLIP
