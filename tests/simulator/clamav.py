"""A real clamd, with a signature of our own for EICAR's test file: built here, never stored."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.simulator.programs import find_program

CLAMD = find_program("clamd")
EICAR = rb"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\4[PA@%P!O5X"[::-1]
STREAM_BYTES_MAX = 20 * 1024 * 1024


class Clamd:
    """Listens on `socket` in its folder, which must have a short path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.socket = folder / "clamd.ctl"
        self._process: subprocess.Popen[bytes] | None = None
        signatures = folder / "signatures"
        signatures.mkdir(parents=True)
        (signatures / "test.ndb").write_text(f"Eicar-Test:0:*:{EICAR.hex()}\n")
        (folder / "clamd.conf").write_text(
            f"Foreground yes\nLocalSocket {self.socket}\nDatabaseDirectory {signatures}\n"
            f"StreamMaxLength {STREAM_BYTES_MAX}\nMaxThreads 4\nTemporaryDirectory {folder}\n"
            "AlertExceedsMax yes\nLogTime no\n"
        )

    @property
    def table(self) -> str:
        """The [scanner] table of an agent's configuration."""
        return f'[scanner]\nsocket = "{self.socket}"\ntimeout_s = 10.0\n'

    def start(self) -> None:
        assert CLAMD is not None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [CLAMD, f"--config-file={self._folder / 'clamd.conf'}"], stdout=log, stderr=log
            )
        deadline_s = time.monotonic() + 30
        while not self.socket.exists():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def stop(self) -> None:
        """Killed, as by the kernel when memory is short: its socket's file stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)
