"""Wait for the last delivery, stop the agents, and report.

inner_trial.py FOLDER [BUNDLE...]: the bundles are installed one after the other from the first
delivery on.
"""

import subprocess
import sys
import time
from pathlib import Path

from report import LAST, install, leave, state

UNITS = ("ferry-inner-verifier.service", "ferry-inner-replayer.service")
WAIT_S = 1500
DEADLINE_S = time.monotonic() + WAIT_S


def files():
    return sorted(Path(sink).glob("[!.]*"))


def wait_for(word):
    """Until the newest delivery holds the word."""
    while time.monotonic() < DEADLINE_S:
        if any(word in path.read_text() for path in files()[-1:]):
            return
        time.sleep(0.5)


sink, *bundles = sys.argv[1:]
wait_for("id")
installed = [install(bundle, "inner", *UNITS) for bundle in bundles]
wait_for(LAST)
running = state(*UNITS)
subprocess.run(["systemctl", "stop", "ferry-inner.target", *UNITS], check=True)
leave(
    delivered=[path.read_text() for path in files()],
    installed=installed,
    running=running,
    stopped=state(*UNITS),
)
