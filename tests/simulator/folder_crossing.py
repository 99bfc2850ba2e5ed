"""One channel from a drop folder to a folder, through both agents."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulator.ferry_pair import Channel, FerryPair


@dataclass(frozen=True)
class FolderCrossing:
    """A running pair; what is put into `drop` arrives in `out`, or a note says why not."""

    drop: Path
    out: Path
    pair: FerryPair

    def told(self, command: str, *options: str) -> str:
        """What a command of the inner says."""
        config = self.pair.folder / "inner.toml"
        answer = subprocess.run(
            [sys.executable, "-m", "inner_agent", command, "--config", config, *options],
            capture_output=True,
            check=True,
            text=True,
        )
        return answer.stdout

    def arrived(self, count: int) -> list[Path]:
        """The files at the sink, once there are as many; more fail."""
        return self._wait_for(self.out, count, lambda path: path.name[0] != ".")

    def refusals(self, count: int) -> list[str]:
        """The notes beside the refused files, once there are as many."""
        notes = self._wait_for(
            self.drop / "refused", count, lambda path: path.name.endswith(".txt")
        )
        return [note.read_text() for note in notes]

    def _wait_for(self, folder: Path, count: int, wanted: Callable[[Path], bool]) -> list[Path]:
        deadline_s = time.monotonic() + 30
        while True:
            self.pair.check_alive()
            there = sorted(filter(wanted, folder.iterdir())) if folder.is_dir() else []
            if len(there) >= count:
                assert len(there) == count, there
                return there
            assert time.monotonic() < deadline_s, self.pair.tail()
            time.sleep(0.1)


@contextmanager
def folder_crossing(
    tmp_path: Path,
    content: str,
    suffix: str,
    *,
    outer_options: str = "",
    inner_options: str = "",
    inner_content: str = "",
    tables: str = "",
    outer_tables: str = "",
    senders: str = "",
) -> Iterator[FolderCrossing]:
    """Start a pair whose one channel has this content policy (TOML); end it afterwards.

    The options are keys of the channel, `tables` of both agents' configurations, `outer_tables` of
    the outer's; `senders` are more keys of the one sender.
    """
    drop, out = tmp_path / "drop", tmp_path / "out"
    drop.mkdir()
    out.mkdir()
    pair = FerryPair(
        tmp_path,
        [
            Channel(
                "messages",
                content,
                "folder",
                outer_options=outer_options,
                inner_options=inner_options,
                inner_content=inner_content,
            )
        ],
        f'[[sources]]\nkind = "folder"\nname = "drop"\npath = "{drop}"\n'
        f'channel = "messages"\nsettle_s = 0.1\npoll_s = 0.1\n{tables}{outer_tables}',
        f'[[sinks]]\nkind = "folder"\nname = "folder"\npath = "{out}"\n'
        f'suffix = "{suffix}"\n{tables}',
        '[[senders]]\nname = "hospital-front"\nlisteners = ["drop"]\n' + senders,
    )
    pair.write()
    pair.start()
    try:
        yield FolderCrossing(drop, out, pair)
    finally:
        for name in list(pair.processes):
            pair.kill(name)
