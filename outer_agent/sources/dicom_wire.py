"""What passes between a DICOM source and its receiver, a process of its own.

Datagrams of JSON on a socket pair. Down: the settings once, then answers; up: that it listens, then
questions, each with the descriptor of a received file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

MESSAGE_BYTES_MAX: Final = 128 * 1024

SUCCESS: Final = 0x0000
NOT_AUTHORISED: Final = 0x0124
CLASS_NOT_SUPPORTED: Final = 0x0122
OUT_OF_RESOURCES: Final = 0xA700
DATA_SET_DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
"""C-STORE's statuses (PS3.4, B.2.3; PS3.7, annex C)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the receiver is to do. `calling_titles`: those that may call; all, if none is named.

    `folder`: its own, for instances while they come. `tls`: certificate, key and client CA ("" for
    none), PEM files.
    """

    host: str
    port: int
    title: str
    calling_titles: list[str]
    peers: list[str]
    sop_classes: list[str]
    transfer_syntaxes: list[str]
    folder: str
    bytes_max: int
    associations_max: int
    idle_s: float
    tls: list[str]


@dataclass(frozen=True, slots=True)
class Question:
    """A received instance: who called, and the names in its certificate. 0 is "I listen"."""

    number: int
    port: int = 0
    calling_title: str = ""
    tls_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of the C-STORE response, and the reason's code."""

    number: int
    status: int
    comment: str = ""


def pack(message: Settings | Question | Answer) -> bytes:
    """A message as a datagram."""
    return json.dumps(asdict(message)).encode()


def unpack(datagram: bytes) -> dict[str, Any]:
    """The fields of a message. Raises ValueError."""
    fields = json.loads(datagram)
    if not isinstance(fields, dict):
        raise ValueError("not a message")  # noqa: TRY004 - what came is wrong, not its type here
    return fields
