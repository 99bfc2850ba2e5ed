"""The doctors of a real pair in which one thing is broken: the right side, the right remedy."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ferry_format.container import GENESIS_DIGEST, Sealer
from ferry_format.envelope import Beacon, Content
from ferry_format.keys import KeyKind
from ferry_format.medium.writer import MediumWriter
from ferry_runtime.doctor import host
from ferry_runtime.secrets import read_key
from tests.simulator.ferry_pair import LANE, Channel, FerryPair, free_port

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]
CONTENT = '[channels.content.hl7v2]\nmessages = ["ADT^A01"]\nsegments = ["MSH", "PID"]'
NOBODY = 65534
needs_root = pytest.mark.needs_root
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and changes owners")

Told = dict[str, str | None]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[FerryPair]:
    (tmp_path / "his").mkdir()
    pair = FerryPair(
        tmp_path,
        [Channel("adt", CONTENT, "his")],
        f'[[sources]]\nkind = "mllp"\nname = "in"\nlisten = "127.0.0.1:{free_port()}"\n'
        'channel = "adt"',
        f'[[sinks]]\nkind = "folder"\nname = "his"\npath = "{tmp_path / "his"}"',
        '[[senders]]\nname = "hospital-front"\nlisteners = ["in"]',
    )
    pair.write()
    yield pair
    for name in list(pair.processes):
        pair.kill(name)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., None]]:
    mounted: list[Path] = []

    def mount(point: Path, *options: str) -> None:
        try:
            subprocess.run(["mount", *options, point], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this root may not mount")
        if point not in mounted:
            mounted.append(point)

    yield mount
    for point in reversed(mounted):
        subprocess.run(["umount", "--lazy", point], check=True)


def doctor(pair: FerryPair, side: str, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", f"{side}_agent", "doctor", *options]
    command += ["--config", str(pair.folder / f"{side}.toml")]
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert told.stderr == ""
    return told.returncode, told.stdout


def bad(pair: FerryPair, side: str, *options: str) -> list[Told]:
    """Warnings and faults, apart from what is so of this machine: nobody keeps its clock."""
    code, text = doctor(pair, side, "--json", *options)
    told = json.loads(text)
    assert code == (0 if told["well"] else 1)
    return [
        one
        for one in told["findings"]
        if one["level"] != "well" and "not synchronised" not in one["seen"]
    ]


def cause(pair: FerryPair, side: str, *options: str) -> Told:
    """What the doctor gives as the most probable cause."""
    _, text = doctor(pair, side, "--json", *options)
    found: Told = json.loads(text)["most_probable"]
    return found


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def start(pair: FerryPair) -> None:
    pair.start()
    wait_for_files(pair)


def wait_for_files(pair: FerryPair, number: int = 2) -> list[Path]:
    deadline_s = time.monotonic() + 30
    while len(found := sorted(Path(str(pair.medium)).glob("*/*/*.ferry"))) < number:
        assert time.monotonic() < deadline_s, pair.tail()
        time.sleep(0.05)
    return found


@needs_root
@as_root
def test_a_pair_in_which_nothing_is_broken_is_well(pair: FerryPair, mount) -> None:
    seen = pair.folder / "seen-by-the-inner"
    seen.mkdir()
    mount(seen, "--bind", str(pair.medium))
    mount(seen, "-o", "remount,ro,bind")
    change(pair.folder / "inner.toml", str(pair.medium), str(seen))
    start(pair)
    assert bad(pair, "outer") == []
    assert bad(pair, "inner") == []


def test_a_medium_that_is_writable_here_is_a_warning_of_the_inner(pair: FerryPair) -> None:
    start(pair)
    [told] = bad(pair, "inner")
    assert (told["area"], told["level"], told["cause"]) == ("medium", "warning", "inner")
    assert "read-only" in str(told["action"])


def test_a_medium_that_is_not_mounted_is_the_cause_on_both_sides(pair: FerryPair) -> None:
    start(pair)
    pair.stop()
    medium = Path(str(pair.medium))
    medium.rename(medium.with_name("not-mounted"))
    medium.mkdir()
    for side in ("outer", "inner"):
        told = cause(pair, side)
        assert (told["area"], told["level"], told["cause"]) == ("medium", "fault", "medium")
        assert "nothing is mounted there" in str(told["seen"])
        assert f"Mount the medium at {medium}" in str(told["action"])
    medium.rmdir()
    for side in ("outer", "inner"):
        assert cause(pair, side)["seen"] == f"{medium} is not there"


@pytest.mark.parametrize(("side", "key"), [("outer", "front-1.key"), ("inner", "inner-1.key")])
def test_a_key_that_others_may_read_is_named_with_its_remedy(pair, side, key) -> None:
    path = pair.keys / key
    path.chmod(0o644)
    [told] = [one for one in bad(pair, side, *quickly(side)) if one["area"] == "keys"]
    assert (told["level"], told["cause"]) == ("fault", side)
    assert f"chmod 0600 {path}" in str(told["action"])


def quickly(side: str) -> list[str]:
    return ["--wait-s", "0"] if side == "inner" else []


def test_a_sink_that_is_down_is_the_internal_systems(pair: FerryPair) -> None:
    port = free_port()
    change(
        pair.folder / "inner.toml",
        f'kind = "folder"\nname = "his"\npath = "{pair.folder / "his"}"',
        f'kind = "mllp"\nname = "his"\nhost = "127.0.0.1"\nport = {port}',
    )
    start(pair)
    told = cause(pair, "inner")
    assert (told["area"], told["cause"]) == ("sinks", "internal system")
    assert "sink his (mllp)" in str(told["seen"])
    with socket.create_server(("127.0.0.1", port)):
        assert not [one for one in bad(pair, "inner") if one["level"] == "fault"]


def test_a_verifier_that_stopped_is_the_inners_fault(pair: FerryPair) -> None:
    start(pair)
    pair.stop("verifier")
    os.utime(pair.inner_state / "verifier.prom", (time.time() - 300,) * 2)
    told = cause(pair, "inner")
    assert (told["area"], told["cause"]) == ("agent", "inner")
    assert "the verifier is silent for 5 min" in str(told["seen"])
    assert "systemctl restart ferry-inner-verifier" in str(told["action"])


def test_an_outer_that_does_not_run_is_named_on_both_sides(pair: FerryPair) -> None:
    start(pair)
    pair.stop("outer")
    assert cause(pair, "outer")["seen"] == "the agent does not run"
    age_files(pair, 600)
    told = cause(pair, "inner", "--wait-s", "1")
    assert (told["area"], told["cause"]) == ("ferry files", "outer")
    _, screen = doctor(pair, "inner", "--wait-s", "1")
    assert screen.splitlines()[-1].endswith("Go to the outer's host: ferry-outer doctor.")


def age_files(pair: FerryPair, by_s: float) -> None:
    for path in wait_for_files(pair):
        then_s = path.stat().st_mtime - by_s
        os.utime(path, (then_s, then_s))


@needs_root
@as_root
def test_a_medium_that_is_nearly_full_is_the_mediums(pair: FerryPair, mount) -> None:
    mount(Path(str(pair.medium)), "-t", "tmpfs", "-o", "size=8m", "ferry-test")
    told = cause(pair, "outer")
    assert (told["area"], told["level"], told["cause"]) == ("medium", "fault", "medium")
    assert "nearly full" in str(told["seen"])


@needs_root
@as_root
def test_a_journal_disk_that_is_nearly_full_is_the_inners(pair: FerryPair, mount) -> None:
    mount(pair.inner_state, "-t", "tmpfs", "-o", "size=8m,mode=0700", "ferry-test")
    [told] = [one for one in bad(pair, "inner", "--wait-s", "0") if one["area"] == "state folder"]
    assert (told["level"], told["cause"]) == ("fault", "inner")
    assert "nearly full" in str(told["seen"])


def test_files_whose_owner_has_another_number_here_are_a_matter_of_the_mount(
    pair: FerryPair,
) -> None:
    change(
        pair.folder / "inner.toml",
        f'path = "{pair.medium}"',
        f'path = "{pair.medium}"\nowner = 4242',
    )
    pair.start_outer()
    wait_for_files(pair)
    told = [one for one in bad(pair, "inner", "--wait-s", "3") if one["area"] == "ferry files"]
    assert [one["cause"] for one in told] == ["medium"]
    assert f"medium.owner = {os.geteuid()}" in str(told[0]["action"])


@needs_root
@as_root
def test_a_file_that_somebody_else_wrote_is_resent_by_the_outer(pair: FerryPair) -> None:
    pair.start_outer()
    wait_for_files(pair, 3)
    pair.stop("outer")
    newest = wait_for_files(pair)[-1]
    os.chown(newest, NOBODY, NOBODY)
    span = f"ferry-outer resend --range {int(newest.stem)}-{int(newest.stem)}"
    for side in ("outer", "inner"):
        told = [one for one in bad(pair, side, *quickly(side)) if "belong to" in str(one["seen"])]
        assert [one["cause"] for one in told] == ["outer"], side
        assert span in str(told[0]["action"])


def test_a_clock_that_is_wrong_shows_in_the_last_file(pair: FerryPair) -> None:
    publish_sealed_at(pair, time.time() + 3600)
    told = [one for one in bad(pair, "inner", "--wait-s", "0") if one["area"] == "clock"]
    [skew] = told
    assert "60 min behind the outer's" in str(skew["seen"])
    assert skew["cause"] == ("inner" if host.clock().synchronised is False else "outer")
    assert "time source" in str(skew["action"])


def publish_sealed_at(pair: FerryPair, at_s: float) -> None:
    sender = read_key(pair.keys / "front-1.key", KeyKind.SIGN)
    receiver = read_key(pair.keys / "inner-1.key", KeyKind.RECEIVE)
    assert receiver.public is not None
    stream = os.urandom(16)
    content = Content(int(at_s * 1000), (), Beacon(()))
    sealed = Sealer(sender, receiver.public, LANE, stream).seal(1, GENESIS_DIGEST, content)
    writer = MediumWriter(Path(str(pair.medium)))
    writer.publish(writer.stage(stream, 1, sealed.data))


def test_a_key_that_the_policy_does_not_know_is_the_inners_policys(pair: FerryPair) -> None:
    publish_sealed_at(pair, time.time())
    shutil.rmtree(pair.keys)
    pair.write()  # other keys, and policies that name them
    told = [one for one in bad(pair, "inner", "--wait-s", "0") if "refused" in str(one["seen"])]
    assert [one["cause"] for one in told] == ["inner"]
    assert "Trust the sender's key" in str(told[0]["action"])


def test_a_port_that_another_program_holds_is_told(pair: FerryPair) -> None:
    with socket.create_server(("127.0.0.1", pair.outer_metrics_port)):
        told = [one for one in bad(pair, "outer") if one["area"] == "listeners"]
    [held] = told
    assert (held["level"], held["cause"]) == ("fault", "outer")
    assert "another program" in str(held["seen"])


@pytest.mark.parametrize(
    ("side", "old", "new"),
    [("outer", "heartbeat_s", "hartbeat_s"), ("inner", 'kind = "folder"', 'kind = "foldr"')],
)
def test_a_broken_configuration_is_told_and_the_rest_is_looked_at(pair, side, old, new) -> None:
    start(pair)
    path = pair.folder / f"{side}.toml"
    change(path, old, new)
    code, screen = doctor(pair, side)
    assert code == 1
    assert f"FAULT   configuration: {path}:" in screen
    for area in ("keys", "clock", "state folder", "agent"):
        assert f"  {area}: " in screen or f" {area}: " in screen
    assert screen.splitlines()[-1].startswith(f"Most probable cause: {path}:")


@pytest.mark.parametrize("side", ["outer", "inner"])
def test_a_policy_that_was_changed_after_signing_is_told(pair: FerryPair, side: str) -> None:
    change(pair.folder / f"{side}-policy.toml", "version = 1", "version = 1 ")
    told = cause(pair, side, *quickly(side))
    assert (told["area"], told["level"], told["cause"]) == ("policy", "fault", side)
    assert "was changed after it was signed" in str(told["seen"])


def test_a_configuration_that_is_not_there_is_told(pair: FerryPair) -> None:
    (pair.folder / "inner.toml").unlink()
    assert "cannot be read: No such file" in str(cause(pair, "inner")["seen"])


def test_the_inners_doctor_leaves_no_trace_on_the_medium_and_shows_no_secret(
    pair: FerryPair,
) -> None:
    pair.start_outer()
    wait_for_files(pair)
    pair.stop("outer")
    before = traces(Path(str(pair.medium)))
    _, screen = doctor(pair, "inner", "--wait-s", "1")
    assert traces(Path(str(pair.medium))) == before
    for path in pair.keys.glob("*.key"):
        secret = path.read_text().splitlines()[-1].split()[-1]
        assert secret not in screen


def traces(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns, path.lstat().st_nlink)
        for path in [folder, *folder.rglob("*")]
    }
