"""Files on the medium that vanish, come back, change or are joined by a stranger's, under the pair.

Whatever happens ends in delivery, or in a gap or a quarantine entry that an operator is shown: it
never ends in silence.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ferry_format.medium import layout
from tests.simulator.faulted_pair import FaultedPair

pytestmark = pytest.mark.timeout(180)

QUEUED_EVENTS = Path("/proc/sys/fs/inotify/max_queued_events")
EVENTS_MOST = 100_000
SILENCE = "ferry_inner_last_heartbeat_age_seconds"
Meddle = Callable[[list[Path]], object]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultedPair]:
    pair = FaultedPair(tmp_path_factory.mktemp("pair"))
    try:
        pair.agents.start()
        pair.insist(2)
        yield pair
    finally:
        pair.end()


@pytest.fixture
def pair(running: FaultedPair) -> FaultedPair:
    """Nothing is missing and nothing under way."""
    running.start_missing()
    running.insist()
    running.check_promise()
    return running


@contextmanager
def verifier_held(pair: FaultedPair) -> Iterator[None]:
    pid = pair.agents.processes["verifier"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def published(pair: FaultedPair) -> list[Path]:
    return sorted(pair.agents.folder.glob("medium/*/*/*.ferry"))


def send_unread(pair: FaultedPair, number: int, meddle: Meddle) -> None:
    """`meddle` with the files of so many messages before the verifier can read them."""
    with verifier_held(pair):
        before = len(published(pair))
        for _ in range(number):
            pair.insist()
        meddle(published(pair)[before:])


def await_gap(pair: FaultedPair, first: int, last: int) -> None:
    """Wait until exactly this range is told, and see that the operator is shown it."""
    pair.until(lambda: pair.missing == [(first, last)])
    told = pair.command("inner_agent", "gaps")
    assert told.returncode == 1
    assert f"resend --range {first}-{last}" in told.stdout


def resend(pair: FaultedPair, first: int, last: int) -> None:
    told = pair.command("outer_agent", "resend", "--range", f"{first}-{last}")
    assert told.returncode == 0, told.stderr


def nothing_is_missing(pair: FaultedPair) -> bool:
    return not pair.missing


def number_of(file: Path) -> int:
    return int(file.stem)


@pytest.mark.parametrize(
    ("deleted", "ranges"),
    [((1,), [(1, 1)]), ((0, 1), [(0, 1)]), ((0, 2), [(0, 0), (2, 2)])],
    ids=["one", "two in a row", "two apart"],
)
def test_deleted_files_are_told_by_exact_range_and_restored_by_a_resend(
    pair: FaultedPair, deleted: tuple[int, ...], ranges: list[tuple[int, int]]
) -> None:
    sequences: list[int] = []

    def meddle(files: list[Path]) -> None:
        sequences.extend(map(number_of, files))
        for index in deleted:
            files[index].unlink()

    delivered = len(pair.delivered())
    send_unread(pair, 4, meddle)
    for first, last in ranges:
        await_gap(pair, sequences[first], sequences[last])
        assert len(pair.delivered()) == delivered + first, "nothing passes what is missing"
        resend(pair, sequences[first], sequences[last])
    pair.check_promise()
    pair.until(lambda: nothing_is_missing(pair))


def test_a_last_file_that_is_lost_is_missed_as_soon_as_another_comes(pair: FaultedPair) -> None:
    lost: list[int] = []

    def meddle(files: list[Path]) -> None:
        lost.append(number_of(files[0]))
        files[0].unlink()

    send_unread(pair, 1, meddle)
    pair.insist()
    await_gap(pair, lost[0], lost[0])
    resend(pair, lost[0], lost[0])
    pair.check_promise()


@pytest.mark.parametrize(("away_s", "told"), [(0.0, False), (None, True)], ids=["short", "long"])
def test_a_file_that_comes_back_is_delivered_in_order_without_an_operator(
    pair: FaultedPair, away_s: float | None, *, told: bool
) -> None:
    moved: list[Path] = []

    def meddle(files: list[Path]) -> None:
        moved.append(files[1])
        files[1].rename(pair.agents.folder / "away")

    before = len(pair.agents.log_events("verifier"))
    send_unread(pair, 3, meddle)
    if told:
        await_gap(pair, number_of(moved[0]), number_of(moved[0]))
    else:
        time.sleep(away_s or 0)
    (pair.agents.folder / "away").rename(moved[0])
    pair.check_promise()
    pair.until(lambda: nothing_is_missing(pair))
    assert pair.says("verifier", "gap_opened", before) is told


def test_files_deleted_and_copied_back_are_not_delivered_again(pair: FaultedPair) -> None:
    files = published(pair)[-3:]
    kept = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    time.sleep(1.2)
    for file, data in zip(files, kept, strict=True):
        file.write_bytes(data)
    pair.agents.stop("verifier")
    pair.agents.start_inner(["verifier"])
    pair.insist(3)
    pair.check_promise()
    assert (pair.missing, len(pair.delivered())) == ([], pair.acknowledged)


def truncated(files: list[Path]) -> None:
    os.truncate(files[0], files[0].stat().st_size // 2)


def emptied(files: list[Path]) -> None:
    os.truncate(files[0], 0)


def one_bit_turned(files: list[Path]) -> None:
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1
    files[0].write_bytes(data)


def overwritten_by_the_next(files: list[Path]) -> None:
    files[1].rename(files[0])


def exchanged(files: list[Path]) -> None:
    aside = files[0].with_name("aside")
    files[0].rename(aside)
    files[1].rename(files[0])
    aside.rename(files[1])


@pytest.mark.parametrize(
    ("meddle", "reason", "resent"),
    [
        (truncated, "file_too_short", 1),
        (emptied, "file_too_short", 1),
        (one_bit_turned, "bad_signature", 1),
        (overwritten_by_the_next, "name_mismatch", 2),
        (exchanged, "name_mismatch", 2),
    ],
)
def test_a_file_that_is_not_what_was_published_is_quarantined_and_a_resend_heals(
    pair: FaultedPair, meddle: Meddle, reason: str, resent: int
) -> None:
    sequences: list[int] = []

    def noted(files: list[Path]) -> None:
        sequences.extend(map(number_of, files))
        meddle(files)

    quarantined = pair.quarantined
    send_unread(pair, 3, noted)
    pair.until(lambda: pair.quarantined > quarantined)
    told = pair.command("inner_agent", "quarantine").stdout
    assert reason in told
    assert str(sequences[0]) in told.split()
    pair.until(lambda: pair.missing)
    assert pair.command("inner_agent", "gaps").returncode == 1
    resend(pair, sequences[0], sequences[resent - 1])
    pair.check_promise()
    pair.until(lambda: nothing_is_missing(pair))


def test_a_foreign_file_under_the_next_name_is_replaced_and_told_on_both_sides(
    pair: FaultedPair,
) -> None:
    last = published(pair)[-1]
    foreign = last.with_name(layout.file_name(number_of(last) + 1))
    quarantined = pair.quarantined
    foreign.write_bytes(os.urandom(2000))
    pair.until(lambda: pair.quarantined > quarantined)
    told = pair.command("inner_agent", "quarantine").stdout
    assert str(number_of(foreign)) in told.split()
    assert pair.offer() == "AA"
    pair.insist(2)
    pair.check_promise()
    pair.until(lambda: pair.says("outer", "foreign_file_replaced", files=1))


def test_a_folder_under_the_next_name_stops_the_outer_with_a_clear_word(
    pair: FaultedPair,
) -> None:
    last = published(pair)[-1]
    foreign = last.with_name(layout.file_name(number_of(last) + 1))
    foreign.mkdir()
    assert pair.offer() != "AA"
    told = str(pair.ended("outer"))
    assert "name_taken" in told
    assert str(foreign) in told
    foreign.rmdir()
    pair.start_missing()
    pair.insist(2)
    pair.check_promise()


def test_events_lost_in_an_overflow_cost_no_message(pair: FaultedPair) -> None:
    most = int(QUEUED_EVENTS.read_text())
    if most > EVENTS_MOST:
        pytest.skip(f"fs.inotify.max_queued_events is {most}: an overflow takes too long")
    shard = published(pair)[-1].parent
    foreign = [f"{shard}/stranger-{number}" for number in range(most + 1)]
    try:
        with verifier_held(pair):
            for path in foreign:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            pair.insist(3)
        pair.check_promise()
        pair.insist(3)
        pair.check_promise()
        # What does not belong there is counted at each start.
        pair.agents.stop("verifier")
        pair.agents.start_inner(["verifier"])
        pair.until(
            lambda: (
                pair.agents.metric("inner", "ferry_inner_medium_entries_ignored") >= len(foreign)
            )
        )
    finally:
        for path in foreign:
            Path(path).unlink()


def test_a_replayer_whose_hints_are_lost_looks_by_itself(pair: FaultedPair) -> None:
    pair.agents.stop("verifier")
    (pair.agents.inner_state / "hint").unlink()
    pair.agents.start_inner(["verifier"])
    pair.insist(3)
    pair.check_promise()
    pair.agents.stop("replayer")
    pair.agents.start_inner(["replayer"])


def test_garbage_under_lawful_names_is_quarantined_and_holds_nothing_up(pair: FaultedPair) -> None:
    shard = published(pair)[-1].parent
    good = published(pair)[-1]
    first = number_of(good) + 200
    names = [shard / layout.file_name(first + number) for number in range(500)]
    quarantined = pair.quarantined
    for number, path in enumerate(names):
        if number % 3 == 0:
            path.write_bytes(os.urandom(1500))
        elif number % 3 == 1:
            path.write_bytes(good.read_bytes())
        else:
            path.symlink_to(good)
    for number in range(300):
        (shard.parents[1] / f"{number:032x}").mkdir()
    try:
        pair.insist(20)
        pair.check_promise()
        pair.until(lambda: pair.quarantined > quarantined + 8)
        told = pair.command("inner_agent", "quarantine", "--limit", "1000").stdout
        assert str(first) in told.split()
        pair.insist(3)
        pair.check_promise()
    finally:
        for path in names:
            path.unlink(missing_ok=True)
        for number in range(300):
            (shard.parents[1] / f"{number:032x}").rmdir()
    pair.insist()
    pair.check_promise()
    pair.until(lambda: nothing_is_missing(pair))


@pytest.mark.needs_root
@pytest.mark.usefixtures("_mounting")
def test_a_medium_unmounted_under_the_inner_is_read_on_when_it_is_back(tmp_path: Path) -> None:
    pair = FaultedPair(tmp_path)
    seen = tmp_path / "mounted"
    seen.mkdir()
    config = tmp_path / "inner.toml"
    config.write_text(config.read_text().replace(f'"{tmp_path}/medium"', f'"{seen}"'))
    mount = ["mount", "--bind", tmp_path / "medium", seen]
    subprocess.run(mount, check=True)
    try:
        pair.agents.start()
        pair.insist(3)
        pair.check_promise()
        for _ in range(2):
            # Without --lazy: an inner that held the medium open would not let it go.
            pair.until(lambda: subprocess.run(["umount", seen], check=False).returncode == 0)
            delivered = len(pair.delivered())
            pair.insist(3)
            # An empty mount point is told by the sender's silence.
            pair.until(lambda: pair.agents.metric("inner", SILENCE) > 1)
            assert len(pair.delivered()) == delivered
            subprocess.run(mount, check=True)
            pair.check_promise()
        pair.agents.check_alive()
        assert (pair.missing, pair.quarantined) == ([], 0)
    finally:
        pair.end()
        subprocess.run(["umount", "--lazy", seen], check=False, capture_output=True)
        shutil.rmtree(tmp_path / "medium")
