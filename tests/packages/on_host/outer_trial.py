"""Send messages to the agent on this host, stop it, and report: outer_trial.py NUMBER URL KEY."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

from report import leave, state

UNIT = "ferry-outer.service"


def send(url, key, number):
    """The answer's code, or why there was none."""
    request = urllib.request.Request(
        url,
        json.dumps({"id": f"B{number}"}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except OSError as failure:
        return str(failure)


answers = [send(sys.argv[2], sys.argv[3], number) for number in range(int(sys.argv[1]))]
running = state(UNIT)
subprocess.run(["systemctl", "stop", UNIT], check=True)
leave(answers=answers, running=running, stopped=state(UNIT))
