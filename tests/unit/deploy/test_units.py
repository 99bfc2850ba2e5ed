"""The units are accepted by systemd's own tools and stay as closed as they are."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[3] / "deploy" / "systemd"
INSTALLED = "/opt/ferry-(outer|inner)/bin/"
EXPOSURE_MAX = {
    # systemd 252 counts what it knows, in tenths; a laxer unit must be a decision, made here.
    "ferry-inner-verifier.service": 0.6,
    "ferry-inner-replayer.service": 0.9,
    "ferry-outer.service": 0.9,
}
SERVICES = sorted(EXPOSURE_MAX)


@pytest.fixture
def analyze():
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (package systemd): units are not judged")
    return lambda *words: subprocess.run(
        [program, *words], capture_output=True, text=True, check=False, env={"LC_ALL": "C.UTF-8"}
    )


@pytest.fixture
def copies(tmp_path):
    """The units with programs that exist here: `verify` asks whether ExecStart can be executed."""
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.target")):
        text = re.sub(rf"(?m)^ExecStart={INSTALLED}\S+", "ExecStart=/bin/true", unit.read_text())
        assert not re.search(INSTALLED, text)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("unit", SERVICES)
def test_installed_and_not_configured_is_no_failure(unit):
    [started] = settings(unit)["ExecStart"]
    assert settings(unit)["ConditionPathExists"] == [started.split()[-1]]


def settings(unit):
    """Every setting of a unit; one that stands several times keeps all its values."""
    found = {}
    for line in (UNITS / unit).read_text().splitlines():
        if re.match(r"[A-Za-z]+=", line):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_systemd_finds_nothing_to_say_about_the_units(analyze, copies):
    done = analyze("verify", *sorted(copies.iterdir()))
    ours = [line for line in done.stderr.splitlines() if "ferry" in line]
    assert done.returncode == 0, done.stderr
    assert ours == []


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_stays_low(analyze, unit):
    done = analyze("security", "--offline=yes", "--no-pager", UNITS / unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSURE_MAX[unit]


@pytest.mark.parametrize("unit", SERVICES)
def test_a_wrong_configuration_is_not_started_again_and_a_stuck_agent_is(unit):
    service = settings(unit)
    assert service["Type"] == ["notify"]
    assert service["WatchdogSec"] == ["60"]
    assert "78" in service["RestartPreventExitStatus"][0].split()
    assert service["Restart"][0] in ("on-failure", "always")


@pytest.mark.parametrize("unit", SERVICES)
def test_the_state_is_closed_to_others(unit):
    assert int(settings(unit)["StateDirectoryMode"][0], 8) & 0o007 == 0


def test_both_inner_processes_have_one_user():
    verifier, replayer = (
        settings(f"ferry-inner-{role}.service") for role in ("verifier", "replayer")
    )
    for key in ("User", "Group", "StateDirectory", "StateDirectoryMode", "LogsDirectoryMode"):
        assert verifier[key] == replayer[key], key


def test_the_verifier_has_no_network_and_cannot_write_the_medium():
    verifier = settings("ferry-inner-verifier.service")
    assert verifier["PrivateNetwork"] == ["yes"]
    assert verifier["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert "/srv/ferry-medium" in verifier["ReadOnlyPaths"][0].split()


@pytest.mark.parametrize("unit", SERVICES)
def test_validation_workers_can_still_lock_themselves_in(unit):
    # The last list that names a call decides: each worker bounds itself, then installs a filter.
    allowed = dict.fromkeys(("prlimit64", "seccomp", "prctl"), False)
    for value in settings(unit)["SystemCallFilter"]:
        names = value.removeprefix("~").split()
        for name in allowed:
            if name in names:
                allowed[name] = not value.startswith("~")
    assert all(allowed.values()), allowed


def test_the_verifier_keeps_the_call_by_which_it_opens_safely():
    # With RestrictSUIDSGID systemd answers ENOSYS to openat2: its flags are beyond a filter.
    assert settings("ferry-inner-verifier.service").get("RestrictSUIDSGID", ["no"]) == ["no"]
