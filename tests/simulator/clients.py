"""Senders as plain as can be: blocking sockets, one message after another."""

from __future__ import annotations

import http.client
import socket


class MllpSender:
    """One MLLP connection; sends a message and returns the acknowledgement."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=30)
        self._buffer = b""

    def send(self, message: bytes) -> bytes:
        self._socket.sendall(b"\x0b" + message + b"\x1c\r")
        return self.receive()

    def receive(self) -> bytes:
        while b"\x1c\r" not in self._buffer:
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionError("closed by the other side")
            self._buffer += part
        answer, self._buffer = self._buffer.split(b"\x1c\r", 1)
        return answer.removeprefix(b"\x0b")

    def close(self) -> None:
        self._socket.close()


def code_of(acknowledgement: bytes) -> str:
    """MSA-1."""
    lines = acknowledgement.split(b"\r")
    [msa] = [line for line in lines if line.startswith(b"MSA")]
    return msa[4:6].decode()


class HttpSender:
    """One HTTP connection that posts to a channel."""

    def __init__(self, port: int, headers: dict[str, str], host: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=30)
        self._headers = headers

    def send(self, channel: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        self._connection.request(
            "POST", f"/channels/{channel}/messages", body, {**self._headers, **headers}
        )
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()
