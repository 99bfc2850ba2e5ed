"""Both agents as real processes around one medium, with keys and policies made on the spot.

Used by the integration tests, the demo and the benchmark. Everything lies in one folder. As root
each agent can live in a network namespace of its own, and the inner then sees the medium mounted
read-only.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ferry_format.keys import KeyFile, KeyKind, generate, parse_key_file, private_text, public_text
from ferry_runtime.policy import sign
from tests.simulator.namespaces import Namespace

_T = TypeVar("_T")
_LOWEST, _BELOW = 10_000, 32_768
_FIRST = random.randrange(_LOWEST, _BELOW)
_PORTS = iter([*range(_FIRST, _BELOW), *range(_LOWEST, _FIRST)])
LANE = "front-to-inside"


@dataclass(frozen=True)
class Channel:
    """One channel of the pair: content policy and sink, as TOML text."""

    name: str
    content: str
    sink: str
    sender: str = "hospital-front"
    outer_options: str = ""
    inner_options: str = ""
    inner_content: str = ""
    """What the inner's policy says instead, where it differs."""


@dataclass
class FerryPair:
    """A pair of agents in `folder`; `sources` and `channels` are TOML and values for both sides."""

    folder: Path
    channels: Sequence[Channel]
    sources: str
    sinks: str
    senders: str
    medium: Path | None = None
    outer_namespace: Namespace | None = None
    inner_namespace: Namespace | None = None
    heartbeat_s: float = 1.0
    gap_wait_s: float = 30.0
    medium_keep_hours: float = 72.0
    outer_metrics_port: int = 0
    inner_metrics_port: int = 0
    validator_processes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    state: Path | None = None
    before_command: dict[str, list[str]] = field(default_factory=dict)
    """What runs a process in place of the shell, by the process's name."""

    def __post_init__(self) -> None:
        self.medium = self.medium or self.folder / "medium"
        self.state = self.state or self.folder
        self.outer_metrics_port = self.outer_metrics_port or free_port()
        self.inner_metrics_port = self.inner_metrics_port or free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # --- files ------------------------------------------------------------------------------

    def write(self) -> None:
        """Make folders, keys that are not there, configurations and signed policies."""
        for path in (self.medium, self.keys, self.outer_state, self.inner_state, self.logs):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o700 if path != self.medium else 0o755)
        sender = self._make_key(KeyKind.SIGN, "front-1")
        receiver = self._make_key(KeyKind.RECEIVE, "inner-1")
        admin = self._make_key(KeyKind.SECURITY_ADMIN, "security-admin")
        self._make_key(KeyKind.JOURNAL, "journal")
        self._make_key(KeyKind.AUDIT, "outer-audit")
        self._make_key(KeyKind.AUDIT, "inner-audit")
        assert sender.public is not None
        assert receiver.public is not None
        (self.folder / "outer.toml").write_text(self._outer_toml())
        (self.folder / "inner.toml").write_text(self._inner_toml())
        self._sign("outer-policy.toml", self._outer_policy(receiver.public.token), admin)
        self._sign("inner-policy.toml", self._inner_policy(sender.public.token), admin)

    @property
    def keys(self) -> Path:
        """Where the keys lie."""
        return self.folder / "keys"

    @property
    def outer_state(self) -> Path:
        """The outer's spool."""
        return (self.state or self.folder) / "outer"

    @property
    def inner_state(self) -> Path:
        """The inner's journal and deliveries."""
        return (self.state or self.folder) / "inner"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.folder / "logs"

    def _make_key(self, kind: KeyKind, name: str) -> KeyFile:
        path = self.keys / f"{name}.key"
        if path.exists():
            return parse_key_file(path.read_text(), name)
        key = generate(kind, name, datetime.now(UTC))
        path.touch(mode=0o600)
        path.write_text(private_text(key))
        if key.public is not None:
            (self.keys / f"{name}.pub").write_text(public_text(key))
        return key

    def _sign(self, name: str, text: str, admin: KeyFile) -> None:
        (self.folder / name).write_text(text)
        sign(self.folder / name, admin)

    def _outer_toml(self) -> str:
        return f"""
[agent]
name = "front-1"
state_dir = "{self.outer_state}"
[keys]
signing = "{self.keys}/front-1.key"
[policy]
file = "{self.folder}/outer-policy.toml"
security_admin = "{self.keys}/security-admin.pub"
[medium]
path = "{self.medium}"
heartbeat_s = {self.heartbeat_s}
keep_hours = {float(self.medium_keep_hours)}
[intake]
validator_processes = {self.validator_processes}
[metrics]
listen = "127.0.0.1:{self.outer_metrics_port}"
[audit]
dir = "{self.outer_state}/audit"
key = "{self.keys}/outer-audit.key"
{self.sources}
"""

    def _inner_toml(self) -> str:
        return f"""
[agent]
name = "inner-1"
state_dir = "{self.inner_state}"
[keys]
receiving = ["{self.keys}/inner-1.key"]
journal = "{self.keys}/journal.key"
[policy]
file = "{self.folder}/inner-policy.toml"
security_admin = "{self.keys}/security-admin.pub"
[medium]
path = "{self.medium}"
[validators]
processes = {self.validator_processes}
[metrics]
listen = "127.0.0.1:{self.inner_metrics_port}"
[audit]
dir = "{self.inner_state}/audit"
key = "{self.keys}/inner-audit.key"
{self.sinks}
"""

    def _outer_policy(self, receiver: str) -> str:
        channels = "".join(
            f"""
[[channels]]
name = "{channel.name}"
senders = ["{channel.sender}"]
{channel.outer_options}
{_content(channel)}
"""
            for channel in self.channels
        )
        return f"""
version = 1
side = "outer"
lane = "{LANE}"
[receiver]
key = "{receiver}"
{self.senders}
{channels}
"""

    def _inner_policy(self, sender: str) -> str:
        names = ", ".join(f'"{channel.name}"' for channel in self.channels)
        channels = "".join(
            f"""
[[channels]]
name = "{channel.name}"
sink = "{channel.sink}"
{channel.inner_options}
{channel.inner_content or _content(channel)}
"""
            for channel in self.channels
        )
        return f"""
version = 1
side = "inner"
lane = "{LANE}"
gap_wait_s = {self.gap_wait_s}
[[senders]]
name = "front-1"
key = "{sender}"
suites = [1]
channels = [{names}]
{channels}
"""

    # --- processes ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start both sides and wait until each says that it is ready; on failure, end all."""
        try:
            self.start_inner()
            self.start_outer()
            self.wait_ready()
        except BaseException:
            for name in list(self.processes):
                self.kill(name)
            raise

    def start_outer(self) -> None:
        """Start the outer agent."""
        self._start("outer", ["-m", "outer_agent", "run", "--config", "outer.toml"])

    def start_inner(self, roles: Sequence[str] = ("verifier", "replayer")) -> None:
        """Start the inner's processes, each as a service manager would."""
        for role in roles:
            self._start(
                role, ["-m", "inner_agent", "run", "--role", role, "--config", "inner.toml"]
            )

    def _start(self, name: str, arguments: list[str]) -> None:
        arguments[-1] = str(self.folder / arguments[-1])
        command = [*self.before_command.get(name, ()), sys.executable, *arguments]
        if name == "outer" and self.outer_namespace is not None:
            command = self.outer_namespace.command(command)
        if name != "outer" and self.inner_namespace is not None:
            command = self.inner_namespace.command(command, read_only=self.medium)
        with (self.logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[2],
                env={**os.environ, **self.environment},
            )

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait for both sides' /readyz. Raises AssertionError with the end of the logs."""
        deadline_s = time.monotonic() + timeout_s
        for side in ("outer", "inner"):
            while not self.is_ready(side):
                self.check_alive()
                assert time.monotonic() < deadline_s, f"{side} is not ready\n{self.tail()}"
                time.sleep(0.05)

    def is_ready(self, side: str) -> bool:
        """Whether a side answers 200 on /readyz."""
        try:
            self.observe(side, "/readyz")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def observe(self, side: str, path: str = "/metrics") -> str:
        """What a side's observation port answers, asked from inside its namespace."""
        port = self.outer_metrics_port if side == "outer" else self.inner_metrics_port
        return self.inside(side, lambda: _get(f"http://127.0.0.1:{port}{path}"))

    def inside(self, side: str, work: Callable[[], _T]) -> _T:
        """Run `work` where that side's loopback is."""
        namespace = self.outer_namespace if side == "outer" else self.inner_namespace
        return work() if namespace is None else namespace.run(work)

    def metric(self, side: str, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.observe(side).splitlines():
            named = line.startswith(name) and line[len(name)] in " {"
            if named and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def check_alive(self) -> None:
        """Raises AssertionError if a process ended by itself."""
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended: {process.returncode}\n{self.tail()}"

    def tail(self, lines: int = 15) -> str:
        """The end of each log."""
        parts = []
        for path in sorted(self.logs.glob("*.log")):
            parts += [f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)

    def log_events(self, name: str) -> list[dict[str, object]]:
        """The JSON log lines of one process."""
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def kill(self, name: str) -> None:
        """SIGKILL one process: as a power cut would end it."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    def stop(self, name: str | None = None) -> None:
        """Ask one process or all to end, outer first; wait for each."""
        order = ("outer", "verifier", "replayer") if name is None else (name,)
        for each in order:
            process = self.processes.pop(each, None)
            if process is not None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)
                    raise AssertionError(f"{each} did not stop\n{self.tail()}") from None


def _content(channel: Channel) -> str:
    return channel.content.strip()


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    """A port of the loopback that nobody listens on, and that this process gave to nobody before.

    It lies below those that the kernel gives to clients: one of those could be taken by a
    connection before its server has it.
    """
    for port in _PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("every port was given away")


def adt_pair(folder: Path) -> FerryPair:
    """Files of a pair with one ADT channel, from MLLP to a sink where nobody listens."""
    pair = FerryPair(
        folder,
        [
            Channel(
                "adt",
                '[channels.content.hl7v2]\nmessages = ["ADT^A01"]\nsegments = ["MSH", "PID"]',
                "his",
            )
        ],
        f'[[sources]]\nkind = "mllp"\nname = "in"\nlisten = "127.0.0.1:{free_port()}"\n'
        'channel = "adt"',
        '[[sinks]]\nkind = "mllp"\nname = "his"\nhost = "127.0.0.1"\nport = 1',
        '[[senders]]\nname = "hospital-front"\nlisteners = ["in"]',
    )
    pair.write()
    return pair
