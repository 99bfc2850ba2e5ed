"""Wait for deliveries, stop the agents, and report: inner_trial.py NUMBER FOLDER."""

import subprocess
import sys
import time
from pathlib import Path

from report import leave, state

UNITS = ("ferry-inner-verifier.service", "ferry-inner-replayer.service")
WAIT_S = 600


def files(folder):
    return sorted(folder.glob("[!.]*"))


number, sink = int(sys.argv[1]), Path(sys.argv[2])
deadline_s = time.monotonic() + WAIT_S
while len(files(sink)) < number and time.monotonic() < deadline_s:
    time.sleep(0.2)
running = state(*UNITS)
delivered = [path.read_text() for path in files(sink)]
subprocess.run(["systemctl", "stop", "ferry-inner.target", *UNITS], check=True)
leave(delivered=delivered, running=running, stopped=state(*UNITS))
