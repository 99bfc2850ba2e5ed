"""Send messages to the agent on this host, stop it, and report.

outer_trial.py URL KEY NUMBER [BUNDLE...]: the bundles are installed one after the other, while
messages go on.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from report import LAST, install, leave, state

UNIT = "ferry-outer.service"
PAUSE_S = 0.02
AGAIN_S = 0.5
WAIT_S = 1200
DEADLINE_S = time.monotonic() + WAIT_S


def send(name):
    """The answer's code, or why there was none."""
    request = urllib.request.Request(
        url,
        json.dumps({"id": name}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except OSError as failure:
        return str(failure)


def send_until_taken(name):
    """As a sender does: what was not acknowledged is sent again."""
    while time.monotonic() < DEADLINE_S:
        answers.append(send(name))
        if answers[-1] == 202:
            time.sleep(PAUSE_S)
            return
        time.sleep(AGAIN_S)


def send_all():
    """So many, and more as long as bundles are installed."""
    sent = 0
    while (sent < number or not all_installed.is_set()) and time.monotonic() < DEADLINE_S:
        send_until_taken(f"B{sent}")
        sent += 1
    send_until_taken(LAST)


url, key, number, *bundles = sys.argv[1:]
number = int(number)
answers, all_installed = [], threading.Event()
traffic = threading.Thread(target=send_all)
traffic.start()
installed = [install(bundle, "outer", UNIT) for bundle in bundles]
all_installed.set()
traffic.join()
running = state(UNIT)
subprocess.run(["systemctl", "stop", UNIT], check=True)
leave(answers=answers, installed=installed, running=running, stopped=state(UNIT))
