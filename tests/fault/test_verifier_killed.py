"""SIGKILL between any two steps of the verifier loses nothing and doubles nothing."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from ferry_format import keys
from ferry_format.keys import KeyKind
from inner_agent.journal import JournalReader
from inner_agent.journal_schema import connect_reader
from tests.simulator.sending_side import SendingSide, key
from tests.simulator.verifying_side import CIPHER

FILES = 12


@pytest.fixture
def places(tmp_path):
    root, state, key_folder = (tmp_path / name for name in ("medium", "state", "keys"))
    for folder in (root, state, key_folder):
        folder.mkdir()
    (key_folder / "sender.pub").write_text(keys.public_text(key(KeyKind.SIGN, "front-1")))
    (key_folder / "receiver.key").write_text(keys.private_text(key(KeyKind.RECEIVE, "inner-1")))
    return root, state, key_folder


def start(places, die_at=""):
    environment = {**os.environ, **({"FERRY_DIE_AT": die_at} if die_at else {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.simulator.verifier_process", *map(str, places)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process.stdout as begins:
        assert begins.readline() == b"ready\n"
    return process


def journaled(places):
    path = places[1] / "journal.db"
    if not path.exists():
        return []
    with JournalReader(path, CIPHER) as reader:
        return [message.payload for message in reader.waiting("adt", 0, 1000)]


def finish(places, expected):
    process = start(places)
    try:
        ends_at = time.monotonic() + 20
        while len(journaled(places)) < len(expected) and time.monotonic() < ends_at:
            time.sleep(0.05)
        time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert journaled(places) == expected
    connection = connect_reader(places[1] / "journal.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM files").fetchone() == (FILES,)
    connection.close()


def fill(root):
    sender = SendingSide(root)
    expected = []
    for number in range(FILES):
        payloads = [b"%d.%d" % (number, i) for i in range(3)]
        sender.send(*payloads)
        expected += payloads
    return expected


@pytest.mark.parametrize("step", ["before_take", "in_take", "after_take"])
@pytest.mark.parametrize("number", [1, 3])
def test_killed_at_a_step(places, step, number):
    expected = fill(places[0])
    process = start(places, f"{step} {number}")
    assert process.wait(20) == -signal.SIGKILL
    # A batch is three files of three messages.
    whole_batches = number if step == "after_take" else number - 1
    assert journaled(places) == expected[: 9 * whole_batches]
    finish(places, expected)


def test_killed_at_random_instants(places):
    expected = fill(places[0])
    chance = random.Random(7)
    for _ in range(6):
        process = start(places)
        time.sleep(chance.random() * 0.012)
        process.kill()
        process.wait(10)
        seen = journaled(places)
        assert seen == expected[: len(seen)]
    finish(places, expected)
