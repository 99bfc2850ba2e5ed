"""An agent whose os.write() misbehaves when a test says so: strace can inject no short write.

`python -m tests.simulator.faulty_writes CONTROL PYTHON -m MODULE ARGUMENTS...`: CONTROL is a file.
While it holds `PART MOST ERROR`, writes to files whose path has PART in it take at most MOST bytes
at a time, and fail with ERROR after the first; ERROR may be `none`. While it is missing, all is
well.
"""

from __future__ import annotations

import errno
import os
import runpy
import sys
from pathlib import Path

_write = os.write


class FaultyWrites:
    """Stands in for os.write()."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._begun: set[str] = set()

    def __call__(self, descriptor: int, data: bytes | memoryview) -> int:
        try:
            part, most, error = self._control.read_text().split()
        except FileNotFoundError:
            return _write(descriptor, data)
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if part not in path:
            return _write(descriptor, data)
        if error != "none" and path in self._begun:
            raise OSError(getattr(errno, error), os.strerror(getattr(errno, error)))
        self._begun.add(path)
        return _write(descriptor, memoryview(data)[: int(most)])


def main() -> None:
    control, _python, _m, module, *arguments = sys.argv[1:]
    os.write = FaultyWrites(Path(control))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
