"""The C-STORE SCP: pynetdicom in a process of its own, with bounded memory, files and PDUs.

Run as `python -m outer_agent.sources.dicom_receiver DESCRIPTOR`; the descriptor is one end of the
socket pair of which the source has the other (dicom_wire). Peers that are not named are hung up on
before a byte of theirs is read; a PDU above the agreed length ends its connection. Instances go
into files without being parsed; each is handed over by descriptor, and its sender hears what the
source answers. Nothing is logged here: what pynetdicom says may hold data.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NoReturn

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at import
from pynetdicom.transport import ThreadedAssociationServer

from outer_agent.sources import dicom_wire
from outer_agent.sources.dicom_wire import Answer, Question, Settings
from outer_agent.sources.tls import certificate_names, make_context

_MEMORY_BYTES_MAX: Final = 1024 * 1024 * 1024
_THREAD_STACK_BYTES: Final = 512 * 1024
_META_BYTES: Final = 64 * 1024
_PDU_BYTES: Final = 128 * 1024
"""What we offer; anybody's PDU may be twice as long, an A-ASSOCIATE-RQ among them."""

_PDU_HEAD_BYTES: Final = 6
_ANSWER_S: Final = 600.0
_LAST_ANSWERS_S: Final = 2.0
_LOOK_S: Final = 0.005
_COMMENT_CHARS_MAX: Final = 64


class Desk:
    """Questions to the source, from any thread, each waiting for its own answer."""

    def __init__(self, pair: socket.socket) -> None:
        self._pair = pair
        self._lock = threading.Lock()
        self._waiting: dict[int, SimpleQueue[Answer]] = {}
        self._answering: set[Association] = set()
        self._number = 0

    def ask(self, calling_title: str, tls_names: tuple[str, ...], descriptor: int) -> Answer:
        """The source's answer on a received file. Raises queue.Empty if none comes."""
        answer: SimpleQueue[Answer] = SimpleQueue()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = answer
            question = Question(number, 0, calling_title, tls_names)
            socket.send_fds(self._pair, [dicom_wire.pack(question)], [descriptor])
        try:
            return answer.get(timeout=_ANSWER_S)
        finally:
            self._waiting.pop(number, None)

    def begins(self, association: Association) -> None:
        """An instance has come over an association, whose response is still to be sent."""
        with self._lock:
            self._answering.add(association)

    def ends(self, association: Association) -> None:
        """The response was sent."""
        with self._lock:
            self._answering.discard(association)

    def listen(self) -> NoReturn:
        """Hand out answers until the source closes its end; then end, once they were sent."""
        while datagram := self._pair.recv(dicom_wire.MESSAGE_BYTES_MAX):
            answer = Answer(**dicom_wire.unpack(datagram))
            waiting = self._waiting.get(answer.number)
            if waiting is not None:
                waiting.put(answer)
        deadline_s = time.monotonic() + _LAST_ANSWERS_S
        while self._answering and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
        os._exit(0)


class _BoundedPdus:
    """A socket that reads no PDU longer than agreed: its head says how long it is (PS3.8, 9.3)."""

    _head = b""
    _left = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read as asked; pynetdicom never asks beyond one head or one body."""
        data: bytes = super().recv(size, flags)  # type: ignore[misc] # a mixin of sockets
        if self._left:
            self._left -= len(data)
            return data
        self._head += data
        if len(self._head) == _PDU_HEAD_BYTES:
            self._left, self._head = int.from_bytes(self._head[2:], "big"), b""
            if self._left > 2 * _PDU_BYTES:
                raise OSError("a PDU longer than agreed")
        return data


class _PlainSocket(_BoundedPdus, socket.socket):
    pass


class _TlsSocket(_BoundedPdus, ssl.SSLSocket):  # type: ignore[misc] # recv's names differ
    pass


class _Server(ThreadedAssociationServer):
    """Takes connections of named peers; what is slow about one of them holds up no other."""

    def __init__(self, *arguments: Any, settings: Settings, **named: Any) -> None:
        self.settings = settings
        self.tls = _tls(settings)
        super().__init__(*arguments, **named)

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        """Whether the connection may be read from at all."""
        peer = ipaddress.ip_address(client_address[0])
        named = [ipaddress.ip_network(network) for network in self.settings.peers]
        is_named = not named or any(peer in network for network in named)
        return is_named and threading.active_count() < 4 * self.settings.associations_max

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Begin an association, in the connection's own thread."""
        request.settimeout(self.settings.idle_s)
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        else:
            request = _PlainSocket(fileno=request.detach())
            request.settimeout(self.settings.idle_s)
        super().finish_request(request, client_address)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """What a connection dies of is its own matter."""


def main() -> NoReturn:
    """Serve until the source closes the pair."""
    pair = socket.socket(fileno=int(sys.argv[1]))
    settings = Settings(**dicom_wire.unpack(pair.recv(dicom_wire.MESSAGE_BYTES_MAX)))
    _bound(settings)
    desk = Desk(pair)
    server = _server(settings, desk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pair.send(dicom_wire.pack(Question(0, server.server_address[1])))
    signal.signal(signal.SIGTERM, lambda *_: server.server_close())
    desk.listen()


def _bound(settings: Settings) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    threading.stack_size(_THREAD_STACK_BYTES)
    tempfile.tempdir = settings.folder
    _config.STORE_RECV_CHUNKED_DATASET = True
    _config.LOG_HANDLER_LEVEL = "none"
    for which, most in (
        (resource.RLIMIT_AS, _MEMORY_BYTES_MAX),
        (resource.RLIMIT_FSIZE, settings.bytes_max + _META_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (most, most))


def _server(settings: Settings, desk: Desk) -> _Server:
    entity = AE(ae_title=settings.title)
    entity.maximum_pdu_size = _PDU_BYTES
    entity.maximum_associations = settings.associations_max
    entity.require_called_aet = True
    entity.require_calling_aet = settings.calling_titles
    entity.acse_timeout = entity.network_timeout = entity.dimse_timeout = settings.idle_s
    for sop_class in settings.sop_classes:
        entity.add_supported_context(UID(sop_class), list(map(UID, settings.transfer_syntaxes)))
    entity.add_supported_context(Verification)
    return _Server(
        entity,
        (settings.host, settings.port),
        settings.title,
        entity.supported_contexts,
        settings=settings,
        evt_handlers=[
            (evt.EVT_C_STORE, _store, [desk]),
            (evt.EVT_PDU_SENT, _sent, [desk]),
            (evt.EVT_CONN_CLOSE, _sweep, [Path(settings.folder), 2 * settings.idle_s]),
        ],
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    certificate, key, client_ca = settings.tls
    context = make_context(Path(certificate), Path(key), Path(client_ca) if client_ca else None)
    context.sslsocket_class = _TlsSocket
    return context


def _store(event: evt.Event, desk: Desk) -> Dataset:
    """Hand a received instance over; the response is the source's."""
    desk.begins(event.assoc)
    path = event.dataset_path
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        path.unlink()
        answer = desk.ask(_title(event), _tls_names(event), descriptor)
    finally:
        os.close(descriptor)
    response = Dataset()
    response.Status = answer.status
    if answer.comment:
        response.ErrorComment = answer.comment[:_COMMENT_CHARS_MAX]
    return response


def _sent(event: evt.Event, desk: Desk) -> None:
    """Note that a response has gone: nothing else is sent as data."""
    if isinstance(event.pdu, P_DATA_TF):
        desk.ends(event.assoc)


def _title(event: evt.Event) -> str:
    return str(event.assoc.requestor.ae_title).strip()


def _tls_names(event: evt.Event) -> tuple[str, ...]:
    connection = getattr(event.assoc.dul.socket, "socket", None)
    if not isinstance(connection, ssl.SSLSocket):
        return ()
    return tuple(certificate_names(connection.getpeercert()))


def _sweep(_event: evt.Event, folder: Path, older_s: float) -> None:
    """Remove what broken associations left half received."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > older_s:
                path.unlink()


if __name__ == "__main__":
    main()
