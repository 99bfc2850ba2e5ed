"""The delivery promise holds in a model of it, at every step at which something may fail.

spin walks through every run of delivery.pml that its bounds allow. README.md says what is modelled.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("delivery.pml")
MEGABYTES_MAX = 2_000
SEARCH_S_MAX = 100

CUT_SHORT = ("Search not completed", "max search depth too small", "MEMLIM", "out of memory")

LOST = "acknowledged"
TAKEN_AGAIN_WITH_ANOTHER_ID = "sink_id[i]=="
SENT_AFTER_IT_WAS_RECORDED = "i>=delivered[c]"
OUT_OF_ORDER = "i>sink_last[c]"
WAITS_FOR_EVER = "invalid end state"


@dataclass(frozen=True)
class Report:
    text: str

    @property
    def errors(self):
        return int(re.search(r"errors: (\d+)", self.text)[1])

    @property
    def states(self):
        return int(re.search(r"(\d+) states, stored", self.text)[1])

    @property
    def finding(self):
        return re.search(r"^pan:1: (.*)$", self.text, re.MULTILINE)[1]

    @property
    def is_exhaustive(self):
        return not any(words in self.text for words in CUT_SHORT)


@pytest.fixture
def search(tmp_path):
    """Search the model with the macros given; `asked` is what pan is compiled and run to find."""
    spin = shutil.which("spin")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if spin is None or compiler is None:
        pytest.skip("spin or a C compiler is not installed (packages spin, gcc, libc6-dev)")

    def run(*words, timeout=SEARCH_S_MAX):
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def searched(*macros, asked="-DSAFETY"):
        defined = [f"-D{macro}" for macro in macros]
        run(spin, f"-P{compiler} -E -x c", *defined, "-a", MODEL)
        run(compiler, "-O2", "-w", asked, f"-DMEMLIM={MEGABYTES_MAX}", "-o", "pan", "pan.c")
        return Report(run("./pan", "-w22", *(["-l"] if asked == "-DNP" else [])))

    return searched


@pytest.mark.parametrize(
    ("macros", "states_min"),
    [("FAULTS=2", 500_000), ("FAULTS=1 ON_GAP_CONTINUE", 200_000)],
)
def test_the_promise_is_kept_in_every_run(search, macros, states_min):
    report = search(*macros.split())
    assert report.errors == 0, report.text
    assert report.is_exhaustive, report.text
    assert report.states > states_min


def test_every_run_ends(search):
    report = search("FAULTS=1", asked="-DNP")
    assert report.errors == 0, report.text
    assert report.is_exhaustive, report.text


@pytest.mark.parametrize(
    ("bugs", "finding"),
    [
        ("ACK_BEFORE_SPOOL", LOST),
        ("REUSE_SEQUENCE", LOST),
        ("RECORD_BEFORE_SINK", LOST),
        ("WITHDRAW_SEEN", LOST),
        ("FORGET_FINGERPRINTS", TAKEN_AGAIN_WITH_ANOTHER_ID),
        ("TAKE_REPEATED FORGET_IDS", SENT_AFTER_IT_WAS_RECORDED),
        ("PASS_GAPS", OUT_OF_ORDER),
        ("ANSWER_NEW_ALONE", WAITS_FOR_EVER),
    ],
)
def test_a_planted_bug_is_found(search, bugs, finding):
    report = search("FAULTS=2", *bugs.split())
    assert report.errors == 1
    assert finding in report.finding


@pytest.mark.parametrize("broken", ["TAKE_REPEATED", "FORGET_IDS"])
def test_the_files_place_and_the_messages_id_each_keep_a_repeated_file_out(search, broken):
    report = search("FAULTS=2", broken)
    assert report.errors == 0, report.text
    assert report.is_exhaustive, report.text
