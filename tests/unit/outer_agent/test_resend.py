"""Whose files a resend makes: the inner takes those of one user only."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferry_format.container import SealedFile
from ferry_format.medium.writer import MediumWriter
from ferry_runtime.problem_words import Mistake
from outer_agent.resend import become_the_agent, resend
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
    assert resend(spool_path, medium, 1, 1).published == 1


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
