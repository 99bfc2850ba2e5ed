"""The bundle on bare Debian hosts without a network: installed, checked, removed, purged.

Long: `make test-packages` builds the bundle and runs this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.debian import bundle
from deploy.debian.build import WORK, moment_s
from deploy.debian.package import PACKAGES, ROOT, Package, Release, version
from tests.packages.bare_host import BareHost, why_impossible

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(why_impossible()), reason=why_impossible()),
]
BUNDLE = WORK / "bundle" / bundle.name()


EACH = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.side)


@EACH
def test_a_host_holds_its_own_half_alone(package: Package, hosts: dict[str, BareHost]) -> None:
    root = hosts[package.side].root
    names = {path.name for path in root.glob("opt/*/lib/python*/site-packages/*_agent")}
    assert names == {package.agent}
    assert not (root / "usr" / "sbin" / package.other_command).exists()


@EACH
def test_folders_have_their_owners_and_modes(package: Package, hosts: dict[str, BareHost]) -> None:
    name = package.name
    told = hosts[package.side].run(
        f"stat -c '%U %a %n' /etc/{name}/keys /var/lib/{name} /var/log/{name}"
    )
    assert told.splitlines() == [
        f"root 700 /etc/{name}/keys",
        f"{name} 700 /var/lib/{name}",
        f"{name} 750 /var/log/{name}",
    ]
    medium = hosts[package.side].run("stat -c '%U %G %a' /srv/ferry-medium").strip()
    assert (
        medium == {"outer": "ferry-outer ferry-medium 750", "inner": "root root 755"}[package.side]
    )


@EACH
def test_units_are_enabled_and_systemd_finds_nothing_to_say(
    package: Package, hosts: dict[str, BareHost]
) -> None:
    host = hosts[package.side]
    for unit in package.units:
        assert host.run(f"systemctl is-enabled {unit}").strip() == "enabled"
    units = " ".join(f"/usr/lib/systemd/system/{unit}" for unit in package.units)
    told = host.run(f"systemd-analyze verify --man=no {units} 2>&1 || true")
    assert "ferry" not in told, told


@EACH
def test_every_file_is_as_it_was_packed(package: Package, hosts: dict[str, BareHost]) -> None:
    assert hosts[package.side].run(f"dpkg --verify {package.name}") == ""


@EACH
def test_an_unconfigured_agent_says_what_is_missing(
    package: Package, hosts: dict[str, BareHost]
) -> None:
    said = hosts[package.side].run(f"{package.name} check --config /nowhere.toml 2>&1", code=78)
    assert "/nowhere.toml" in said


@EACH
def test_check_finds_a_configured_host_good(
    package: Package, configured: dict[str, BareHost]
) -> None:
    assert ": good. Lane front-to-his" in configured[package.side].run(f"{package.name} check")


@EACH
def test_the_doctor_looks_at_everything_and_finds_only_what_does_not_run(
    package: Package, configured: dict[str, BareHost]
) -> None:
    told = configured[package.side].run(f"{package.name} doctor", code=1)
    for well in ("configuration", "secret", "state", "workers"):
        assert [line for line in told.splitlines() if line.startswith("well") and well in line], (
            told
        )


@EACH
def test_removing_keeps_what_is_the_sites_and_purging_takes_it(
    package: Package, configured: dict[str, BareHost], aside: Path
) -> None:
    host, name = configured[package.side].copy(aside), package.name
    kept = [f"etc/{name}/keys/audit.key", f"etc/{name}/policy.toml", f"var/lib/{name}"]
    host.put("/srv/ferry-medium/kept", "")
    host.run(f"apt-get --quiet=2 --yes remove {name}")
    assert not (host.root / "opt" / name).exists()
    assert not (host.root / "usr" / "bin" / "ferry-keys").is_symlink()
    assert all((host.root / path).exists() for path in kept)
    told = host.run(f"sh /bundle/install {package.side} && {name} check")
    assert f"{name} {version()} is installed. What to see to then" in told
    host.run(f"apt-get --quiet=2 --yes purge {name}")
    assert not [path for path in kept if (host.root / path).exists()]
    assert not (host.root / "var" / "log" / name).exists()
    assert (host.root / "srv" / "ferry-medium" / "kept").exists()
    # What an administrator wrote with systemctl edit is no link, and stays.
    units = (host.root / "etc" / "systemd").rglob("ferry*")
    assert not [path for path in units if path.is_symlink()]


def test_another_distribution_is_told_so(aside: Path, release: Release) -> None:
    host = BareHost(release, aside, BUNDLE)
    host.put("/etc/os-release", 'ID=other\nVERSION_ID="1"\nPRETTY_NAME="Other 1"\n')
    said = host.run("sh /bundle/install outer 2>&1", code=1)
    assert "Other 1; the bundle is for Debian 12 and 13" in said
    assert not (host.root / "opt" / "ferry-outer").exists()


@EACH
def test_lintian_has_nothing_to_say(package: Package) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    [deb] = BUNDLE.glob(f"{package.name}_*.deb")
    done = subprocess.run(
        ["lintian", "--fail-on", "error,warning", deb], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_another_user_in_another_folder_builds_the_same_bytes(aside: Path) -> None:
    not_the_sources = shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, aside, ignore=not_the_sources)
    (aside / "build" / "debian").mkdir(parents=True)
    (aside / "build" / "debian" / "wheels").symlink_to(WORK / "wheels")
    strange = {"SOURCE_DATE_EPOCH": str(moment_s()), "TZ": "Pacific/Apia", "LC_ALL": "C"}
    subprocess.run(
        [sys.executable, "-m", "deploy.debian.build"],
        cwd=aside, umask=0o077, env={**os.environ, **strange}, check=True,
    )  # fmt: skip
    built = sorted((aside / "dist").glob("*.deb"))
    assert len(built) == len(PACKAGES)
    for deb in built:
        assert deb.read_bytes() == (BUNDLE / deb.name).read_bytes(), deb.name
