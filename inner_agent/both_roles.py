"""Both of the inner's processes under one parent, where no service manager keeps them.

The parent only starts, signals and waits; if one of the two ends, the other is ended too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

ROLES: Final = ("verifier", "replayer")


def run(config_path: Path) -> int:
    """Run until SIGTERM or SIGINT, or until one of the two ends; the exit code is the worse one."""
    children = [
        subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "inner_agent", "run", "--role", role, "--config", config_path]
        )
        for role in ROLES
    ]

    def end(*_: object) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    # Waits for whichever ends first, and leaves its status for Popen to collect.
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    end()
    return max(abs(child.wait()) for child in children)
