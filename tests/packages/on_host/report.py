"""What a booted host saw, for whoever booted it. Standard library alone: it runs on the host."""

import json
import os
import subprocess
from pathlib import Path

RESULTS = Path("/results")
LAST = "LAST"
PROPERTIES = "ActiveState,Result,NRestarts,ExecMainStatus,StatusText"


def told(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def state(*units):
    """How each unit is, by systemd."""
    found = {}
    for unit in units:
        lines = told("systemctl", "show", "--property", PROPERTIES, unit).splitlines()
        found[unit] = dict(line.split("=", 1) for line in lines)
    return found


def install(bundle, side, *units):
    """Install from a bundle as its guide says; the version that is there now, and its units."""
    done = subprocess.run(
        ["sh", f"{bundle}/install", side], capture_output=True, text=True, check=False
    )
    return {
        "version": told("dpkg-query", "--show", "--showformat", "${Version}", f"ferry-{side}"),
        "said": done.stdout + done.stderr,
        "running": state(*units),
    }


def leave(**facts):
    """Write everything down, and power the host off."""
    journal = told(
        "journalctl", "--output", "json", "FERRY_AGENT=front-1", "+", "FERRY_AGENT=inner-1"
    )
    facts |= {
        "links": [path.name for path in Path("/sys/class/net").iterdir()],
        "medium_is_writable": _is_writable(Path("/srv/ferry-medium")),
        "journal": [json.loads(line) for line in journal.splitlines()],
        "everything": told("journalctl", "--boot", "--no-pager", "--lines", "400"),
    }
    aside = RESULTS / "part"
    aside.write_text(json.dumps(facts))
    aside.rename(RESULTS / "seen.json")
    os.sync()
    subprocess.run(["systemctl", "poweroff"], check=True)


def _is_writable(folder):
    try:
        (folder / "written").touch()
    except OSError:
        return False
    (folder / "written").unlink()
    return True
