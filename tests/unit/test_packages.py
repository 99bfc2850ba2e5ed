"""Each host runs what it needs and nothing of the other's; our package names are ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import validators

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("ours", "absent"), [("outer_agent", "inner_agent"), ("inner_agent", "outer_agent")]
)
def test_an_agent_starts_where_the_other_is_not_installed(ours: str, absent: str) -> None:
    program = (
        f"import sys; sys.modules['{absent}'] = None; sys.argv = ['agent', '--help'];"
        f" from {ours}.__main__ import main; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "Commands:" in told.stdout


def test_the_format_is_read_where_neither_agent_nor_content_is_installed() -> None:
    blocked = ["outer_agent", "inner_agent", "validators", "ferry_runtime"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked}));"
        " import ferry_format.inspect, ferry_format.medium.reader, ferry_format.stream"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=ROOT, check=False
    )
    assert told.returncode == 0, told.stderr


def test_validators_is_ours_and_not_the_distribution_of_that_name() -> None:
    assert validators.__file__ is not None
    assert Path(validators.__file__).is_relative_to(ROOT)
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not [line for line in lock.read_text().splitlines() if line.startswith("validators")]
