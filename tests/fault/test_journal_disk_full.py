"""The journal's disk has no room left: a real filesystem of limited size."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import Unavailable
from tests.simulator.sending_side import SendingSide
from tests.simulator.verifying_side import VerifyingSide

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.geteuid() != 0, reason="a filesystem of limited size needs root"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "state"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_nothing_is_taken_or_lost_and_it_goes_on_by_itself(
    tmp_path: Path, small_disk: Path
) -> None:
    (tmp_path / "medium").mkdir()
    sender = SendingSide(tmp_path / "medium")
    side = VerifyingSide(tmp_path / "medium", small_disk)
    try:
        sender.send(b"first")
        side.pass_()
        ballast = small_disk / "ballast"
        free = os.statvfs(small_disk)
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize))
        sent = [b"%0900d" % number for number in range(100)]
        for payload in sent:
            sender.send(payload)
        for _ in range(3):
            with pytest.raises(Unavailable) as caught:
                side.pass_()
            assert caught.value.reason is reasons.JOURNAL_FULL
        taken = side.payloads()
        assert taken == [b"first", *sent][: len(taken)]
        assert len(taken) < 101
        ballast.unlink()
        side.pass_()
        assert side.payloads() == [b"first", *sent]
    finally:
        side.close()
