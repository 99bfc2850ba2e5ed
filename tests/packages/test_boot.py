"""Two hosts booted by systemd, no network device in either, one medium between them.

The packages are installed as the guide says; systemd starts what they brought; messages cross.
Then once more, while each host installs a newer version and goes back.
Long: `make test-boot`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.debian import bundle
from deploy.debian.build import WORK, build
from deploy.debian.package import PACKAGES, Release, version
from tests.packages import trial
from tests.packages.bare_host import BareHost, why_impossible
from tests.packages.machines import WAYS, Shared, Way

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(why_impossible()), reason=why_impossible()),
]
BUNDLE = WORK / "bundle" / bundle.name()
NEWER = f"{version()}.1"
MESSAGES = 200
OUTER_UID, MEDIUM_GID = 961, 960
BOOT_S_MAX = 1800
Seen = dict[str, dict[str, Any]]
"""What each side saw, from boot to power-off."""


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest, release: Release) -> Way:
    """A way that this platform can go with this release."""
    chosen: Way = request.param
    why_not = chosen.why_not(release)
    if why_not:
        pytest.skip(why_not)
    return chosen


@pytest.fixture(scope="module")
def seen(
    way: Way, configured: dict[str, BareHost], tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    return _boot(way, configured, tmp_path_factory.mktemp(way.name))


@pytest.fixture(scope="module")
def newer_bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bundle of this checkout, as if its version were one higher."""
    folder = tmp_path_factory.mktemp("newer") / "bundle"
    shutil.copytree(BUNDLE, folder)
    for package in PACKAGES:
        next(folder.glob(f"{package.name}_*.deb")).unlink()
        build(package, folder, NEWER)
    bundle.write_sums(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _boot(way: Way, hosts: dict[str, BareHost], folder: Path, bundles: Sequence[Path] = ()) -> Seen:
    """Boot copies of both hosts around an empty medium, and wait until they have powered off."""
    medium = folder / "medium"
    medium.mkdir()
    medium.chmod(0o750)
    shutil.chown(medium, OUTER_UID, MEDIUM_GID)
    copies = {side: host.copy(folder / f"{side}.host") for side, host in hosts.items()}
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for side, once in copies.items():
            trial.prepare(once, side, MESSAGES, bundles)
        for side, once in copies.items():
            (folder / side).mkdir()
            shared = Shared(medium, folder / side, medium_writable=side == "outer")
            running[side] = way.boot(once, shared, folder / f"{side}.console")
        for process in running.values():
            process.wait(BOOT_S_MAX)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        for path in (*folder.glob("*.host"), *folder.glob("*.disk")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = {}
    for side in hosts:
        result = folder / side / "seen.json"
        assert result.exists(), (folder / f"{side}.console").read_text(errors="replace")[-4000:]
        found[side] = json.loads(result.read_text())
    return found


def _delivered(seen: Seen) -> list[str]:
    return [json.loads(text)["id"] for text in seen["inner"]["delivered"]]


def test_every_acknowledged_message_is_delivered_once_and_in_order(seen: Seen) -> None:
    assert seen["outer"]["answers"] == [202] * (MESSAGES + 1), seen["outer"]["everything"]
    sent = [*(f"B{number}" for number in range(MESSAGES)), "LAST"]
    assert _delivered(seen) == sent, seen["inner"]["everything"]


def test_neither_host_has_a_network_device_and_the_inner_cannot_write_the_medium(
    seen: Seen,
) -> None:
    assert [seen[side]["links"] for side in ("outer", "inner")] == [["lo"], ["lo"]]
    assert seen["outer"]["medium_is_writable"]
    assert not seen["inner"]["medium_is_writable"]


def test_systemd_started_all_services_once_and_stopped_them_in_good_order(
    seen: Seen,
) -> None:
    for side, number in (("outer", 1), ("inner", 2)):
        assert len(seen[side]["running"]) == number
        for unit, told in seen[side]["running"].items():
            assert told["ActiveState"] == "active", (unit, told, seen[side]["everything"])
            assert told["NRestarts"] == "0", (unit, seen[side]["everything"])
        for unit, told in seen[side]["stopped"].items():
            assert told["ActiveState"] == "inactive", (unit, told)
            assert (told["Result"], told["ExecMainStatus"]) == ("success", "0"), (unit, told)


def test_the_journal_knows_agents_events_and_units(seen: Seen) -> None:
    for side, agent in (("outer", "front-1"), ("inner", "inner-1")):
        entries = seen[side]["journal"]
        assert {entry["FERRY_AGENT"] for entry in entries} == {agent}
        assert {entry["_SYSTEMD_UNIT"] for entry in entries} == set(seen[side]["running"])
        assert all(
            json.loads(entry["MESSAGE"])["event"] == entry["FERRY_EVENT"] for entry in entries
        )
        assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {f"ferry-{side}"}


def test_an_upgrade_and_the_way_back_lose_nothing_under_traffic(
    way: Way,
    configured: dict[str, BareHost],
    newer_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    seen = _boot(way, configured, tmp_path_factory.mktemp("upgrade"), (newer_bundle, BUNDLE))
    for side, number in (("outer", 1), ("inner", 2)):
        for wanted, told in zip((NEWER, version()), seen[side]["installed"], strict=True):
            assert told["version"] == wanted, told["said"]
            states = [unit["ActiveState"] for unit in told["running"].values()]
            assert states == ["active"] * number, (told, seen[side]["everything"])
    taken = seen["outer"]["answers"].count(202)
    assert taken > MESSAGES
    sent = [*(f"B{number}" for number in range(taken - 1)), "LAST"]
    assert _delivered(seen) == sent, seen["inner"]["everything"]
