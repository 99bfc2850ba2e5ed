"""Two hosts booted by systemd, no network device in either, one medium between them.

The packages are installed as the guide says; systemd starts what they brought; messages cross.
Long: `make test-boot`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.debian import bundle
from deploy.debian.build import WORK
from deploy.debian.package import PACKAGES, RELEASES, Release
from tests.packages import machines, trial
from tests.packages.bare_host import BareHost, why_impossible
from tests.packages.first_channels import configure

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(why_impossible()), reason=why_impossible()),
]
BUNDLE = WORK / "bundle" / bundle.name()
MESSAGES = 200
OUTER_UID, MEDIUM_GID = 961, 960
BOOT_S_MAX = 1800
WAYS = {
    "container": (machines.container, machines.why_no_container),
    "virtual machine": (machines.virtual_machine, machines.why_no_virtual_machine),
}


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.name)
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, BareHost]]:
    """Both halves installed and configured."""
    release: Release = request.param
    folder = tmp_path_factory.mktemp(release.name)
    made = {package.side: BareHost(release, folder / package.side, BUNDLE) for package in PACKAGES}
    for side, host in made.items():
        host.run(f"sh /bundle/install {side}")
    configure(made["outer"], made["inner"])
    for side, host in made.items():
        trial.prepare(host, side, MESSAGES)
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=sorted(WAYS))
def seen(
    request: pytest.FixtureRequest,
    hosts: dict[str, BareHost],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """What both hosts saw, from boot to power-off."""
    boot, why_not = WAYS[request.param]
    if why_not():
        pytest.skip(why_not())
    folder = tmp_path_factory.mktemp(request.param)
    medium = folder / "medium"
    medium.mkdir()
    medium.chmod(0o750)
    shutil.chown(medium, OUTER_UID, MEDIUM_GID)
    running: dict[str, subprocess.Popen[bytes]] = {}
    for side, host in hosts.items():
        results = folder / side
        results.mkdir()
        shared = machines.Shared(medium, results, medium_writable=side == "outer")
        once = host.copy(folder / f"{side}.host")
        running[side] = boot(once, shared, folder / f"{side}.console")
    try:
        for process in running.values():
            process.wait(BOOT_S_MAX)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        for side in running:
            shutil.rmtree(folder / f"{side}.host", ignore_errors=True)
    found = {}
    for side in hosts:
        result = folder / side / "seen.json"
        assert result.exists(), (folder / f"{side}.console").read_text(errors="replace")[-4000:]
        found[side] = json.loads(result.read_text())
    return found


def test_every_acknowledged_message_is_delivered_once_and_in_order(seen: dict[str, Any]) -> None:
    assert seen["outer"]["answers"] == [202] * MESSAGES, seen["outer"]["everything"]
    delivered = [json.loads(text)["id"] for text in seen["inner"]["delivered"]]
    assert delivered == [f"B{number}" for number in range(MESSAGES)], seen["inner"]["everything"]


def test_neither_host_has_a_network_device_and_the_inner_cannot_write_the_medium(
    seen: dict[str, Any],
) -> None:
    assert [seen[side]["links"] for side in ("outer", "inner")] == [["lo"], ["lo"]]
    assert seen["outer"]["medium_is_writable"]
    assert not seen["inner"]["medium_is_writable"]


def test_systemd_started_all_services_once_and_stopped_them_in_good_order(
    seen: dict[str, Any],
) -> None:
    for side, number in (("outer", 1), ("inner", 2)):
        assert len(seen[side]["running"]) == number
        for unit, told in seen[side]["running"].items():
            assert told["ActiveState"] == "active", (unit, told, seen[side]["everything"])
            assert told["NRestarts"] == "0", (unit, seen[side]["everything"])
        for unit, told in seen[side]["stopped"].items():
            assert told["ActiveState"] == "inactive", (unit, told)
            assert (told["Result"], told["ExecMainStatus"]) == ("success", "0"), (unit, told)


def test_the_journal_knows_agents_events_and_units(seen: dict[str, Any]) -> None:
    for side, agent in (("outer", "front-1"), ("inner", "inner-1")):
        entries = seen[side]["journal"]
        assert {entry["FERRY_AGENT"] for entry in entries} == {agent}
        assert {entry["_SYSTEMD_UNIT"] for entry in entries} == set(seen[side]["running"])
        assert all(
            json.loads(entry["MESSAGE"])["event"] == entry["FERRY_EVENT"] for entry in entries
        )
        assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {f"ferry-{side}"}
