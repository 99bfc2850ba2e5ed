"""What each released version left on both hosts, this version goes on from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.upgrade.left_behind import (
    COMING,
    DELIVERED,
    HELD,
    HERE,
    JOURNALED,
    KEPT,
    MISSING,
    ON_MEDIUM,
    WAITING,
    Bookings,
    Site,
)

pytestmark = pytest.mark.timeout(180)
VERSIONS = sorted(path.name for path in HERE.iterdir() if path.name[0].isdigit())
ROOT = Path(__file__).parents[2]


@dataclass
class Upgraded:
    """This version's agents over what another one left."""

    site: Site
    bookings: Bookings

    def command(self, agent: str, *arguments: str, exits: int = 0) -> str:
        config = self.site.agents.folder / f"{agent.removesuffix('_agent')}.toml"
        done = subprocess.run(
            [sys.executable, "-m", agent, *arguments, "--config", str(config)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == exits, done.stderr
        return done.stdout

    def missing_range(self) -> str:
        [told] = self.command("inner_agent", "gaps", "--json", exits=1).splitlines()
        return str(json.loads(told)["mend"]).split()[-1]

    def images(self) -> list[bytes]:
        files = sorted(path for path in self.site.images.iterdir() if path.name[0] != ".")
        return [path.read_bytes() for path in files]


@pytest.fixture(params=VERSIONS)
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Upgraded]:
    for name in KEPT:
        shutil.copytree(HERE / request.param / name, tmp_path / name)
    for path in [*(tmp_path / "keys").iterdir(), tmp_path / "outer" / "fingerprint.key"]:
        path.chmod(0o600)  # git keeps no modes
    with Bookings() as bookings:
        bookings.status = 200
        site = Site(tmp_path, bookings)
        site.agents.start()
        yield Upgraded(site, bookings)
        for name in list(site.agents.processes):
            site.agents.kill(name)


def test_there_is_something_to_go_on_from() -> None:
    assert VERSIONS


def test_everything_that_was_left_arrives_in_order_and_nothing_twice(upgraded: Upgraded) -> None:
    site = upgraded.site
    site.wait(lambda: site.delivered() == WAITING)
    upgraded.command("outer_agent", "resend", "--range", upgraded.missing_range())
    rest = [*WAITING, MISSING, HELD, *ON_MEDIUM]
    site.wait(lambda: site.delivered() == rest)
    site.send(DELIVERED[0], WAITING[0], "NEW")  # the first two are known to the outer
    site.wait(lambda: site.delivered() == [*rest, "NEW"])
    site.wait(lambda: len(upgraded.images()) == 2)
    assert upgraded.images() == [JOURNALED.whole(), COMING.whole()]
    assert json.loads(site.post("image", COMING.whole(), "image-2"))["duplicate"] is True


def test_its_dead_letters_can_be_requeued(upgraded: Upgraded) -> None:
    upgraded.command("inner_agent", "requeue", "--channel", "booking")
    upgraded.site.wait(lambda: upgraded.bookings.bodies == [b'{"id":"refused"}'])


def test_its_audit_trails_go_on_and_hold(upgraded: Upgraded) -> None:
    site = upgraded.site
    site.send("NEW")
    site.agents.stop()
    for trail, key in (
        ("outer/audit", "outer-audit.pub"),
        ("inner/audit/verifier", "inner-audit.pub"),
        ("inner/audit/replayer", "inner-audit.pub"),
    ):
        folder = site.agents.folder
        command = [Path(sys.executable).with_name("ferry-audit"), "verify", folder / trail]
        done = subprocess.run(
            [*command, "--key", folder / "keys" / key], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
