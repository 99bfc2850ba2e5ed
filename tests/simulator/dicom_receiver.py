"""A C-STORE SCP that does what a test tells it: takes, refuses with a status, or hangs."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

from pynetdicom import AE, evt

from tests.simulator.dicom_files import EncapsulatedPDFStorage
from validators.dicom import head

HANG = -1


@dataclass
class DicomReceiver:
    """`script`: what becomes of the next instances, a status or HANG; success without one."""

    script: deque[int] = field(default_factory=deque)
    stored: list[tuple[str, bytes]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._hanging = threading.Event()
        self._entity: Any = None

    def __enter__(self) -> Self:
        self.appear()
        return self

    def __exit__(self, *_: object) -> None:
        self._hanging.set()
        self.vanish()

    def appear(self) -> None:
        self._entity = AE(ae_title="PACS")
        for name in ("1.2.840.10008.5.1.4.1.1.2", EncapsulatedPDFStorage):
            self._entity.add_supported_context(name)
        server = self._entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        self.port = server.server_address[1]

    def vanish(self) -> None:
        self._entity.shutdown()

    def _store(self, event: Any) -> int:
        status = self.script.popleft() if self.script else 0
        if status == HANG:
            self._hanging.wait(30)
            return 0xA700
        if status == 0:
            request = event.request
            uid = str(request.AffectedSOPInstanceUID)
            meta = head.written(
                str(request.AffectedSOPClassUID), uid, str(event.context.transfer_syntax)
            )
            self.stored.append((uid, meta + request.DataSet.getvalue()))
        return status
