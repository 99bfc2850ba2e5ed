"""Sink that stores DICOM instances by C-STORE at one system: pynetdicom as SCU (PS3.4, annex B).

    0000, Bxxx   delivered (a warning tells of an instance that was taken)
    A7xx         not now: retried
    0110         failed on this instance: retried, counts against attempts_max
    others       refused for good; so is an instance whose SOP class or transfer syntax the system
                 does not accept
    no status    the outcome is open: the association is aborted, the instance is sent again
What identifies an instance is its SOP Instance UID: a repeat replaces what was stored before.

One association at a time, kept for the next instance of the same class and transfer syntax. The
instance passes through a file without a name, since pynetdicom sends from a file what it is not to
hold in memory. What it would log may hold data, and is not logged.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused
from inner_agent.sinks import tls
from inner_agent.sinks.base import Delivered, Failed, object_s, unreadable
from inner_agent.sinks.tls import TlsSettings, client_context

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from ferry_format.reasons import Reason
    from inner_agent import config
    from inner_agent.journal import JournaledMessage
    from inner_agent.sinks.base import SinkResult
    from validators.dicom.head import Head

_IDLE_S: Final = 60.0
_PROCESSING_FAILURE: Final = 0x0110
_OUT_OF_RESOURCES: Final = 0xA7
_WARNING: Final = 0xB


@dataclass(frozen=True, slots=True)
class DicomSettings:
    """`title` is ours, `called_title` theirs. Time limits are seconds."""

    name: str
    host: str
    port: int
    title: str
    called_title: str
    tls: TlsSettings | None = None
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0


def settings_of(section: config.DicomSink) -> DicomSettings:
    """Return a configuration section's settings."""
    return DicomSettings(
        section.name,
        section.host,
        section.port,
        section.ae_title,
        section.called_ae_title,
        tls.settings_of(section),
        timeout_s=section.timeout_s,
    )


class DicomSink:
    """One application entity; the blocking calls run on a thread of its own."""

    def __init__(self, settings: DicomSettings) -> None:
        self._settings = settings
        self._tls = None if settings.tls is None else client_context(settings.tls)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dicom")
        self._association: Association | None = None
        self._agreed: tuple[str, str] = ("", "")

    @property
    def name(self) -> str:
        """The sink's name."""
        return self._settings.name

    async def deliver(self, message: JournaledMessage) -> SinkResult:
        """Store one instance."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._deliver, message)

    async def probe(self) -> Reason | None:
        """Tell whether a connection (and TLS) can be opened; nothing is asked on it."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                _, writer = await asyncio.open_connection(
                    settings.host, settings.port, ssl=self._tls
                )
        except (OSError, TimeoutError):
            return reasons.SINK_UNREACHABLE
        writer.transport.abort()
        return None

    async def close(self) -> None:
        """End the association and the thread."""
        association, self._association = self._association, None
        if association is not None and association.is_established:
            await asyncio.to_thread(association.release)
        self._thread.shutdown(wait=False, cancel_futures=True)

    # --- on the thread

    def _deliver(self, message: JournaledMessage) -> SinkResult:
        with tempfile.TemporaryFile() as file:
            try:
                about = _written(message, file)
            except FerryError as fault:
                return unreadable(fault)
            seconds = self._settings.timeout_s + object_s(message)
            is_old = self._is_agreed(about)
            result = self._store(file, about, seconds)
            if is_old and isinstance(result, Failed) and result.reason is reasons.SINK_NO_ANSWER:
                # An association that was kept may have been ended by the far side meanwhile.
                result = self._store(file, about, seconds)
            return result

    def _is_agreed(self, about: Head) -> bool:
        association = self._association
        is_open = association is not None and association.is_established
        return is_open and self._agreed == (about.sop_class, about.syntax)

    def _store(self, file: IO[bytes], about: Head, seconds: float) -> SinkResult:
        if not self._is_agreed(about):
            self._hang_up()
            failed = self._associate(about)
            if failed is not None:
                return failed
        association = self._association
        assert association is not None
        association.dimse_timeout = seconds
        association.network_timeout = max(_IDLE_S, seconds)
        try:
            answer = association.send_c_store(Path(f"/proc/self/fd/{file.fileno()}"))
        except (RuntimeError, ValueError, AttributeError) as error:
            self._hang_up()
            return Failed(reasons.SINK_NO_ANSWER, detail=type(error).__name__)
        status = answer.get("Status")
        if status is None:
            self._hang_up()
            return Failed(reasons.SINK_NO_ANSWER, detail="no status")
        return judge(int(status))

    def _associate(self, about: Head) -> Failed | None:
        """Open an association for one class and transfer syntax; why that failed."""
        settings = self._settings
        entity = _entity(settings)
        entity.add_requested_context(about.sop_class, about.syntax)
        association = entity.associate(
            settings.host,
            settings.port,
            ae_title=settings.called_title,
            tls_args=None if self._tls is None else (self._tls, settings.host),
        )
        if association.is_established:
            self._association, self._agreed = association, (about.sop_class, about.syntax)
            return None
        if association.rejected_contexts:
            return Failed(reasons.SINK_REFUSED, permanent=True, detail="no presentation context")
        if association.is_rejected:
            return Failed(reasons.SINK_UNREACHABLE, detail="association rejected")
        return Failed(reasons.SINK_UNREACHABLE, detail="no association")

    def _hang_up(self) -> None:
        association, self._association = self._association, None
        if association is not None and association.is_established:
            association.abort()


def judge(status: int) -> SinkResult:
    """Return what a C-STORE status means."""
    detail = f"status {status:04X}"
    if not status or status >> 12 == _WARNING:
        return Delivered()
    if status >> 8 == _OUT_OF_RESOURCES:
        return Failed(reasons.SINK_BUSY, detail=detail)
    if status == _PROCESSING_FAILURE:
        return Failed(reasons.SINK_FAILED, detail=detail)
    return Failed(reasons.SINK_REFUSED, permanent=True, detail=detail)


def _written(message: JournaledMessage, file: IO[bytes]) -> Head:
    """Write the instance into a file; what its head says. Raises FerryError."""
    from validators.dicom import head  # with a dictionary: only where DICOM is carried

    about: Head | None = None
    for piece in message.pieces():
        if about is None:
            about = head.read(piece, is_all=True)
        file.write(piece)
    file.flush()
    if about is None:
        raise Refused(reasons.NOT_DELIVERABLE, "an instance without bytes")
    return about


def _entity(settings: DicomSettings) -> Any:
    """Our application entity; pynetdicom is loaded here, where it is needed."""
    from pynetdicom import AE, _config

    for name in ("pydicom", "pynetdicom"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module="pydicom|pynetdicom")
    _config.STORE_SEND_CHUNKED_DATASET = True
    entity = AE(ae_title=settings.title)
    entity.connection_timeout = entity.acse_timeout = settings.connect_timeout_s
    return entity
