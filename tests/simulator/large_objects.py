"""Objects of any size without holding one: bytes that follow from a seed, and their receiver."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

BLOCK_BYTES = 1024 * 1024
PREAMBLE = bytes(128)


@dataclass(frozen=True)
class LargeObject:
    """A DICOM file by its first bytes; the rest is noise that no two seeds share."""

    seed: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        head = PREAMBLE + b"DICM" + self.seed.to_bytes(8, "big")
        noise = hashlib.shake_128(head).digest(BLOCK_BYTES)
        left, number = self.size, 0
        while left:
            start = head if number == 0 else number.to_bytes(8, "big")
            block = (start + noise[len(start) :])[:left]
            yield block
            left -= len(block)
            number += 1

    def whole(self) -> bytes:
        return b"".join(self.blocks())

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


def post(
    port: int,
    channel: str,
    blocks: Iterator[bytes],
    size: int,
    headers: dict[str, str],
    while_sending: Callable[[int], None] = lambda _sent: None,
) -> tuple[int, bytes]:
    """Post an object; `while_sending` is told after each block how much was sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.putrequest("POST", f"/channels/{channel}/messages")
        for name, value in {**headers, "Content-Length": str(size)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        sent = 0
        for block in blocks:
            connection.send(block)
            sent += len(block)
            while_sending(sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@dataclass(frozen=True)
class Received:
    """One request whose body came whole."""

    idempotency_key: str
    content_type: str
    size: int
    sha256: str


class StreamingReceiver:
    """An HTTP server that hashes bodies as they come; what is not whole it does not count."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.broken = 0
        self.began = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.began.set()
                size = left = int(self.headers["Content-Length"])
                digest = hashlib.sha256()
                while left and (block := self.rfile.read(min(left, BLOCK_BYTES))):
                    digest.update(block)
                    left -= len(block)
                if left:
                    receiver.broken += 1
                    self.close_connection = True
                    return
                receiver.received.append(
                    Received(
                        self.headers["Idempotency-Key"],
                        self.headers["Content-Type"],
                        size,
                        digest.hexdigest(),
                    )
                )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/images"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
