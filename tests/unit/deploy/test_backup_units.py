"""The example of a backup each night: systemd takes it, and it does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
SIDES = ("outer", "inner")


def unit(side: str) -> str:
    return (EXAMPLES / side / f"ferry-{side}-backup.service").read_text()


@pytest.mark.parametrize("side", SIDES)
def test_systemd_finds_nothing_to_say(side: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (package systemd): units are not judged")
    (tmp_path / f"ferry-{side}-backup.service").write_text(unit(side))
    shutil.copy(EXAMPLES / side / f"ferry-{side}-backup.timer", tmp_path)
    done = subprocess.run(
        [program, "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "ferry" in line] == []


@pytest.mark.parametrize("side", SIDES)
def test_what_it_starts_takes_a_backup_and_removes_old_ones_alone(
    side: str, tmp_path: Path
) -> None:
    backups = tmp_path / "backup"
    for name, age in ((f"ferry-{side}-20261101T023000", "20 days ago"), ("another", "20 days ago")):
        (backups / name).mkdir(parents=True)
        subprocess.run(["touch", "-d", age, backups / name], check=True)
    command = tmp_path / f"ferry-{side}"
    command.write_text('#!/bin/sh\n[ "$1" = backup ] && mkdir "$2"\n')
    command.chmod(0o700)
    for line in re.findall(r"(?m)^ExecStart(?:Post)?=(.*)$", unit(side)):
        text = line.replace("$$", "$").replace("%%", "%").replace("/srv/backup", str(backups))
        text = text.replace(f"/usr/sbin/ferry-{side}", str(command))
        subprocess.run(["sh", "-fc", text], check=True)
    left = sorted(path.name for path in backups.iterdir())
    assert len(left) == 2
    assert left[0] == "another"
    assert re.fullmatch(rf"ferry-{side}-\d{{8}}T\d{{6}}", left[1])
