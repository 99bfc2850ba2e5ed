"""An HL7 receiver (HIS, LIS) over MLLP whose answers follow a script.

It shares no code with the ferry: it frames and reads MSH-10 by itself. Each received message takes
the next behaviour of `script`; when that is used up, `default` applies.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import deque
from typing import TYPE_CHECKING, Self

from tests.simulator.recording import Recording

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable


class Hl7Behaviour(enum.Enum):
    ACCEPT = "AA"
    COMMIT = "CA"
    ERROR = "AE"
    COMMIT_ERROR = "CE"
    REJECT = "AR"
    COMMIT_REJECT = "CR"
    COMMIT_THEN_ACCEPT = "CA, and AA `late_s` later on the same connection"
    HANG = "reads and never answers"
    LATE = "AA, `late_s` later"
    WRONG_ID = "AA for another message"
    GARBAGE = "bytes that are no frame"
    NOT_AN_ACK = "a frame that holds no MSA"
    OVERLONG = "a frame that does not end"
    TWICE = "AA two times"
    CLOSE_BEFORE_READ = "closes a new connection at once"
    CLOSE_AFTER_READ = "reads, records, closes"
    ACCEPT_AND_CLOSE = "AA, then closes"


TAKING = frozenset(
    {
        Hl7Behaviour.ACCEPT,
        Hl7Behaviour.COMMIT,
        Hl7Behaviour.COMMIT_THEN_ACCEPT,
        Hl7Behaviour.LATE,
        Hl7Behaviour.TWICE,
        Hl7Behaviour.ACCEPT_AND_CLOSE,
    }
)


def control_id(message: bytes) -> str:
    """MSH-10."""
    fields = message.split(b"\r", 1)[0].split(message[3:4])
    return fields[9].decode("latin-1")


def acknowledgement(code: str, message_id: str) -> bytes:
    text = f"MSH|^~\\&|SIM|HOSP|FERRY|HOSP|20260101000000||ACK|A{message_id}|P|2.5\r"
    return (text + f"MSA|{code}|{message_id}\r").encode("latin-1")


def frame(payload: bytes) -> bytes:
    return b"\x0b" + payload + b"\x1c\r"


class Hl7Receiver:
    """`async with Hl7Receiver() as receiver`: listens on loopback, `receiver.port`."""

    def __init__(
        self,
        script: Iterable[Hl7Behaviour] = (),
        *,
        default: Hl7Behaviour = Hl7Behaviour.ACCEPT,
        late_s: float = 0.3,
        answer_after_s: float = 0.0,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.script = deque(script)
        self.default = default
        self.late_s = late_s
        self.answer_after_s = answer_after_s
        self.recording = Recording()
        self.connections = 0
        self.host = "127.0.0.1"
        self.port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, self.host, self.port, ssl=self._tls, limit=64 * 1024 * 1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection; `start` listens on the same port again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if self.script and self.script[0] is Hl7Behaviour.CLOSE_BEFORE_READ:
                self.script.popleft()
                return
            await self._converse(reader, writer, self.connections)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        while True:
            data = await reader.readuntil(b"\x1c\r")
            assert data[:1] == b"\x0b", "the ferry sent bytes outside a frame"
            message = data[1:-2]
            message_id = control_id(message)
            does = self.script.popleft() if self.script else self.default
            if self.answer_after_s:
                await asyncio.sleep(self.answer_after_s)
            await self.recording.add(
                message_id, message, taken=does in TAKING, connection=connection
            )
            if not await self._answer(does, message_id, writer):
                return

    async def _answer(
        self, does: Hl7Behaviour, message_id: str, writer: asyncio.StreamWriter
    ) -> bool:
        accept = frame(acknowledgement("AA", message_id))
        match does:
            case Hl7Behaviour.HANG:
                pass
            case Hl7Behaviour.LATE:
                await asyncio.sleep(self.late_s)
                writer.write(accept)
            case Hl7Behaviour.WRONG_ID:
                writer.write(frame(acknowledgement("AA", f"X{message_id}")))
            case Hl7Behaviour.GARBAGE:
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            case Hl7Behaviour.NOT_AN_ACK:
                writer.write(frame(b"MSH|^~\\&|SIM|||||||1|P|2.5\rPID|1\r"))
            case Hl7Behaviour.OVERLONG:
                writer.write(b"\x0b" + b"x" * (1 << 20))
            case Hl7Behaviour.TWICE:
                writer.write(accept + accept)
            case Hl7Behaviour.CLOSE_AFTER_READ | Hl7Behaviour.CLOSE_BEFORE_READ:
                return False
            case Hl7Behaviour.ACCEPT_AND_CLOSE:
                writer.write(accept)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                return False
            case Hl7Behaviour.COMMIT_THEN_ACCEPT:
                writer.write(frame(acknowledgement("CA", message_id)))
                await writer.drain()
                later = asyncio.create_task(self._later(writer, accept))
                self._tasks.add(later)
                later.add_done_callback(self._tasks.discard)
            case _:
                writer.write(frame(acknowledgement(does.value, message_id)))
        await writer.drain()
        return True

    async def _later(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        await asyncio.sleep(self.late_s)
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
