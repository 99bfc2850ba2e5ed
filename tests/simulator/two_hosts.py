"""Two hosts, and the people who follow the pages there: each absolute path is below one folder.

A line of a page is run as it stands. `sudo` falls away, paths lead below the folder, and systemctl
starts and stops the agents as their units do, ready when they say so.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from tests.simulator.ferry_pair import free_port

MODULES: Final = {
    "ferry-outer": "outer_agent.__main__",
    "ferry-inner": "inner_agent.__main__",
    "ferry-keys": "ferry_runtime.commands.keys",
    "ferry-audit": "ferry_runtime.commands.audit",
    "ferry-inspect": "ferry_format.inspect",
    "ferry-profiles": "ferry_runtime.commands.profiles",
}
UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "ferry-outer": ("ferry-outer", "run"),
    "ferry-inner-verifier": ("ferry-inner", "run", "--role", "verifier"),
    "ferry-inner-replayer": ("ferry-inner", "run", "--role", "replayer"),
}
TARGETS: Final = {"ferry-inner.target": ("ferry-inner-verifier", "ferry-inner-replayer")}
_OF_A_HOST: Final = re.compile(r"(?<![\w./])/(?=(?:etc|var|srv|media|copy)/)")
_CONFIGURED: Final = ("ferry-outer", "ferry-inner")
_READY_S: Final = 60.0
_LOOK_S: Final = 0.2
_COMMAND_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one line."""

    code: int
    told: str


class TwoHosts:
    """Both hosts and every computer beside them; `close` ends what runs there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.desk = root / "desk"
        """Where whoever follows the page works; relative paths lead from here."""
        self.told: list[str] = []
        """What the commands said so far, the newest last."""
        self.ports = {number: free_port() for number in (2575, 2576, 9464, 9465)}
        self._running: dict[str, ForkServerProcess] = {}
        # Each command is a process of its own, as it is for an operator, without the second that
        # its imports take.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *MODULES.values()])
        self.desk.mkdir(parents=True)
        self._typed = root / "typed"
        self._typed.touch()
        for folder in ("srv/ferry-medium", "srv/backup", "media/usb", "var/lib", "var/log"):
            (root / folder).mkdir(parents=True)
        (root / "srv/ferry-medium").chmod(0o755)
        for program in _CONFIGURED:
            (root / "etc" / program / "keys").mkdir(mode=0o700, parents=True)

    def here(self, text: str) -> str:
        """The text, its paths and ports as they are on these hosts."""
        return self.with_ports(_OF_A_HOST.sub(f"{self.root}/", text))

    def with_ports(self, text: str) -> str:
        """The text with ports that are free here."""
        for number, port in self.ports.items():
            text = text.replace(f"127.0.0.1:{number}", f"127.0.0.1:{port}")
            text = text.replace(f"127.0.0.1/{number}", f"127.0.0.1/{port}")
        return text

    def heard(self, pattern: str) -> str:
        """The newest thing that a command said; `pattern` has one group. Raises AssertionError."""
        for told in reversed(self.told):
            found = re.findall(pattern, told, re.MULTILINE)
            if found:
                return str(found[-1])
        raise AssertionError(f"nobody said {pattern}")

    def run(self, line: str, typed: str = "") -> Done:
        """Run one line of a page; `typed` is what a person answers to its questions."""
        line = self.here(line.removeprefix("sudo "))
        program = line.split(" ", 1)[0]
        if program in MODULES:
            done = self._command(list(self._words(line)), typed)
        elif program == "systemctl":
            done = self._systemctl(line.split()[1:])
        else:
            ran = subprocess.run(
                ["bash", "-c", line], cwd=self.desk, capture_output=True, text=True, check=False
            )
            done = Done(ran.returncode, ran.stdout + ran.stderr)
        self.told.append(done.told)
        return done

    def start(self, *units: str) -> None:
        """Start units that do not run, and wait until each says that it is ready."""
        for unit in units:
            if unit not in self._running:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                    manager.bind(f"\0{self.root}/{unit}")
                    manager.settimeout(_LOOK_S)
                    self._start(unit, f"@{self.root}/{unit}")
                    self._see_ready(unit, manager)

    def _start(self, unit: str, manager: str) -> None:
        words = [*UNITS[unit], "--config", self._config(UNITS[unit][0])]
        told = self.root / f"{unit}.log"
        self._running[unit] = self._process(words, told, {"NOTIFY_SOCKET": manager})

    def _see_ready(self, unit: str, manager: socket.socket) -> None:
        deadline_s = time.monotonic() + _READY_S
        told = b""
        while b"READY=1" not in told:
            is_going = self._running[unit].is_alive() and time.monotonic() < deadline_s
            assert is_going, (self.root / f"{unit}.log").read_text()
            with suppress(TimeoutError):
                told = manager.recv(4096)

    def stop(self, *units: str) -> None:
        """Stop units that run, and wait for their end."""
        for unit in units:
            process = self._running.pop(unit, None)
            if process is not None:
                process.terminate()
                process.join(_READY_S)
                assert process.exitcode == 0, (self.root / f"{unit}.log").read_text()

    def pid(self, unit: str) -> int:
        """The process of a unit that runs."""
        pid = self._running[unit].pid
        assert pid is not None
        return pid

    def close(self) -> None:
        """End all units, the outer first."""
        self.stop(*UNITS)

    def _words(self, line: str) -> Iterator[str]:
        """The words of a command, patterns replaced by the files that they name."""
        for word in shlex.split(line):
            yield from sorted(map(str, self.desk.glob(word))) if "*" in word else [word]

    def _command(self, words: list[str], typed: str) -> Done:
        self._typed.write_text(typed)
        if words[:2] in ([program, "init"] for program in _CONFIGURED):
            words += ["--folder", str(self.root / "etc" / words[0])]
        elif words[0] in _CONFIGURED:
            words += ["--config", self._config(words[0])]
        told = self.root / "told"
        told.unlink(missing_ok=True)
        process = self._process(words, told, {})
        process.join(_COMMAND_S)
        code = process.exitcode
        assert code is not None, f"{words} does not end"
        return Done(code, told.read_text())

    def _process(
        self, words: Sequence[str], told: Path, environment: Mapping[str, str]
    ) -> ForkServerProcess:
        keys = {"CREDENTIALS_DIRECTORY": str(self.root / "etc" / words[0] / "keys")}
        arguments = (words, self.desk, self._typed, told, {**keys, **environment})
        process = self._context.Process(target=run_program, args=arguments)
        process.start()
        return process

    def _config(self, program: str) -> str:
        return f"{self.root}/etc/{program}/{program.removeprefix('ferry-')}.toml"

    def _systemctl(self, words: Sequence[str]) -> Done:
        verb, *names = words
        units = [unit for name in names for unit in TARGETS.get(name, (name,))]
        if verb in ("stop", "restart"):
            self.stop(*units)
        if verb in ("start", "restart"):
            self.start(*units)
        return Done(0, "")


def run_program(
    words: Sequence[str], folder: Path, typed: Path, told: Path, environment: Mapping[str, str]
) -> None:
    """Be the program that `words` call, in a process of its own."""
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = list(words)
    sys.stdin = typed.open()
    output = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    importlib.import_module(MODULES[words[0]]).main()
