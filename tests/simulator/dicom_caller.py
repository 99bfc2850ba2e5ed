"""A modality that stores instances by C-STORE: pynetdicom as SCU."""

from __future__ import annotations

import io
import ssl

from pydicom import dcmread
from pynetdicom import AE


def store(
    port: int,
    *instances: bytes,
    title: str = "CT1",
    called: str = "FERRY",
    tls: ssl.SSLContext | None = None,
) -> list[int]:
    """Send instances over one association; the statuses, up to the first that is not answered.

    [] if the association is rejected, or nobody listens.
    """
    caller = AE(ae_title=title)
    sent = [dcmread(io.BytesIO(instance)) for instance in instances]
    for each in sent:
        caller.add_requested_context(each.SOPClassUID, each.file_meta.TransferSyntaxUID)
    association = caller.associate(
        "127.0.0.1",
        port,
        ae_title=called,
        tls_args=None if tls is None else (tls, "127.0.0.1"),
    )
    if not association.is_established:
        return []
    statuses = []
    try:
        for each in sent:
            answer = association.send_c_store(each)
            if "Status" not in answer:
                break
            statuses.append(answer.Status)
        return statuses
    finally:
        if association.is_established:
            association.release()
