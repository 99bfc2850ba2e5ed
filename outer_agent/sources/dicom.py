"""DICOM instances by C-STORE, all of them for one channel.

pynetdicom runs in a process of its own (dicom_receiver), which parses nothing of an instance and
knows no policy but the names that it may negotiate. What it received comes here by descriptor, is
submitted like any object, and its sender hears success only after that. A receiver that ends is
started again; what it had half received its senders send again.

The statuses (PS3.4, B.2.3): 0000 custody taken, A700 send it again later, 0124 not this sender,
0122 not this SOP class, A900 the file meta information and the data set disagree, C000 refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
from typing import Any, Final

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.addresses import parse_listen
from ferry_runtime.logs import event
from outer_agent.admission import ObjectSubmission
from outer_agent.config import DicomSource
from outer_agent.outcomes import UNIDENTIFIED
from outer_agent.sources import dicom_wire
from outer_agent.sources.base import Surroundings
from outer_agent.sources.dicom_wire import Answer, Settings
from outer_agent.sources.tls import server_context

_LOG = logging.getLogger("ferry.outer.dicom")
_START_S: Final = 60.0
_AGAIN_S: Final = 1.0
_LAST_ANSWERS_S: Final = 10.0
_MODULE: Final = "outer_agent.sources.dicom_receiver"
_STATUSES: Final = {
    reasons.SENDER_UNKNOWN: dicom_wire.NOT_AUTHORISED,
    reasons.SENDER_NOT_ALLOWED: dicom_wire.NOT_AUTHORISED,
    reasons.MESSAGE_TYPE_NOT_ALLOWED: dicom_wire.CLASS_NOT_SUPPORTED,
}


def status_of(failure: FerryError) -> int:
    """The C-STORE status that tells a failure."""
    if not isinstance(failure, Refused):
        return dicom_wire.OUT_OF_RESOURCES
    if failure.where.startswith("MediaStorage"):
        return dicom_wire.DATA_SET_DOES_NOT_MATCH
    return _STATUSES.get(failure.reason, dicom_wire.CANNOT_UNDERSTAND)


class DicomListener:
    """One listener and its receiver process."""

    def __init__(self, section: DicomSource, surroundings: Surroundings) -> None:
        self.name = section.name
        self.port = 0
        self._section = section
        self._surroundings = surroundings
        self._folder = surroundings.state_dir / f"receiving-{section.name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._pair: socket.socket | None = None
        self._listening: asyncio.Future[int] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self) -> None:
        """Listen.

        Raises OSError if the address is taken or the receiver does not start, Refused if TLS files
        are unusable.
        """
        server_context(self._section)
        self.port = parse_listen(self._section.listen).port
        await self._begin()

    async def stop(self) -> None:
        """Take nothing new; instances that were handed over get their true answer."""
        self._stopping = True
        process = self._process
        if process is not None:
            process.terminate()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_ANSWERS_S)
        if process is not None and self._pair is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._pair.shutdown(socket.SHUT_WR)  # it ends once its last answers were sent
                await asyncio.to_thread(process.wait, _LAST_ANSWERS_S)
        self._end()

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._empty_folder)
        self._pair, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._pair.settimeout(0)
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own interpreter, at once
                [sys.executable, "-I", "-m", _MODULE, str(theirs.fileno())],
                cwd="/",
                env={},
                pass_fds=[theirs.fileno()],
            )
        self._pair.send(dicom_wire.pack(self._settings()))
        self._listening = loop.create_future()
        loop.add_reader(self._pair.fileno(), self._hear)
        async with asyncio.timeout(_START_S):
            self.port = await self._listening

    def _empty_folder(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)

    def _settings(self) -> Settings:
        section, listen = self._section, parse_listen(self._section.listen)
        names = self._negotiated()
        tls = (section.tls_certificate, section.tls_key, section.tls_client_ca)
        return Settings(
            listen.host,
            self.port,
            section.ae_title,
            self._surroundings.senders.calling_titles(section.name),
            list(section.peers),
            *names,
            str(self._folder),
            self._surroundings.intake.message_bytes_max(section.channel),
            section.associations_max,
            section.idle_s,
            [str(path or "") for path in tls] if section.has_tls else [],
        )

    def _negotiated(self) -> tuple[list[str], list[str]]:
        """The SOP classes and transfer syntaxes of the channel, by UID."""
        content = self._surroundings.intake.content_of(self._section.channel)
        if content is None or content.dicom is None:
            return [], []
        from validators.dicom.dictionary import sop_class_uids
        from validators.dicom.syntaxes import NAMES

        syntaxes = [NAMES[name].uid for name in content.dicom.transfer_syntaxes]
        return sop_class_uids(content.dicom.sop_classes), syntaxes

    def _hear(self) -> None:
        """Take what the receiver says; begin it anew where it ended."""
        assert self._pair is not None
        try:
            datagram, descriptors, _, _ = socket.recv_fds(
                self._pair, dicom_wire.MESSAGE_BYTES_MAX, 1
            )
            question = dicom_wire.unpack(datagram) if datagram else None
        except BlockingIOError:
            return
        except (OSError, ValueError):
            question, descriptors = None, []
        if question is None:
            self._ended()
        elif descriptors:
            self._spawn(self._take(self._pair, question, descriptors[0]))
        elif self._listening is not None and not self._listening.done():
            self._listening.set_result(int(question["port"]))

    def _ended(self) -> None:
        self._end()
        if self._listening is not None and not self._listening.done():
            self._listening.set_exception(OSError(f"source {self.name}: it cannot listen"))
        elif not self._stopping:
            event(_LOG, "dicom_receiver_ended", level=logging.ERROR, source=self.name)
            self._spawn(self._again())

    async def _again(self) -> None:
        while not self._stopping:
            await asyncio.sleep(_AGAIN_S)
            try:
                await self._begin()
            except (OSError, TimeoutError):
                self._end()
            else:
                return

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self) -> None:
        """Kill and reap the receiver, and close the pair."""
        if self._pair is not None:
            asyncio.get_running_loop().remove_reader(self._pair.fileno())
            self._pair.close()
            self._pair = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def _take(self, pair: socket.socket, question: dict[str, Any], descriptor: int) -> None:
        """Answer on the pair that asked: the next receiver counts its questions from 1 again."""
        try:
            answer = await self._answer(question, descriptor)
        finally:
            os.close(descriptor)
        if pair is self._pair:
            pair.send(dicom_wire.pack(answer))

    async def _answer(self, question: dict[str, Any], descriptor: int) -> Answer:
        number = int(question["number"])
        intake, sender, channel = self._surroundings.intake, UNIDENTIFIED, self._section.channel
        try:
            try:
                sender = self._surroundings.senders.identify_caller(
                    self.name, str(question["calling_title"]), question["tls_names"]
                )
                if self._stopping:
                    raise Unavailable(reasons.STOPPING)
            except FerryError as failure:
                intake.note_failure(channel, sender, failure)
                raise
            size = os.fstat(descriptor).st_size
            now_ms = self._surroundings.clock_ms()
            await intake.submit_object(
                ObjectSubmission(channel, sender, size, None, None, now_ms),
                _Reading(descriptor).read,
            )
        except FerryError as failure:
            return Answer(number, status_of(failure), failure.reason.code)
        return Answer(number, dicom_wire.SUCCESS)


class _Reading:
    """A received file, read from its beginning whatever its descriptor's place is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    async def read(self, size: int) -> bytes:
        """Exactly so many of the next bytes. Raises Refused if they are not there."""
        data = await asyncio.to_thread(os.pread, self._descriptor, size, self._at)
        if len(data) != size:
            raise Refused(reasons.NOT_WELL_FORMED, "end of the file")
        self._at += size
        return data
