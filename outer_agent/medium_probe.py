"""Whether the agent's user can write to the medium, and whether an event tells of it.

A process of its own (`python -m outer_agent.medium_probe PATH`), because the rights of another user
are had by being that user, and because a medium that hangs must not hang who asks. What it writes
has a lawful staging name, lies where no reader looks, and is removed at once; the agent would clean
it away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferry_format.medium import layout
from ferry_format.medium.watch import Watch
from ferry_runtime.doctor.host import User

_EVENT_S: Final = 1.0
_ANSWER_S: Final = 8.0
_NONCE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it: `problem` says why nothing was written; if not `tried`, nothing is known."""

    event: bool = False
    problem: str = ""
    tried: bool = True


def probe_as(user: User, medium: Path) -> Probe:
    """Have `user` write to the medium; this process's own user, if it may not be another."""
    command = [sys.executable, "-P", "-m", "outer_agent.medium_probe", str(medium)]
    becomes = os.geteuid() == 0 and user.uid != 0
    try:
        told = subprocess.run(  # noqa: S603 - this very program
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWER_S,
            cwd="/",
            user=user.uid if becomes else None,
            group=user.gid if becomes else None,
            extra_groups=sorted(user.groups) if becomes else None,
        )
        return Probe(**json.loads(told.stdout))
    except subprocess.TimeoutExpired:
        return Probe(problem=f"no answer within {_ANSWER_S:.0f} s")
    except (OSError, ValueError, TypeError):
        return Probe(tried=False)


def write_and_watch(medium: Path) -> Probe:
    """Write one byte aside and wait for its event."""
    stage = medium / layout.STAGE
    path = stage / layout.staging_name(0, os.urandom(_NONCE_BYTES))
    watch = Watch()
    try:
        watching = watch.add(stage)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(number, b"\0")
            os.fsync(number)
            return Probe(event=watching and watch.wait(_EVENT_S))
        finally:
            os.close(number)
            path.unlink()
    except OSError as error:
        return Probe(problem=error.strerror or "cannot be written")
    finally:
        watch.close()


if __name__ == "__main__":
    _found = write_and_watch(Path(sys.argv[1]))
    print(json.dumps({"event": _found.event, "problem": _found.problem}))  # noqa: T201
