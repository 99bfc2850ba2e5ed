"""What waits in a drop folder: regular files that a source would take, and since when."""

from __future__ import annotations

import os
from pathlib import Path

from outer_agent.status import dropped


def test_files_are_counted_and_the_oldest_tells_since_when(tmp_path: Path) -> None:
    for name, at_s in (("a.hl7", 900), ("b.hl7", 1000), (".aside", 100)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (at_s, at_s))
    (tmp_path / "done").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a.hl7")
    assert dropped(tmp_path, 1060.0) == (2, 160)


def test_an_empty_or_missing_folder_has_nothing(tmp_path: Path) -> None:
    assert dropped(tmp_path, 0.0) == (0, None)
    assert dropped(tmp_path / "none", 0.0) == (0, None)
