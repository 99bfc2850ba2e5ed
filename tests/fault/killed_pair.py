"""A pair whose processes come out of the nursery, senders that do not give up, and what arrived."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulator.clients import MllpSender, code_of
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.messages import adt
from tests.simulator.nursery import Nursery, wait_until

CHANNELS = ("adt", "transfers")
HL7 = """[channels.content.hl7v2]
messages = ["ADT^A01"]
segments = ["MSH", "EVN", "PID"]"""


@dataclass
class NurseryPair(FerryPair):
    """Its processes are forked. `orders` are those of the next start, by name of the process."""

    nursery: Nursery = field(default_factory=Nursery)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    bug: str | None = None

    def _start(self, name: str, arguments: list[str]) -> None:
        _, module, *rest = arguments
        rest[-1] = str(self.folder / rest[-1])
        orders = {"bug": self.bug} if self.bug else {}
        orders |= self.orders.pop(name, {})
        self.processes[name] = self.nursery.start(module, rest, self.logs / f"{name}.log", orders)

    def restart(self, name: str) -> None:
        """What a service manager does after an end."""
        self.processes.pop(name, None)
        if name == "outer":
            self.start_outer()
        else:
            self.start_inner([name])


class Sender:
    """Sends numbered messages of one channel; the next one when the last was acknowledged.

    `acknowledged_at_s` are monotonic times, one a message.
    """

    def __init__(self, port: int, acknowledged_at_s: Sequence[float] = ()) -> None:
        self.acknowledged_at_s = [*acknowledged_at_s]
        self.tries = 0
        self._port = port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def acknowledged(self) -> int:
        return len(self.acknowledged_at_s)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                sender = MllpSender(self._port)
            except OSError:
                time.sleep(0.005)
                continue
            try:
                self._talk(sender)
            except (OSError, ValueError):
                pass
            finally:
                sender.close()

    def _talk(self, sender: MllpSender) -> None:
        while not self._ended.is_set():
            self.tries += 1
            if code_of(sender.send(adt(str(self.acknowledged)))) == "AA":
                self.acknowledged_at_s.append(time.monotonic())
            else:
                time.sleep(0.005)


class CountingSink:
    """An HL7 receiver that answers AA to everything and remembers the order in which it came."""

    def __init__(self, port: int = 0) -> None:
        self.arrived: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError, ValueError):
                    self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            while b"\x1c\r" in received:
                message, received = received.split(b"\x1c\r", 1)
                number = message.split(b"|")[9].decode()
                self.arrived.append(int(number))
                answer = f"MSH|^~\\&|||||||ACK|{number}|P|2.5\rMSA|AA|{number}\r"
                connection.sendall(b"\x0b" + answer.encode() + b"\x1c\r")


class KilledPair:
    """Two channels, each with a sender of its own: one into an HL7 sink, one into a folder."""

    def __init__(
        self,
        folder: Path,
        nursery: Nursery,
        bug: str | None = None,
        *,
        medium: Path | None = None,
        state: Path | None = None,
    ) -> None:
        """`medium` and `state`: where medium and databases lie, if not in `folder`."""
        ports = {name: free_port() for name in CHANNELS}
        self.sink = CountingSink()
        self.folder_sink = folder / "transfers-out"
        self.folder_sink.mkdir(parents=True)
        sources = "".join(
            f'[[sources]]\nkind = "mllp"\nname = "{name}-in"\n'
            f'listen = "127.0.0.1:{port}"\nchannel = "{name}"\n'
            for name, port in ports.items()
        )
        listeners = ", ".join(f'"{name}-in"' for name in CHANNELS)
        self.agents = NurseryPair(
            folder,
            [Channel(name, HL7, name, inner_options="retry_first_s = 0.05") for name in CHANNELS],
            sources,
            f'[[sinks]]\nkind = "mllp"\nname = "adt"\nhost = "127.0.0.1"\n'
            f"port = {self.sink.port}\n"
            f'[[sinks]]\nkind = "folder"\nname = "transfers"\npath = "{self.folder_sink}"\n',
            f'[[senders]]\nname = "hospital-front"\nlisteners = [{listeners}]',
            medium=medium,
            state=state,
            nursery=nursery,
            bug=bug,
        )
        self.agents.write()
        try:
            self.agents.start()
        except BaseException:
            self.sink.close()
            raise
        self._ports = ports
        self.senders = {name: Sender(port) for name, port in ports.items()}
        self.kills = 0

    def resume(self) -> None:
        """Have the senders go on where they stopped."""
        self.senders = {
            name: Sender(port, self.senders[name].acknowledged_at_s)
            for name, port in self._ports.items()
        }

    def close(self) -> None:
        for sender in self.senders.values():
            sender.stop()
        for name in list(self.agents.processes):
            self.agents.kill(name)
        self.sink.close()

    def transfers(self) -> list[int]:
        """What stands in the folder sink, in its order."""
        files = sorted(path for path in self.folder_sink.iterdir() if path.name[0] != ".")
        return [int(path.read_bytes().split(b"|")[9]) for path in files]

    def kill(self, *names: str) -> None:
        """SIGKILL some processes at once, and start them again."""
        self.kills += len(names)
        for name in names:
            self.agents.processes[name].kill()
        for name in names:
            self.agents.processes[name].wait(10)
        for name in names:
            self.agents.restart(name)

    def let_die(self, role: str, point: str, passage: int, timeout_s: float = 20.0) -> bool:
        """Restart a process that will kill itself at a point; whether it came to that."""
        self.agents.processes[role].kill()
        self.agents.processes[role].wait(10)
        self.agents.orders[role] = {"die": [role, point, passage]}
        self.agents.restart(role)
        self.kills += 1
        deadline_s = time.monotonic() + timeout_s
        while self.agents.processes[role].poll() is None:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.002)
        self.kills += 1
        self.agents.restart(role)
        return True

    def judge(self, *, timeout_s: float = 30.0) -> None:
        """Senders stop; then everything acknowledged must have come, once, and in order.

        Raises AssertionError that says what is wrong.
        """
        for sender in self.senders.values():
            sender.stop()
        wanted = {name: sender.acknowledged for name, sender in self.senders.items()}
        wait_until(
            lambda: (
                max(self.sink.arrived, default=-1) + 1 >= wanted["adt"]
                and len(self.transfers()) >= wanted["transfers"]
            ),
            timeout_s,
            lambda: f"lost: {wanted} were acknowledged, {self._arrived()} arrived; {self._gaps()}",
        )
        time.sleep(0.2)
        judge_arrivals(self.sink.arrived, wanted["adt"], self.kills)
        transfers = self.transfers()
        assert transfers == list(range(len(transfers))), f"folder: {_first_wrong(transfers)}"
        # The last one may have crossed although its acknowledgement was lost.
        assert len(transfers) <= wanted["transfers"] + 1

    def _arrived(self) -> dict[str, int]:
        return {"adt": max(self.sink.arrived, default=-1) + 1, "transfers": len(self.transfers())}

    def _gaps(self) -> str:
        return self.agents.tail(3)


UNDURABLE_MAX = 64
"""Outcomes that the replayer may not have written when it is killed."""


def judge_arrivals(arrived: list[int], acknowledged: int, kills: int) -> None:
    """Hold what an MLLP sink saw against the promise, as it counts ids.

    Each number for the first time in its order. After a kill the last few may come again, with the
    ids that the sink knows; never more, and never without one. Raises AssertionError.
    """
    newest, before, jumps = -1, -1, 0
    for number in arrived:
        assert number <= newest + 1, f"{number} came, and {newest + 1} had not"
        if number <= before:
            jumps += 1
            assert number > newest - UNDURABLE_MAX, f"{number} came again after {newest}"
        else:
            assert number == before + 1, f"{number} came after {before}"
        before, newest = number, max(newest, number)
    assert jumps <= kills, f"{jumps} times something came again, in {kills} kills"
    assert newest + 1 >= acknowledged, f"{acknowledged} acknowledged, {newest + 1} arrived"
    assert newest <= acknowledged, f"{newest + 1} arrived, {acknowledged} acknowledged"


def _first_wrong(numbers: list[int]) -> str:
    wrong = next(n for n, number in enumerate(numbers) if number != n)
    return f"... {numbers[max(0, wrong - 2) : wrong + 3]} at {wrong}"
