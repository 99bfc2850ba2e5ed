"""Whoever follows the pages word for word gets where they say: each command they show is run.

One pair of hosts for all pages, in the order in which the pages stand, so that a command finds what
the ones before it made. A runbook's section gets the trouble that it is for. What cannot be run
here is named below, with the reason; options that do not exist are test_shown_commands.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.simulator.background import Background
from tests.simulator.followed_steps import SAID, Site, Step, step_of
from tests.simulator.hl7_receiver import Hl7Receiver
from tests.unit.markdown_pages import PAGES, ROOT, blocks, name, read

pytestmark = pytest.mark.timeout(400)

FIRST: Final = [ROOT / "docs/operating.md", ROOT / "docs/runbooks.md"]
IN_ORDER: Final = [
    *FIRST,
    *(page for page in PAGES if page not in FIRST and "zh-CN" not in page.name),
]
"""The Chinese pages have the very same blocks: test_translations.py."""

NOT_RUN: Final = {
    r"make ": "the suite itself, and deploy/demo, which tests of its own start",
    r"tar |cd message-ferry|sha256sum SHA256SUMS|sudo sh install": "tests/packages installs",
    r"journalctl |systemctl status|sudo systemctl daemon-reload|timedatectl": "needs systemd",
    r"sudo chown ferry-outer": "the packages make these users",
    r".* --watch": "goes on until Ctrl-C",
}
ELSEWHERE: Final = {
    "Making keys": "by hand",
    "Exchanging public keys": "by hand",
    "Writing and signing policies": "by hand",
    "Channel profiles": "from profiles",
}
"""Sections that begin another pair of hosts than the guide's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of a page's block of commands, and the section that it stands in."""

    page: Path
    number: int
    section: str
    line: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.number}: {self.line}"


def shown_on(page: Path) -> Iterator[Shown]:
    """The lines of a page's shell blocks; one that needs the lines after it, with them."""
    text = read(page)
    for block in blocks(text, "sh"):
        before = "\n".join(text.splitlines()[: block.line])
        section = re.findall(r"^#+ (.*)$", before, re.MULTILINE)[-1]
        lines = [line.split("  # ")[0].strip() for line in block.text.splitlines()]
        whole = next((at for at, line in enumerate(lines) if line.startswith("exec ")), len(lines))
        together = [*lines[:whole], "\n".join(lines[whole:])]
        for number, line in enumerate(filter(None, together), block.line + 1):
            yield Shown(page, number, section, line)


SHOWN: Final = [shown for page in IN_ORDER for shown in shown_on(page)]


@contextmanager
def sites(folder: Path) -> Iterator[dict[str, Site]]:
    """Every pair of hosts by its name; the guide's has none."""
    with Background() as background:
        background.start()
        his = Hl7Receiver()
        background.do(his.start)
        names = {"", *ELSEWHERE.values()}
        pairs = {one: Site(folder / f"pair {one}".replace(" ", "-"), his) for one in sorted(names)}
        try:
            yield pairs
        finally:
            for site in pairs.values():
                site.close()
            background.do(his.stop)


def follow(site: Site, shown: Shown, step: Step) -> None:
    """Run one line. Raises AssertionError if it does not do what the page says."""
    if step.before:
        step.before(site)
    line = shown.line
    for written, said in SAID.items():
        if written in line:
            line = line.replace(written, site.heard(said))
    done = site.run(line, step.typed(site) if step.typed else "")
    assert done.code in step.codes, f"{shown}\n{line}\n{done.code}: {done.told}"
    assert re.search(step.tells, done.told, re.MULTILINE), f"{shown}\n{done.told}"


def test_every_command_that_the_pages_show_does_what_they_say(tmp_path: Path) -> None:
    followed = set[str]()
    with sites(tmp_path) as pairs:
        for shown in SHOWN:
            step = step_of(shown.section, shown.line)
            is_done = step.once and shown.line in followed
            if not is_done and not any(re.match(pattern, shown.line) for pattern in NOT_RUN):
                follow(pairs[ELSEWHERE.get(shown.section, "")], shown, step)
                followed.add(shown.line)


def test_what_is_not_run_is_shown_somewhere() -> None:
    for pattern in NOT_RUN:
        for alternative in pattern.split("|"):
            assert any(re.match(alternative, shown.line) for shown in SHOWN), alternative
