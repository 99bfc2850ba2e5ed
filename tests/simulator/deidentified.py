"""De-identification of one channel in this process, for tests."""

from __future__ import annotations

from typing import Any

from validators.deidentify.deidentifier import Deidentifier
from validators.deidentify.dicom import DicomDeidentifier
from validators.deidentify.families import Deidentification, Examiner, deidentifier
from validators.policy import ContentPolicy, DeidentificationPolicy
from validators.registry import build
from validators.verdict import Accepted

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
HL7 = {"hl7v2": {"messages": ["*"], "segments": "any", "header": "lax"}}
FHIR = {
    "fhir": {
        "version": "R4",
        "resources": "any",
        "extensions": "any",
        "attachment_urls": "any",
        "narrative": "allow",
        "attachments": ["text/plain"],
    }
}
DICOM = {"dicom": {"sop_classes": "any"}}
CDA = {"xml": {"roots": "any", "elements": "any", "cda": {"documents": "any"}}}


def channel(
    content: dict[str, Any],
    key: bytes = KEY,
    schemas: dict[str, bytes] | None = None,
    **policy: Any,
) -> Deidentifier:
    """What de-identifies the messages of a channel with this content and these methods."""
    made = _examiner(content, key, schemas or {}, policy)
    assert isinstance(made, Deidentifier)
    return made


def dicom_channel(
    key: bytes = KEY, content: dict[str, Any] = DICOM, **policy: Any
) -> DicomDeidentifier:
    """The same for DICOM instances, of any class."""
    made = _examiner(content, key, {}, policy)
    assert isinstance(made, DicomDeidentifier)
    return made


def _examiner(
    content: dict[str, Any], key: bytes, schemas: dict[str, bytes], policy: dict[str, Any]
) -> Examiner:
    described = Deidentification(DeidentificationPolicy(key="research", **policy), key)
    model = ContentPolicy.model_validate(content)
    return deidentifier(described, model, build(model, schemas))


def instance(made: DicomDeidentifier, sent: bytes) -> bytes:
    """An instance that must be accepted, as it crosses."""
    verdict = made.examine(sent).verdict
    assert isinstance(verdict, Accepted), verdict
    return verdict.payload


def crossed(made: Deidentifier, payload: bytes | str) -> str:
    """The text of a message that must be accepted."""
    data = payload.encode() if isinstance(payload, str) else payload
    verdict = made.validate(data)
    assert isinstance(verdict, Accepted), verdict
    return verdict.payload.decode()
